"""A worker that is started on what one of version 0.1.0 has left: folder, changelog and store."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.stored.log import read_log
from tests.stored.written import (
    DECLARED,
    PARTITIONS,
    Written,
    changelog,
    changes,
    committed,
    records,
)
from tests.support.mockbroker import MockBroker

ROOT = Path(__file__).parents[2]
ENDS = {
    (topic, partition): records(topic, partition)[-1].offset + 1
    for topic, count in PARTITIONS.items()
    for partition in range(count)
}


def test_a_worker_takes_over(written: Written) -> None:
    with MockBroker() as broker:
        ends = fill(broker)
        folder = Path(written.store().removeprefix("sqlite:///")).parent
        shutil.copytree(DECLARED, folder, dirs_exist_ok=True)
        (folder / "agents/hits.py").unlink()  # whose log is not kept
        environment = {
            **{name: value for name, value in os.environ.items() if "FASTDATA" not in name},
            "PYTHONPATH": str(ROOT),
            "FASTDATA_BROKER": broker.address,
            "FASTDATA_STORE": written.store(),
            "FASTDATA_STATE": str(written.state()),
            "FASTDATA_COMMIT_INTERVAL_S": "0.3",
            "FASTDATA_CLEAN_UP_INTERVAL_S": "3600",  # what batch has covered would go
        }
        words = [sys.executable, "-m", "fastdata.cli.main", "worker"]
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_until_folded(written, worker, folder / "worker.log")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait() == 0, (folder / "worker.log").read_text()
        finally:
            worker.kill()
            worker.wait()
        rows = {
            (topic, partition): {
                message.key() or b"": message.value()
                for message in read_log(broker.address, changelog(topic), partition)
                if (message.offset() or 0) >= end
            }
            for (topic, partition), end in ends.items()
        }

    for (topic, partition), end in ends.items():
        expected = dict(changes(topic, partition)[end:])
        assert without_ids(expected) == without_ids(rows[topic, partition])
        assert expected


def without_ids(rows: Mapping[bytes, object]) -> Mapping[bytes, object]:
    """Without those whose keys depend on when a worker flushes."""
    return {key: value for key, value in rows.items() if not key.startswith(b"i")}


def fill(broker: MockBroker) -> dict[tuple[str, int], int]:
    """Give a new broker the logs, and the changelogs and offsets of the moment of the keeping.

    Returns:
        Where each changelog ends.
    """
    producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 5})
    ends: dict[tuple[str, int], int] = {}
    for topic, partitions in PARTITIONS.items():
        for name in (topic, f"{topic}.dead-letters", changelog(topic)):
            broker.create(name, partitions)
        for partition in range(partitions):
            for record in records(topic, partition):
                producer.produce(
                    topic, record.value, record.key, partition,
                    timestamp=record.timestamp_ms, headers=list(record.headers),
                )  # fmt: skip
            kept = changes(topic, partition)[: kept_changes(topic, partition)]
            ends[topic, partition] = len(kept)
            for key, value in kept:
                producer.produce(changelog(topic), value, key, partition)
    assert producer.flush(30) == 0
    group = Consumer({"bootstrap.servers": broker.address, "group.id": "fastdata"})
    offsets = [
        TopicPartition(topic, partition, offset)
        for topic in PARTITIONS
        for partition, offset in enumerate(committed(topic))
    ]
    group.commit(offsets=offsets, asynchronous=False)
    group.close()
    return ends


def kept_changes(topic: str, partition: int) -> int:
    """How many records the changelog had when all was kept: up to the marker of that moment."""
    wanted = committed(topic)[partition].to_bytes(8, "big")
    log = changes(topic, partition)
    return max(n for n, (k, v) in enumerate(log, 1) if k[:1] == b"m" and (v or b"")[:8] == wanted)


def wait_until_folded(written: Written, worker: "subprocess.Popen[bytes]", log: Path) -> None:
    path = written.store().removeprefix("sqlite:///")
    wanted = {(topic, partition, end) for (topic, partition), end in ENDS.items()}
    folded: set[tuple[str, int, int]] = set()
    while not wanted <= folded:
        assert worker.poll() is None, log.read_text()
        time.sleep(0.1)
        with closing(sqlite3.connect(path, timeout=10)) as store:
            folded = {*store.execute("select topic, partition, next_offset from progress")}
