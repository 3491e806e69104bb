"""A world per test, over memory and over a folder; no failpoint is left set."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.archive import open_archive_storage
from tests.archive.events import World


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    url = "memory:///" if request.param == "memory" else (tmp_path / "kept").as_uri()
    return World(tmp_path, open_archive_storage(url))


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()
