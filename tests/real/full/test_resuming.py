"""A replay that was interrupted anywhere, from an archive on S3 and on the real stores."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.archive import open_archive_storage
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.batch.sales import Sales
from tests.batch.test_resuming import *  # noqa: F403  (the same tests, on the fixtures here)
from tests.real.full.conftest import Surround
from tests.real.full.deploying import Surroundings


@pytest.fixture
def services(surround: Surround, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    made = surround()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def sales(tmp_path: Path, services: Surroundings) -> Sales:
    return Sales(tmp_path, open_archive_storage(services.archive))


@pytest.fixture
async def store(services: Surroundings) -> AsyncIterator[ServingStore]:
    async with open_store(services.store) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()
