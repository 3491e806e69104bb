"""Partitions that are added under running workers and archivers."""

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from tests.support.lab import PARTITIONS, Lab, stop
from tests.support.services.kafka import Kafka


def add_partitions(kafka: Kafka, topic: str, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_partitions([NewPartitions(topic, count)])[topic].result(10)
    deadline = time.monotonic() + 10
    while partitions(kafka, topic) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def partitions(kafka: Kafka, topic: str) -> int:
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).topics
    return len(topics[topic].partitions)


def send_to_added(lab: Lab, kafka: Kafka) -> None:
    """Twenty events to each of two partitions after the first four, counted as produced."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})  # one that knows them
    for n in range(lab.produced, lab.produced + 40):
        producer.produce(lab.topic, lab.event(n, str(n)), partition=PARTITIONS + n % 2)
    assert producer.flush(10) == 0
    lab.produced += 40


async def test_a_worker_ends_with_one_line_and_its_next_start_reads_them(
    lab: Lab, kafka: Kafka, tmp_path: Path
) -> None:
    app = {"FASTDATA_APPLICATION_ID": lab.topic}
    changelog = f"{lab.topic}-fastdata-clicks-changelog"
    lab.produce(400)
    with lab.worker("fastdata", **app) as worker:
        lab.wait_until_folded(400)
        assert partitions(kafka, changelog) == PARTITIONS
        add_partitions(kafka, lab.topic, PARTITIONS + 2)
        send_to_added(lab, kafka)
        status = lab.fastdata("status", **app).stdout
        assert "partition 4: no worker has read it yet" in status
        folds = re.search(r"(\S+) at 127\.0\.0\.1 folds ([\d, ]+)$", status, re.MULTILINE)
        assert folds is not None
        assert folds[1] == f"fastdata-worker-{socket.gethostname()}-{worker.pid}"
        assert folds[2].startswith("0, 1, 2, 3")
        health = lab.fastdata("status", "--max-lag", "1h", "--layer", "speed", **app)
        assert (health.returncode, health.stderr) == (
            3,
            "fastdata: clicks: no worker has read partitions 4, 5\n",
        )
        assert worker.wait(120) == 70

    log = (tmp_path / "worker.log").read_text()
    assert f"topic '{lab.topic}' has 6 partitions and had 4 when it started" in log
    assert "Traceback" not in log
    with lab.worker("fastdata", **app) as worker:
        lab.wait_until_folded(440)
        assert partitions(kafka, changelog) == PARTITIONS + 2
        assert await lab.answer() == lab.expected()
        lab.produce(100)
        send_to_added(lab, kafka)
        lab.wait_until_folded(580)
        assert stop(worker) == 0
    assert await lab.answer() == lab.expected()

    # Without its folder the state of all six comes from the changelog.
    lab.produce(100)
    send_to_added(lab, kafka)
    with lab.worker("fastdata", FASTDATA_STATE=str(tmp_path / "other"), **app) as worker:
        lab.wait_until_folded(720)
        assert stop(worker) == 0
    assert await lab.answer() == lab.expected()


def test_an_archiver_takes_them_up_while_it_runs(lab: Lab, kafka: Kafka, tmp_path: Path) -> None:
    lab.produce(400)
    log = tmp_path / "archive.log"
    with log.open("wb") as file:
        archiver = subprocess.Popen(
            [sys.executable, "-m", "fastdata", "archive", "--json"],
            cwd=tmp_path,
            env={**lab.environment, "FASTDATA_APPLICATION_ID": lab.topic},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        lab.wait_for('"3": 100', log=log.name)
        add_partitions(kafka, lab.topic, PARTITIONS + 2)
        send_to_added(lab, kafka)
        ends = {"0": 100, "1": 100, "2": 100, "3": 100, "4": 20, "5": 20}
        deadline = time.monotonic() + 60
        while json.loads(log.read_text().rpartition("\n")[0].splitlines()[-1])["durable"] != ends:
            assert time.monotonic() < deadline, log.read_text()[-4_000:]
            time.sleep(0.5)
        assert stop(archiver) == 0
    finally:
        archiver.kill()
        archiver.wait()


def test_the_command_that_creates_topics_makes_a_changelog_grow(lab: Lab, kafka: Kafka) -> None:
    app = {"FASTDATA_APPLICATION_ID": lab.topic}
    assert lab.fastdata("topics", "create", **app).returncode == 0
    add_partitions(kafka, lab.topic, PARTITIONS + 2)

    done = lab.fastdata("topics", "create", "--json", **app)

    assert [one["partitions"] for one in json.loads(done.stdout)] == [6, 6, 4]
