from collections.abc import AsyncIterator

import pytest

from fastdata.serving.memory import MemoryStore
from fastdata.serving.stores import ServingStore
from tests.serving.contract import StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[ServingStore]:
        async with MemoryStore() as store:
            yield store
