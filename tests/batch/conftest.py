"""A source in a folder, a store, and no failpoint left set."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.batch.sales import Sales


@pytest.fixture
def sales(tmp_path: Path) -> Sales:
    return Sales(tmp_path)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServingStore]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    async with open_store(url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()
