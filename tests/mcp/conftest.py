"""A store of real flights, and an assistant that most tests ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mcp.flights import Assistant, assisted, deploy


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flights")
    deploy(folder)
    return folder


@pytest.fixture(scope="package")
def assistant(folder: Path) -> Iterator[Assistant]:
    with assisted(folder) as assistant:
        yield assistant
