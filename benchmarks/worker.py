"""What an event costs a worker, beside loops by hand and other libraries. Real Kafka.

The same events for all, as Avro on the wire in 4 partitions: views of pages, with so many pages in
each minute, and the flights of the demo, of which nearly each makes a cell of its own. Messages
have the key that is counted and the time of the event, so that no peer needs to repartition.

The figure is CPU (user and system, of the process, its threads and what it started) per event. A
worker has read the first events and is stopped when the others are sent; for all others it counts
from the first event that they decode. Each is compared, cell by cell, with what was sent.
"""

import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks import environments, loads
from benchmarks.loads import PARTITIONS, Counts, Encoded, Load
from benchmarks.machine import cpu_s, peak_mb, tree
from benchmarks.processes import FailedError, finished, running
from fastdata import Metric, query
from fastdata.coordinates.instants import MINUTE_MS, to_datetime
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

PEERS = Path(__file__).with_name("peers")
FASTDATA = (sys.executable, "-m", "fastdata.cli.main")
PATIENCE_S = 120.0


@dataclass(frozen=True)
class System:
    """One of those that are measured.

    Attributes:
        program: Its file in benchmarks/peers; empty for fastdata's worker.
        environment: Of `environments.PINS`; empty for that of fastdata.
        keeps: What of its state survives its end.
        share: Of the events, where all of them would take minutes.
    """

    name: str
    program: str = ""
    environment: str = ""
    count_only: bool = False
    keeps: str = "nothing"
    share: float = 1.0


DURABLE = "changelog, RocksDB"
SYSTEMS = (
    System("fastdata", keeps=f"{DURABLE}, SQLite"),
    System("fastdata, count only", count_only=True, keeps=f"{DURABLE}, SQLite"),
    System("confluent-kafka loop", "confluent_loop.py"),
    System("aiokafka loop", "aiokafka_loop.py"),
    System("Quix Streams", "quix_count.py", "quix", count_only=True, keeps=DURABLE, share=0.3),
    System("Bytewax", "bytewax_count.py", "bytewax", count_only=True, keeps="snapshots", share=0.5),
    System("Pathway", "pathway_count.py", "pathway"),
    System("Pathway, count only", "pathway_count.py", "pathway", count_only=True),
    System("Faust", "faust_table.py", "faust", count_only=True, keeps=DURABLE, share=0.1),
)
# In a quick run these are measured with each load, and the others with two.
FEW = tuple(system for system in SYSTEMS if not (system.environment or system.count_only))


@dataclass(frozen=True)
class Run:
    """What one run of a system took for how many events, and by how many it was wrong."""

    events: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    wrong: int


async def folded(store: ServingStore, topic: str) -> int:
    """How many records of a topic a worker has counted."""
    return sum(p.next_offset for p in await store.progress(topic))


async def until(store: ServingStore, topic: str, count: int, process: Any) -> None:
    """Wait until a worker has counted so many.

    Raises:
        FailedError: It ended, or counted nothing for two minutes.
    """
    done, deadline = 0, time.monotonic() + PATIENCE_S
    while done < count:
        if process.poll() is not None:
            raise FailedError(f"the worker ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise FailedError(f"the worker stands still at {done:,} of {count:,} events")
        await asyncio.sleep(0.02)
        before, done = done, await folded(store, topic)
        if done > before:
            deadline = time.monotonic() + PATIENCE_S


async def work_off(
    process: Any, store: ServingStore, topic: str, first: int, total: int, send: Callable[[], None]
) -> tuple[float, float]:
    """Seconds of CPU and of the clock for what `send` appends, until it is in the store.

    The first events are in the topic; when they are counted and the worker has no more to do, it
    is stopped until the others lie there, too, unless they are so many that it would be missed.
    """
    await until(store, topic, first, process)
    before = -1.0
    while (used := cpu_s(process.pid)) - before > 0.2:
        before = used
        await asyncio.sleep(0.5)
    is_stopped = total <= 1_000_000
    cpu, wall = cpu_s(process.pid), time.monotonic()
    if is_stopped:
        _signal(process.pid, signal.SIGSTOP)
        await asyncio.to_thread(send)
        wall = time.monotonic()
        _signal(process.pid, signal.SIGCONT)
        await until(store, topic, total, process)
    else:
        await asyncio.gather(asyncio.to_thread(send), until(store, topic, total, process))
    return cpu_s(process.pid) - cpu, time.monotonic() - wall


@dataclass
class Bench:
    """Counts the same events with one system after another."""

    client: dict[str, Any]
    folder: Path
    load: Load
    events: int
    _encoded: dict[int, Encoded] = field(default_factory=dict)
    _topics: dict[int, str] = field(default_factory=dict)
    _made: int = 0

    async def run(self, system: System) -> Run:
        """One run.

        Raises:
            FailedError: It failed; the message says why.
            UnavailableError: It cannot be installed here.
        """
        events = int(self.events * system.share)
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            if not system.program:
                return await self.worker(Path(made), events, system.count_only)
            python = sys.executable
            if system.environment:
                python = await asyncio.to_thread(environments.python_of, system.environment)
            return await asyncio.to_thread(self.peer, Path(made), events, system, python)

    async def worker(self, folder: Path, events: int, count_only: bool) -> Run:
        """A worker: full path, an SQLite store and a state folder of its own."""
        topic = self._topic("worker")
        metric = self.load.declare(folder, topic, count_only)
        encoded = self._encode(events)
        first = len(encoded.messages) // 20
        loads.create(self.client, topic)
        loads.send(self.client, topic, encoded.messages[:first])
        environment = worker_environment(self.client, folder, topic)
        async with open_store(environment["FASTDATA_STORE"]) as store:
            with running((*FASTDATA, "worker"), folder, environment) as process:
                send = partial(loads.send, self.client, topic, encoded.messages[first:])
                total = len(encoded.messages)
                cpu, wall = await work_off(process, store, topic, first, total, send)
                peak = peak_mb(process.pid)
            wrong = encoded.differences(await answered(store, metric, encoded.counts))
        return Run(total - first, cpu, wall, peak, wrong)

    def peer(self, folder: Path, events: int, system: System, python: str) -> Run:
        """Another program, to its end."""
        topic, encoded = self._filled(events)
        out, counts = self._topic("answers"), folder / "counts"
        loads.create(self.client, out)
        given = {
            "servers": self.client["bootstrap.servers"],
            "topic": topic,
            "out": out,
            "group": out,
            "partitions": PARTITIONS,
            "folder": str(folder),
            "counts": str(counts),
            "schema": self.load.schema,
            "time": self.load.time,
            "key": self.load.key,
            "fold": self.load.fold,
            "measures": [] if system.count_only else self.load.measures,
            "grace_ms": self.load.grace_ms,
            "events": len(encoded.messages),
        }
        program = str(PEERS / system.program)
        used = finished((python, program, json.dumps(given)), folder)
        if counts.exists():
            rows = json.loads(counts.read_text())
        else:
            changelog = f"{out}-counts-changelog"
            rows = list(records(self.client, changelog if system.name == "Faust" else out))
        said = used.last_object()
        wrong = encoded.differences(loads.counts_of(rows))
        return Run(len(encoded.messages), said["cpu_s"], said["wall_s"], said["peak_mb"], wrong)

    def _encode(self, events: int) -> Encoded:
        if events not in self._encoded:
            metric = self.load.declare(self.folder / "declared", "events")
            self._encoded[events] = Encoded(self.load, metric, events)
        return self._encoded[events]

    def _filled(self, events: int) -> tuple[str, Encoded]:
        """A topic that has so many events."""
        encoded = self._encode(events)
        if events not in self._topics:
            topic = self._topic("events")
            loads.create(self.client, topic)
            loads.send(self.client, topic, encoded.messages)
            self._topics[events] = topic
        return self._topics[events], encoded

    def _topic(self, what: str) -> str:
        self._made += 1
        name = self.load.name.split()[0].replace(",", "")
        return f"bench-{time.time_ns()}-{name}-{what}-{self._made}"


def worker_environment(client: dict[str, Any], folder: Path, topic: str) -> dict[str, str]:
    """The settings of a worker with a state and a store in `folder`."""
    return {
        "FASTDATA_BROKER": client["bootstrap.servers"],
        "FASTDATA_AGENTS": str(folder / "agents"),
        "FASTDATA_STATE": str(folder / "state"),
        "FASTDATA_STORE": f"sqlite:///{folder}/store.db",
        "FASTDATA_ARCHIVE": f"file://{folder}/archive",
        "FASTDATA_APPLICATION_ID": topic,
    }


def _signal(pid: int, which: signal.Signals) -> None:
    for process in tree(pid):
        process.send_signal(which)


async def answered(store: ServingStore, metric: Metric, cells: Iterable[tuple[str, int]]) -> Counts:
    """What a query counts by key and minute, from the first minute of these to the last."""
    minutes = [minute for _, minute in cells]
    start, end = (to_datetime(m * MINUTE_MS) for m in (min(minutes), max(minutes) + 1))
    table = await query(metric, start, end, every="1m", by=list(metric.by), store=store)
    keys = zip(*(table.column(name).to_pylist() for name in metric.by), strict=True)
    starts = table.column("window_start").to_pylist()
    counts = table.column("count").to_pylist()
    return {
        ("/".join(key), int(at.timestamp()) // 60): count
        for key, at, count in zip(keys, starts, counts, strict=True)
    }


def records(client: dict[str, Any], topic: str) -> Iterator[tuple[str, int, int]]:
    """Key, minute and count of each answer in a topic, as the peers write them."""
    consumer = Consumer({**client, "group.id": topic, "enable.auto.commit": False})
    for partition in range(PARTITIONS):
        place = TopicPartition(topic, partition, 0)
        end = consumer.get_watermark_offsets(place, timeout=30)[1]
        consumer.assign([place])
        at = 0
        while at < end:
            for message in consumer.consume(10_000, 1.0):
                at = (message.offset() or 0) + 1
                if message.value() is not None:
                    yield answer_of(message.key() or b"", message.value())
    consumer.close()


def answer_of(key: bytes, value: bytes) -> tuple[str, int, int]:
    """Key, minute and count of one answer: of Faust's changelog, or as the others write them."""
    told = json.loads(value)
    if isinstance(told, int):
        name, (start, _) = json.loads(key)
        return name, int(start) // 60, told
    return told.get("key") or key.decode(), int(told["start"]) // 60_000, int(told["value"])


async def measure(
    client: dict[str, Any],
    folder: Path,
    chosen: Sequence[tuple[Load, Sequence[System]]],
    events: int,
    rounds: int,
) -> list[dict[str, Any]]:
    """One row for each load and system; medians of all rounds, in which they take turns."""
    rows = []
    for number, (load, systems) in enumerate(chosen):
        bench = Bench(client, folder / str(number), load, events)
        bench.folder.mkdir()
        runs: dict[str, list[Run]] = {}
        reasons: dict[str, str] = {}
        for system in [system for _ in range(rounds) for system in systems]:
            try:
                if system.name not in reasons:
                    runs.setdefault(system.name, []).append(await bench.run(system))
            except (environments.UnavailableError, FailedError) as error:
                reasons[system.name] = str(error)
        for system in systems:
            reason = reasons.get(system.name, "")
            rows.append(row_of(load, system, [] if reason else runs[system.name], reason))
            print(f"  {json.dumps(rows[-1])}", file=sys.stderr, flush=True)
    return rows


def row_of(load: Load, system: System, runs: list[Run], reason: str) -> dict[str, Any]:
    """A row of the table."""
    kinds = [] if system.count_only else [kind for kind, _ in load.measures]
    row: dict[str, Any] = {
        "load": load.name,
        "system": system.name,
        "measures": ", ".join(["count", *kinds]),
        "count_only": system.count_only,
        "keeps": system.keeps,
    }
    if not runs:
        return row | {"not_run": reason}
    return row | {
        "events": runs[0].events,
        "us_cpu": round(statistics.median(run.cpu_s / run.events * 1e6 for run in runs), 2),
        "us_wall": round(statistics.median(run.wall_s / run.events * 1e6 for run in runs), 2),
        "all_us_cpu": [round(run.cpu_s / run.events * 1e6, 2) for run in runs],
        "peak_mb": round(max(run.peak_mb for run in runs)),
        "wrong": max(run.wrong for run in runs),
    }
