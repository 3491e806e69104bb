"""A broker for each file, and a stage with a topic and a group of its own for each test."""

import re
from pathlib import Path

import pytest

from tests.chaos.stream import Stage
from tests.support.mockbroker import MockBroker


@pytest.fixture
def stage(tmp_path: Path, broker: MockBroker) -> Stage:
    topic = re.sub(r"\W|_", "-", tmp_path.name)
    broker.create(topic)
    return Stage(tmp_path, broker.address, topic, seed=len(topic))
