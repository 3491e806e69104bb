from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fastdata import Metric, failpoints
from fastdata.store.memory import MemoryStore
from tests.answer.trips import declare
from tests.exports.rides import ParquetFolder, Place, SqliteFile


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


@pytest.fixture(params=["sqlite", "parquet"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return SqliteFile(tmp_path) if request.param == "sqlite" else ParquetFolder(tmp_path)


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()
