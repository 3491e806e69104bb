"""A folder with agents, workers as processes of their own, and an oracle beside."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from fastdata import Metric, load
from fastdata.events.schema import Schema, encode
from fastdata.store.opening import open_store
from tests.support.registering import register

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
PAGES = 37
FIRST_MS = 1_700_000_000_000

SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "page", "type": "string"},
        {"name": "amount", "type": "long"},
    ],
}
AGENTS = """
from fastdata import Count, Metric, Source, Sum

clicks = Source("clicks", topic="{topic}", schema="schemas/click.avsc", time="at", id="id",
                lateness="30d", segment_size={segment_size})
pages = Metric("pages", clicks, by=["page"], measures={{"n": Count(), "amount": Sum("amount")}})
"""
APP = """
from fastdata import attach, load, make_app

app = make_app("{topic}", broker_session_timeout=4.0, broker_heartbeat_interval=1.0)
attach(app, load("agents/clicks.py").pages)
"""


class Lab:
    """One topic with its agents, store and workers.

    Args:
        folder: Empty; everything is below it.
        topic: Exists, with four partitions; also the name of the group.
        settings: Variables of the environment; without them the store is SQLite, and the
            registry a folder.
    """

    def __init__(
        self, folder: Path, broker: str, topic: str, segment_size: int = 500, **settings: str
    ) -> None:
        self.folder = folder
        self.topic = topic
        self.produced = 0
        for name in ("agents", "schemas", "data"):
            (folder / name).mkdir(parents=True)
        (folder / "schemas/click.avsc").write_text(json.dumps(SCHEMA))
        agents = AGENTS.format(topic=topic, segment_size=segment_size)
        (folder / "agents/clicks.py").write_text(agents)
        (folder / "short_sessions.py").write_text(APP.format(topic=topic))
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("FASTDATA_")},
            "PYTHONPATH": f"{ROOT}:{folder}",
            "FASTDATA_BROKER": broker,
            "FASTDATA_COMMIT_INTERVAL_S": "0.3",
            **settings,
        }
        self._producer = _producer(broker)
        self.store = settings.get("FASTDATA_STORE", f"sqlite:///{folder}/data/fastdata.db")

    @cached_property
    def schema(self) -> Schema:
        """The schema of the events, with the id that their producer sends."""
        schema = Schema.load(self.folder / "schemas/click.avsc")
        url = self.environment.get("FASTDATA_REGISTRY")
        return register(schema, self.topic, url) if url else schema

    @property
    def pages(self) -> Metric:
        metric = load(self.folder / "agents/clicks.py").pages
        assert isinstance(metric, Metric)
        return metric

    def move_to(self, broker: str) -> None:
        """Let all that comes be about another cluster."""
        self.environment["FASTDATA_BROKER"] = broker
        self._producer = _producer(broker)

    def produce(
        self,
        count: int,
        producer: Producer | None = None,
        partition: int | None = None,
        written_ms: int = 0,
    ) -> None:
        """Append events; the n-th is of page n % 37, of amount n, in partition n % 4 or that.

        They are written now, or at a time.
        """
        producer = producer or self._producer
        for n in range(self.produced, self.produced + count):
            p = n % PARTITIONS if partition is None else partition
            value = self.event(n, str(n))
            producer.produce(self.topic, value, partition=p, timestamp=written_ms)
        producer.flush()
        self.produced += count

    def event(self, n: int, id: str) -> bytes:
        """The n-th event under any id."""
        fields = {"id": id, "at": FIRST_MS + 10 * n, "page": page(n), "amount": n}
        return encode(self.schema, fields)

    def send(self, value: bytes, partition: int = 0, topic: str = "") -> None:
        """Append something else."""
        self._producer.produce(topic or self.topic, value, partition=partition)
        self._producer.flush()

    def read(self, topic: str, count: int, timeout_s: float = 120.0) -> list[Message]:
        """The first records of a topic, of all its partitions."""
        servers = self.environment["FASTDATA_BROKER"]
        reader = Consumer({"bootstrap.servers": servers, "group.id": "reader"})
        parts = reader.list_topics(topic, timeout=10).topics[topic].partitions
        reader.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in parts])
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < deadline:
            if (message := reader.poll(0.2)) is not None and not message.error():
                found.append(message)
        reader.close()
        return found

    @contextmanager
    def worker(
        self, app: str = "short_sessions", **environment: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker; killed at the end unless it has ended."""
        worker = self.start(app, **environment)
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()

    def start(self, app: str = "short_sessions", **environment: str) -> "subprocess.Popen[bytes]":
        """Start a worker; what it says goes to `worker.log`."""
        command = [sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info"]
        with (self.folder / "worker.log").open("ab") as log:
            env = self.environment | environment
            return subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=subprocess.STDOUT
            )

    def fastdata(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of fastdata to its end, within a minute."""
        return subprocess.run(
            [sys.executable, "-m", "fastdata", *command],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def folded(self, topic: str = "%") -> int:
        """How many records the store says are folded; or the broker, unless it is SQLite.

        Args:
            topic: Of it alone, as the store says.
        """
        if not self.store.startswith("sqlite:"):
            try:
                return self.committed()
            except KafkaException:  # a new broker has no coordinator yet
                return 0
        try:
            path = f"{self.folder}/data/fastdata.db"
            with closing(sqlite3.connect(path, timeout=10)) as database:
                rows = database.execute(
                    "select next_offset from progress where topic like ?", [topic]
                ).fetchall()
        except sqlite3.OperationalError:  # no worker has been there yet
            return 0
        return sum(offset for (offset,) in rows)

    def committed(self, name: str = "") -> int:
        """How many records a group, or else that of the topic, calls done, as the broker says."""
        servers = self.environment["FASTDATA_BROKER"]
        group = Consumer({"bootstrap.servers": servers, "group.id": name or self.topic})
        places = [TopicPartition(self.topic, p) for p in range(PARTITIONS)]
        found = group.committed(places, timeout=10)
        group.close()
        return sum(max(0, one.offset) for one in found)

    def wait_until_folded(self, count: int, timeout_s: float = 180.0) -> None:
        self.wait_until(lambda: self.folded() >= count, timeout_s)

    def wait_until(self, is_reached: Callable[[], bool], timeout_s: float = 180.0) -> None:
        """Wait for the workers; their last words are in the failure."""
        deadline = time.monotonic() + timeout_s
        while not is_reached():
            log = (self.folder / "worker.log").read_text()[-4_000:]
            assert time.monotonic() < deadline, f"{self.folded()} are folded\n{log}"
            time.sleep(0.1)

    def wait_for(self, text: str, timeout_s: float = 180.0, log: str = "worker.log") -> None:
        """Wait until a worker says something."""
        deadline = time.monotonic() + timeout_s
        while text not in (said := (self.folder / log).read_text()):
            assert time.monotonic() < deadline, said[-4_000:]
            time.sleep(0.1)

    async def until_answered(self, timeout_s: float = 180.0) -> None:
        """Wait until the store has all that was produced; for logs whose offsets have holes."""
        deadline = time.monotonic() + timeout_s
        while await self.answer() != self.expected():
            log = (self.folder / "worker.log").read_text()[-4_000:]
            assert time.monotonic() < deadline, f"not all there after {timeout_s} s\n{log}"
            await asyncio.sleep(0.2)

    async def answer(self) -> tuple[Counter[str], Counter[str]]:
        """Events and amounts per page, of all partials in the store."""
        metric, counts, amounts = self.pages, Counter[str](), Counter[str]()
        async with open_store(self.store, create=False) as store:
            partials = await store.partials(metric.id, 0, 4_000_000_000_000)
        for partial in partials:
            (name,) = json.loads(partial.dims)
            count, amount = metric.load(partial.state)
            counts[name] += _whole(metric.aggregates[0].present(count).value)
            amounts[name] += _whole(metric.aggregates[1].present(amount).value)
        return counts, amounts

    def expected(self) -> tuple[Counter[str], Counter[str]]:
        """The same, of everything that was produced."""
        counts, amounts = Counter[str](), Counter[str]()
        for n in range(self.produced):
            counts[page(n)] += 1
            amounts[page(n)] += n
        return counts, amounts


def _producer(broker: str) -> Producer:
    """Idempotent: a new topic refuses what comes too early, and others then send out of order."""
    settings = {"bootstrap.servers": broker, "linger.ms": 20, "enable.idempotence": True}
    return Producer(settings)


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def page(n: int) -> str:
    return f"p{n % PAGES}"


def stop(worker: "subprocess.Popen[bytes]") -> int:
    """Send SIGTERM; returns the exit code."""
    worker.send_signal(signal.SIGTERM)
    return worker.wait(120)
