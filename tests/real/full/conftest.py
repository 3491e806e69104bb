"""The full set of services: Kafka, a registry, S3, and Cassandra or PostgreSQL."""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.agreement.stages import Deploy
from tests.chaos.stream import Stage
from tests.real.full.deploying import RealDeployment, Surroundings
from tests.support.lab import PARTITIONS
from tests.support.services.cassandra import Cassandra
from tests.support.services.kafka import Kafka
from tests.support.services.postgres import Postgres
from tests.support.services.registry import Registry
from tests.support.services.s3 import S3

APP = """
from fastdata import attach, load, make_app

app = make_app("{topic}", broker_session_timeout=3.0, broker_heartbeat_interval=0.5)
attach(app, load("agents/clicks.py").pages)
"""

Surround = Callable[[], Surroundings]


@pytest.fixture(
    scope="session", params=["cassandra", pytest.param("postgres", marks=pytest.mark.nightly)]
)
def surround(request: pytest.FixtureRequest, kafka: Kafka, registry: Registry, s3: S3) -> Surround:
    """The services of a new deployment, which has an empty archive and an empty store."""
    server: Cassandra | Postgres = request.getfixturevalue(request.param)

    def make() -> Surroundings:
        name = f"{request.param}-{uuid4().hex[:8]}"
        return Surroundings(
            name=name,
            kafka=kafka,
            registry=registry.url,
            archive=f"s3://{s3.bucket()}/{name}",
            store=server.url(name.replace("-", "_")),
            environment=s3.environment(),
        )

    return make


@pytest.fixture(scope="session")
def deploy(surround: Surround) -> Deploy:
    def make(folder: Path, *args: object, **options: object) -> RealDeployment:
        return RealDeployment(folder, *args, **options, services=surround())  # type: ignore[arg-type]

    return make


@pytest.fixture
def stage(tmp_path: Path, kafka: Kafka, registry: Registry, durable_cassandra: Cassandra) -> Stage:
    """A stream through real Kafka into a Cassandra that keeps what it acknowledged."""
    topic = re.sub(r"\W|_", "-", tmp_path.name)
    kafka.create(topic, PARTITIONS)
    keyspace = f"kills_{uuid4().hex[:8]}"
    settings = {"FASTDATA_STORE": durable_cassandra.url(keyspace)}
    settings |= {"FASTDATA_REGISTRY": registry.url}
    return Stage(tmp_path, kafka.bootstrap, topic, len(topic), APP, **settings)
