"""What was killed comes back on its ports, with what it had acknowledged; what hangs goes on."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import obstore
import psutil
import pytest
from confluent_kafka import Consumer, Producer
from obstore.store import S3Store

from tests.support.services.cassandra import Cassandra
from tests.support.services.kafka import KafkaCluster
from tests.support.services.postgres import Postgres
from tests.support.services.registry import API, Registry
from tests.support.services.s3 import S3

ROOT = Path(__file__).parents[3]
HANGING = """
import time

def test_hangs(postgres, registry, s3):
    print(postgres.pid, registry.pid, s3.pid, flush=True)
    time.sleep(600)
"""


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def subjects(registry: Registry, timeout_s: float = 10.0) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{API}/subjects")
        return connection.getresponse().read()
    finally:
        connection.close()


def register(registry: Registry, subject: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=10)
    kind = {"Content-Type": "application/json"}
    path = f"{API}/subjects/{subject}/versions"
    connection.request("POST", path, '{"schema": "\\"string\\""}', kind)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_partition_of_a_killed_broker_is_led_by_another(kafka_cluster: KafkaCluster) -> None:
    kafka_cluster.create("led", 1)
    first = kafka_cluster.leader("led", 0)

    kafka_cluster.kill(first)
    wait_until(lambda: kafka_cluster.leader("led", 0) not in (first, -1))
    kafka_cluster.start(first)

    assert kafka_cluster.brokers[first].pid is not None


def test_kafka_keeps_records_when_all_brokers_are_killed(kafka_cluster: KafkaCluster) -> None:
    kafka_cluster.create("kept", 1)
    producer = Producer({"bootstrap.servers": kafka_cluster.bootstrap, "acks": "all"})
    producer.produce("kept", b"value")
    assert producer.flush(20) == 0

    for number in kafka_cluster.brokers:
        kafka_cluster.kill(number)
    kafka_cluster.start_all()

    reader = {"group.id": "kept", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": kafka_cluster.bootstrap} | reader)
    consumer.subscribe(["kept"])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == b"value"


def test_a_killed_cassandra_has_what_it_acknowledged(durable_cassandra: Cassandra) -> None:
    durable_cassandra.make_keyspace("kept")
    with durable_cassandra.session() as session:
        session.execute("create table kept.numbers (number int primary key)")
        insert = session.prepare("insert into kept.numbers (number) values (?)")
        for number in range(200):
            session.execute(insert, [number])
        durable_cassandra.kill()

    durable_cassandra.restart()

    with durable_cassandra.session() as session:
        assert session.execute("select count(*) from kept.numbers").one()[0] == 200


async def test_a_killed_postgres_has_what_it_acknowledged(postgres: Postgres) -> None:
    url = postgres.url()
    connection = await asyncpg.connect(url)
    await connection.execute("create table numbers as select 7 as number")
    postgres.kill()
    connection.terminate()

    postgres.restart()

    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select number from numbers") == 7
    await connection.close()


def test_a_killed_s3_server_has_what_it_acknowledged(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    store = S3Store(s3.bucket())
    obstore.put(store, "kept", b"content")

    s3.kill()
    s3.restart()

    assert obstore.get(store, "kept").bytes() == b"content"


def test_a_registry_that_hangs_answers_when_it_goes_on(restartable_registry: Registry) -> None:
    restartable_registry.pause()
    with pytest.raises(TimeoutError):
        subjects(restartable_registry, timeout_s=0.5)

    restartable_registry.resume()

    assert subjects(restartable_registry) == b"[]"


def test_a_registry_that_was_stopped_starts_empty(restartable_registry: Registry) -> None:
    register(restartable_registry, "forgotten")
    restartable_registry.stop()
    with pytest.raises(ConnectionRefusedError):
        subjects(restartable_registry)

    restartable_registry.start()

    assert subjects(restartable_registry) == b"[]"


@pytest.mark.usefixtures("postgres", "registry", "s3")
def test_nothing_outlives_a_pytest_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    plugin = ["-p", "tests.support.services.fixtures", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-s", "-q", *plugin, "test_hanging.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        servers = [psutil.Process(pid) for pid in pids]
        family = [p for server in servers for p in (server, *server.children())]

        parent.kill()

    assert len(family) > 3
    assert psutil.wait_procs(family, timeout=60)[1] == []
