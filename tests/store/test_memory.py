from collections.abc import AsyncIterator

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import ServingStore
from tests.store.contract import StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[ServingStore]:
        async with MemoryStore() as store:
            yield store
