"""A topic, a group and a folder of its own on a real broker, for each test."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.stream import Stage
from tests.support.lab import PARTITIONS, Lab
from tests.support.services.kafka import Kafka, KafkaCluster

APP = """
from fastdata import attach, load, make_app

app = make_app("{topic}")
attach(app, load("agents/clicks.py").pages)
"""

NewStage = Callable[[Kafka | KafkaCluster], Stage]


@pytest.fixture
def topic(tmp_path: Path) -> str:
    return re.sub(r"\W|_", "-", tmp_path.name)


@pytest.fixture
def new_stage(tmp_path: Path, topic: str) -> NewStage:
    """Makes the stage of this test on one broker or more."""

    def make(server: Kafka | KafkaCluster) -> Stage:
        server.create(topic, PARTITIONS)
        return Stage(tmp_path, server.bootstrap, topic, len(topic), APP)

    return make


@pytest.fixture
def stage(new_stage: NewStage, kafka: Kafka) -> Stage:
    return new_stage(kafka)


@pytest.fixture
def lab(tmp_path: Path, topic: str, kafka: Kafka) -> Lab:
    kafka.create(topic, PARTITIONS)
    return Lab(tmp_path, kafka.bootstrap, topic)
