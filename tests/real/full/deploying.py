"""A deployment of which every part is real, driven by the commands that users have."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer

from fastdata.events.schema import Schema
from fastdata.store.opening import open_store
from tests.agreement.driver import Log
from tests.agreement.stages import Deployment, Layers
from tests.support.registering import register
from tests.support.services.kafka import Kafka

__all__ = ["Processes", "RealDeployment", "Surroundings"]

ROOT = Path(__file__).parents[3]
PATIENCE_S = 900.0
Worker = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The services of one deployment.

    Attributes:
        name: Part of the names of its topics.
        environment: What processes need to reach the archive.
    """

    name: str
    kafka: Kafka
    registry: str
    archive: str
    store: str
    environment: dict[str, str]


@dataclass(kw_only=True)
class RealDeployment(Deployment):
    """Kafka, a registry, an archive on S3 and a store on a server."""

    services: Surroundings

    def declaration(self, text: str) -> str:
        # Group and changelogs are named for the source, and the broker is shared.
        own = rf'"\1-{self.services.name}"\2"\3-{self.services.name}"'
        text, count = re.subn(r'"(\w+)"(,\s+topic=)"(\w+)"', own, text)
        assert count == 1
        return text

    def settings(self) -> dict[str, str]:
        services = self.services
        return super().settings() | {
            "broker": services.kafka.bootstrap,
            "registry": services.registry,
            "archive": services.archive,
            "store": services.store,
        }

    def registered(self, schema: Schema) -> Schema:
        return register(schema, self.source.topic, self.services.registry)

    def layers(self, log: Log, workers: int) -> Layers:
        return Processes(self, log, workers)


@dataclass
class Processes:
    """Both layers as processes over a topic.

    Attributes:
        replayers: Processes of a replay.
    """

    deployment: RealDeployment
    log: Log
    replayers: int = 0
    _sent: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        topic, kafka = self.deployment.source.topic, self.deployment.services.kafka
        # What is not yet read must stay, whatever time its producer gave it.
        kafka.create(topic, len(self.log.partitions), retention_ms="-1")
        self._sent = [0] * len(self.log.partitions)
        config = {"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True}
        self._producer = Producer({**config, "linger.ms": 20})

    def run(self, stage: str) -> None:
        """Fold all that the log has, with a new worker; then batch counts it, but for `speed`."""
        if self.produce():
            with self.worker() as worker:
                asyncio.run(self.until_folded(worker))
                assert stop(worker) == 0, self.said
        if stage != "speed":
            self.archive()
            self.replay()

    def produce(self) -> int:
        """Send what the log has and the topic has not, at the same offsets; returns how many."""
        topic, before = self.deployment.source.topic, sum(self._sent)
        for p, records in enumerate(self.log.partitions):
            for _, value in records[self._sent[p] :]:
                while True:
                    try:
                        self._producer.produce(topic, value, partition=p)
                        break
                    except BufferError:
                        self._producer.poll(0.1)
            self._sent[p] = len(records)
        assert self._producer.flush(60) == 0
        return sum(self._sent) - before

    @property
    def said(self) -> str:
        """The last words of the worker."""
        return (self.deployment.folder / "worker.log").read_text()[-8_000:]

    @contextmanager
    def worker(self, failpoint: str = "") -> Iterator[Worker]:
        """A worker, which writes to `worker.log`; killed at the end unless it has ended."""
        with (self.deployment.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                self._command("worker"), cwd=self.deployment.folder,
                env=self._environment(failpoint), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()

    async def until_folded(self, worker: Worker) -> None:
        """Wait until the store says that all is folded that was sent."""
        topic, deadline = self.deployment.source.topic, time.monotonic() + PATIENCE_S
        expected = {p: end for p, end in enumerate(self._sent) if end}
        async with open_store(self.deployment.services.store) as store:
            while True:
                folded = {one.partition: one.next_offset for one in await store.progress(topic)}
                if {p: end for p, end in folded.items() if end} == expected:
                    return
                assert worker.poll() is None, self.said
                assert time.monotonic() < deadline, f"{folded} of {expected}\n{self.said}"
                await asyncio.sleep(0.2)

    def archive(self, failpoint: str = "") -> None:
        """Copy all that the topic has to the archive, or be killed at a failpoint."""
        self._finish("archive", "--once", failpoint=failpoint)

    def replay(self, *options: str, failpoint: str = "") -> None:
        """Count all closed segments, or be killed at a failpoint."""
        words = ("replay", "--workers", str(self.replayers), *options)
        self._finish(*words, failpoint=failpoint)

    def _finish(self, *words: str, failpoint: str) -> None:
        done = subprocess.run(
            self._command(*words), cwd=self.deployment.folder, env=self._environment(failpoint),
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        expected = -signal.SIGKILL if failpoint else 0
        assert expected == done.returncode, done.stdout + done.stderr

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "fastdata.cli.main", *words]

    def _environment(self, failpoint: str) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("FASTDATA_")}
        killing = {"FASTDATA_FAILPOINTS": f"{failpoint}=kill"} if failpoint else {}
        services = self.deployment.services.environment
        return {**own, "PYTHONPATH": str(ROOT), **services, **killing}


def stop(worker: Worker) -> int:
    """Send SIGTERM; returns the exit code."""
    worker.send_signal(signal.SIGTERM)
    return worker.wait(180)
