"""The pytest plugin: a fixture a service, and skips that say why.

Each pytest process has its own servers, and starts one when the first test asks for it.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.services.cassandra import Cassandra, SecureCassandra
from tests.support.services.clickhouse import ClickHouseEngine
from tests.support.services.downloads import UnavailableError
from tests.support.services.kafka import Kafka, KafkaCluster, SecureKafka
from tests.support.services.mariadb import MariaDb
from tests.support.services.mirrormaker import KafkaPair
from tests.support.services.opensearch import OpenSearchNode
from tests.support.services.postgres import Postgres
from tests.support.services.programs import NEEDED
from tests.support.services.registry import Registry
from tests.support.services.s3 import S3
from tests.support.services.server import StartError, new_folder

NAMES = {
    "cassandra",
    "clickhouse",
    "durable_cassandra",
    "fetched",
    "kafka",
    "kafka_cluster",
    "kafka_pair",
    "mariadb",
    "opensearch",
    "postgres",
    "registry",
    "restartable_kafka",
    "restartable_postgres",
    "restartable_registry",
    "s3",
    "secure_cassandra",
    "secure_kafka",
}
CANNOT_RUN = "a service cannot run here: "

Service = TypeVar("Service", bound=AbstractContextManager[object])


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[Kafka]:
    """One broker."""
    with running(pytestconfig, Kafka) as server:
        yield server


@pytest.fixture
def restartable_kafka(pytestconfig: pytest.Config) -> Iterator[Kafka]:
    """One broker of one test's own."""
    with running(pytestconfig, Kafka) as server:
        yield server


@pytest.fixture(scope="session")
def secure_kafka(pytestconfig: pytest.Config) -> Iterator[SecureKafka]:
    """One broker that asks for a password."""
    with running(pytestconfig, SecureKafka) as server:
        yield server


@pytest.fixture(scope="module")
def kafka_cluster(pytestconfig: pytest.Config) -> Iterator[KafkaCluster]:
    """Three brokers, of one module's own."""
    with running(pytestconfig, KafkaCluster) as servers:
        yield servers


@pytest.fixture(scope="module")
def kafka_pair(pytestconfig: pytest.Config) -> Iterator[KafkaPair]:
    """Two brokers, of one module's own, and what copies from the first to the second."""
    with running(pytestconfig, KafkaPair) as servers:
        yield servers


@pytest.fixture(scope="session")
def cassandra(pytestconfig: pytest.Config) -> Iterator[Cassandra]:
    """One node; a kill may lose its last writes."""
    with running(pytestconfig, Cassandra) as server:
        yield server


@pytest.fixture(scope="module")
def durable_cassandra(pytestconfig: pytest.Config) -> Iterator[Cassandra]:
    """One node that keeps what it acknowledged, of one module's own."""
    with running(pytestconfig, lambda folder: Cassandra(folder, synced=True)) as server:
        yield server


@pytest.fixture(scope="session")
def secure_cassandra(pytestconfig: pytest.Config) -> Iterator[SecureCassandra]:
    """One node that speaks TLS and asks for a password."""
    with running(pytestconfig, SecureCassandra) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """One server."""
    with running(pytestconfig, Postgres) as server:
        yield server


@pytest.fixture(scope="module")
def restartable_postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """One server of one module's own."""
    with running(pytestconfig, Postgres) as server:
        yield server


@pytest.fixture(scope="module")
def mariadb(pytestconfig: pytest.Config) -> Iterator[MariaDb]:
    """One server of one module's own, which may stop it."""
    with running(pytestconfig, MariaDb) as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse(pytestconfig: pytest.Config) -> Iterator[ClickHouseEngine]:
    """The engine of one."""
    with running(pytestconfig, ClickHouseEngine) as engine:
        yield engine


@pytest.fixture(scope="module")
def opensearch(pytestconfig: pytest.Config) -> Iterator[OpenSearchNode]:
    """One node of one module's own, which may stop it."""
    with running(pytestconfig, OpenSearchNode) as server:
        yield server


@pytest.fixture(scope="session")
def registry(pytestconfig: pytest.Config) -> Iterator[Registry]:
    """A registry that nobody stops."""
    with running(pytestconfig, Registry) as server:
        yield server


@pytest.fixture(scope="module")
def restartable_registry(pytestconfig: pytest.Config) -> Iterator[Registry]:
    """A registry of one module's own."""
    with running(pytestconfig, Registry) as server:
        yield server


@pytest.fixture(scope="session")
def s3(pytestconfig: pytest.Config) -> Iterator[S3]:
    """One server."""
    with running(pytestconfig, S3) as server:
        yield server


@pytest.fixture(scope="session")
def fetched(pytestconfig: pytest.Config) -> None:
    """All that any service needs is on this machine; none is started."""
    with skipped_when_missing(pytestconfig):
        for fetch in NEEDED.values():
            fetch()


@contextmanager
def running(config: pytest.Config, make: Callable[[Path], Service]) -> Iterator[Service]:
    """A service in a folder that is removed at the end; skips, or fails, when it cannot run.

    One that does not start is made anew, on other ports: of two processes that look for free ones
    at the same moment, both may have found the same.
    """
    with ExitStack() as stack:
        for may_fail in (True, True, False):
            folder = stack.enter_context(new_folder())
            with skipped_when_missing(config):
                service = make(folder)
            try:
                stack.enter_context(service)
                break
            except StartError:
                if not may_fail:
                    raise
        yield service


@contextmanager
def skipped_when_missing(config: pytest.Config) -> Iterator[None]:
    """Skip, or fail where services are required, when something cannot be had."""
    try:
        yield
    except UnavailableError as error:
        reason = f"{CANNOT_RUN}{error}"
        if is_required(config):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def is_required(config: pytest.Config) -> bool:
    """Whether a test whose service cannot run fails."""
    return bool(config.getoption("--require-services")) or os.environ.get("CI") == "true"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-services",
        action="store_true",
        help="fail instead of skip when a service cannot run here (as with CI=true)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "services: asks for a real service (set by its fixtures)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and not NAMES.isdisjoint(item.fixturenames):
            item.add_marker("services")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    yield  # pytest's own last line
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and (line := not_run(reporter.stats.get("skipped", []))):
        reporter.write_line(line, yellow=True)


def not_run(skipped: list[pytest.TestReport]) -> str:
    """Which suites did not run, and why; empty when all did."""
    suites, reasons = set(), set()
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if CANNOT_RUN in reason:
            suites.add(report.nodeid.split("::")[0].rpartition("/")[0])
            reasons.add(reason.partition(CANNOT_RUN)[2])
    if not suites:
        return ""
    return f"Did not run: {', '.join(sorted(suites))} ({'; '.join(sorted(reasons))})"
