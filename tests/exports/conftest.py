from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fastdata import Metric, failpoints
from fastdata.store.memory import MemoryStore
from tests.answer.trips import declare
from tests.exports.rides import FILES, Place
from tests.exports.topics import Topic, open_topic


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


@pytest.fixture(params=["sqlite", "duckdb", "parquet", "topic"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    if request.param == "topic":
        with open_topic(tmp_path, monkeypatch) as topic:
            yield topic
    else:
        yield FILES[request.param](tmp_path)


@pytest.fixture(params=["sqlite", "parquet"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place that is quick to ask after each of many changes."""
    return FILES[request.param](tmp_path)


@pytest.fixture
def topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    with open_topic(tmp_path, monkeypatch) as topic:
        yield topic


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()
