"""A mock broker for a module, and on it a lab with a topic of its own for each test."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab
from tests.support.mockbroker import MockBroker


@pytest.fixture(scope="module")
def broker() -> Iterator[MockBroker]:
    with MockBroker() as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path, broker: MockBroker, request: pytest.FixtureRequest) -> Lab:
    topic = re.sub(r"\W|_", "-", request.node.name)[:60]
    broker.create(topic)
    return Lab(tmp_path, broker.address, topic)
