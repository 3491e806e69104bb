"""A bucket of its own for each test, on one server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.archive import open_archive_storage
from tests.archive.events import World
from tests.support.services.s3 import S3


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty one, to which this process' variables lead."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return s3.bucket()


@pytest.fixture
def world(bucket: str, tmp_path: Path) -> World:
    return World(tmp_path, open_archive_storage(f"s3://{bucket}/some/where"))


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()
