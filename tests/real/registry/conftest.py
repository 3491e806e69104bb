"""A topic and a folder of its own for each test, with a registry."""

import re
from pathlib import Path

import pytest

from fastdata.events.url_registry import UrlRegistry
from tests.support.lab import PARTITIONS, Lab
from tests.support.services.kafka import Kafka
from tests.support.services.registry import Registry


@pytest.fixture
def subject(tmp_path: Path) -> str:
    return re.sub(r"\W|_", "-", tmp_path.name)


@pytest.fixture
def client(registry: Registry) -> UrlRegistry:
    return UrlRegistry(registry.url)


@pytest.fixture
def lab(tmp_path: Path, subject: str, kafka: Kafka, restartable_registry: Registry) -> Lab:
    kafka.create(subject, PARTITIONS)
    url = restartable_registry.url
    return Lab(tmp_path, kafka.bootstrap, subject, FASTDATA_REGISTRY=url, FASTDATA_TILE_AGE_S="0.3")
