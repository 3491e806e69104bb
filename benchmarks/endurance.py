"""A worker, and an archiver beside it, for an hour at a steady share of the worker's capacity.

The capacity is measured first, as in benchmarks/fresh.py. Then a process sends views of 1,000 pages
whose times are when they are sent, and every ten seconds a row says what worker and archiver use,
how far behind the worker is, and how long the events of these ten seconds took to the store, where
each answer finds them: the store is asked ten times a second, and a query counts the last two
minutes once in ten seconds. A partition stands still while it has records that are not in the store
and none gets there.

At the end counts, sums and means of each page and minute are compared with what was sent, and the
number of archived records; 1 if one is missing or too many. Starts a Kafka of its own.

Examples:
  python -m benchmarks.endurance --minutes 60 --share 0.5 --json out.json
  python -m benchmarks.endurance --minutes 5 --rate 5000 --store postgresql://…
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks import loads, machine, sending, tables
from benchmarks.__main__ import kafka
from benchmarks.feed import Feed, answered, expected, wrong
from benchmarks.fresh import share
from benchmarks.loads import views
from benchmarks.processes import FailedError, running
from benchmarks.worker import FASTDATA, PATIENCE_S, folded, until, work_off, worker_environment
from fastdata import Metric, query
from fastdata.coordinates.instants import MINUTE_MS, now_ms, to_datetime
from fastdata.events.schema import encode
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

PAGES, REPEATED = 1_000, 20_000
PAUSE_S, SAMPLE_S, ROW_S = 0.1, 10.0, 300.0
Row = dict[str, Any]


@dataclass
class Standstill:
    """How long a partition that has records to fold has not been folded further."""

    longest_s: float = 0.0
    _moved: dict[int, tuple[int, float]] = field(default_factory=dict)

    def see(self, offsets: dict[int, int], is_behind: bool, now: float) -> None:
        """Look at the next offset of each partition."""
        for p, offset in offsets.items():
            before, since = self._moved.get(p, (-1, now))
            if offset > before or not is_behind:
                self._moved[p] = offset, now
            else:
                self.longest_s = max(self.longest_s, now - since)

    def take(self) -> float:
        """The longest one since the last call."""
        longest, self.longest_s = self.longest_s, 0.0
        return longest


@dataclass
class Watch:
    """Looks at everything while it runs.

    Attributes:
        before: How many records the topic had before the feed began.
    """

    feed: Feed
    store: ServingStore
    metric: Metric
    worker: int
    archiver: int
    folder: Path
    before: int
    rows: list[Row] = field(default_factory=list)
    _ages: list[float] = field(default_factory=list)
    _still: Standstill = field(default_factory=Standstill)
    _folded: int = 0

    async def look(self) -> None:
        """Ask the store how far the worker is: what is in the store is in the next answer."""
        offsets = {
            p.partition: p.next_offset for p in await self.store.progress(self.metric.source.topic)
        }
        now, self._folded = time.time(), sum(offsets.values()) - self.before
        self._still.see(offsets, self._folded < self.feed.sent, now)
        self._ages += self.feed.answer(self._folded, now)

    async def ask(self) -> Row:
        """Count the views of the last two minutes.

        Returns:
            How many milliseconds it takes, and how many events the store said to have that are not
            counted.
        """
        last = now_ms() // MINUTE_MS
        times = to_datetime((last - 1) * MINUTE_MS), to_datetime((last + 2) * MINUTE_MS)
        folded, began = self._folded, time.monotonic()
        table = await query(self.metric, *times, every="all", by=[], store=self.store)
        took = time.monotonic() - began
        counted = self.feed.before(last - 1) + sum(table.column("count").to_pylist())
        return {"query_ms": round(1_000 * took, 1), "uncounted": max(0, folded - counted)}

    async def run(self, has_failed: Callable[[], bool]) -> None:
        """A row every ten seconds until all is sent and answered.

        Raises:
            FailedError: A process has ended, or nothing was answered for two minutes.
        """
        began = time.time()
        while not (self.feed.is_over and self._folded >= self.feed.sent):
            meter, start = machine.Meter(), time.time()
            used, at = self._used(), self._folded
            while time.time() < start + SAMPLE_S:
                await self.look()
                if self._still.longest_s > PATIENCE_S:
                    raise FailedError(f"a partition stands still at {self._folded:,} events")
                if has_failed():
                    raise FailedError((self.folder / "log").read_text()[-4_000:])
                await asyncio.sleep(PAUSE_S)
            self.rows.append(self._row(time.time() - began, used, at) | _others(meter))
            self.rows[-1] |= await self.ask()
            print(json.dumps(self.rows[-1]), file=sys.stderr, flush=True)
        await self.look()

    def _used(self) -> tuple[float, float]:
        return machine.cpu_s(self.worker), machine.cpu_s(self.archiver)

    def _row(self, seconds: float, used: tuple[float, float], before: int) -> Row:
        worker, archiver = (now - then for now, then in zip(self._used(), used, strict=True))
        count, ages = max(1, self._folded - before), self._ages or [0.0]
        oldest = self.feed.oldest
        row = {
            "seconds": round(seconds, 1),
            "events": count,
            "rss_mb": round(_rss_mb(self.worker), 1),
            "archiver_mb": round(_rss_mb(self.archiver), 1),
            "us_cpu": round(worker / count * 1e6, 2),
            "archiver_us_cpu": round(archiver / count * 1e6, 2),
            "lag": self.feed.sent - self._folded,
            "lag_s": round(time.time() - oldest, 2) if oldest else 0.0,
            "p50_ms": round(1_000 * share(ages, 0.5)),
            "p99_ms": round(1_000 * share(ages, 0.99)),
            "still_s": round(self._still.take(), 2),
        }
        for part in ("state", "archive"):
            files = [file for file in (self.folder / part).rglob("*") if file.is_file()]
            row |= {f"{part}_files": len(files), f"{part}_mb": _size_mb(files)}
        self._ages = []
        return row | {"store_mb": _size_mb(self.folder.glob("store.db*"))}


def _others(meter: machine.Meter) -> Row:
    read = meter.read()
    return {name: read[name] for name in ("own_cores", "other_cores")}


def _rss_mb(pid: int) -> float:
    total = 0
    for process in machine.tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def _size_mb(files: Iterator[Path] | Sequence[Path]) -> float:
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # compacted or merged meanwhile
            continue
    return round(total / 2**20, 1)


def slope(rows: Sequence[Row], name: str, after_s: float) -> float | None:
    """Of a column, an hour, fitted over the rows after the warm-up; None if these are few."""
    used = [row for row in rows if row["seconds"] >= after_s]
    if len(used) < 10:
        return None
    hours = [row["seconds"] / 3_600 for row in used]
    return round(statistics.linear_regression(hours, [row[name] for row in used]).slope, 2)


def by_five_minutes(rows: Sequence[Row]) -> list[Row]:
    """One row for each five minutes: medians, and the worst."""
    merged = []
    for number, group in itertools.groupby(rows, lambda row: int(row["seconds"] // ROW_S)):
        some = list(group)
        events = sum(row["events"] for row in some)
        row = {"minutes": f"{number * 5} to {number * 5 + 5}", "events": events}
        for name in ("us_cpu", "archiver_us_cpu"):
            row[name] = sum(r[name] * r["events"] for r in some) / events
        for name in ("rss_mb", "archiver_mb", "p50_ms", "query_ms", "other_cores", "own_cores"):
            row[name] = statistics.median(r[name] for r in some)
        for name in ("p99_ms", "lag", "lag_s", "still_s"):
            row[name] = max(r[name] for r in some)
        last = ("state_files", "state_mb", "archive_files", "archive_mb", "store_mb")
        merged.append(row | {name: some[-1][name] for name in last})
    return merged


def shown(result: Row) -> str:
    """The result as text."""
    number = tables.number
    columns: list[tables.Column] = [
        ("minutes", tables.text("minutes")),
        ("events", number("events")),
        ("worker MB", number("rss_mb")),
        ("CPU µs an event", number("us_cpu", 1)),
        ("p50 ms", number("p50_ms")),
        ("worst p99 ms", number("p99_ms")),
        ("most behind", number("lag")),
        ("s", number("lag_s", 1)),
        ("longest standstill s", number("still_s", 1)),
        ("state files", number("state_files")),
        ("state MB", number("state_mb", 1)),
        ("store MB", number("store_mb")),
        ("archiver MB", number("archiver_mb")),
        ("its CPU µs", number("archiver_us_cpu", 1)),
        ("archive files", number("archive_files")),
        ("archive MB", number("archive_mb")),
        ("query ms", number("query_ms")),
        ("other cores", number("other_cores", 2)),
    ]
    said = {k: v for k, v in result.items() if k not in ("rows", "machine")}
    return f"{tables.table(by_five_minutes(result['rows']), columns)}\n\n{json.dumps(said)}"


def declared(folder: Path, topic: str, segment_size: int) -> Metric:
    """The metric of the benchmark."""
    more = f", segment_size={segment_size}, lateness='2d'"
    return replace(views(PAGES), more=more).declare(folder, topic)


async def capacity(
    client: Row, topic: str, events: int, messages: list[Any], store: ServingStore, process: Any
) -> float:
    """Events a second that a worker gets through, when they lie there."""
    loads.send(client, topic, messages)
    again = max(1, events // len(messages) - 1)
    others = itertools.chain.from_iterable(itertools.repeat(messages, again))
    total = (again + 1) * len(messages)
    send = partial(loads.send, client, topic, others)
    _, wall = await work_off(process, store, topic, len(messages), total, send)
    return again * len(messages) / wall


async def measure(client: Row, folder: Path, asked: argparse.Namespace) -> Row:
    """Run it, to the end."""
    topic = f"bench-endurance-{time.time_ns()}"
    metric = declared(folder, topic, asked.segment_size)
    schema, events = metric.source.schema, list(views(PAGES).events(REPEATED))
    messages = [(e["page"], e["at"], encode(schema, e, schema.id), -1) for e in events]
    sending.write(folder / "messages", messages)
    loads.create(client, topic)
    environment = worker_environment(client, folder, topic)
    environment["FASTDATA_MAX_CELLS"] = str(asked.max_cells)
    environment["FASTDATA_STORE"] = asked.store or environment["FASTDATA_STORE"]
    async with open_store(environment["FASTDATA_STORE"]) as store:
        with running((*FASTDATA, "worker"), folder, environment) as worker:
            most = await capacity(client, topic, asked.events, messages, store, worker)
            rate = asked.rate or int(most * asked.share)
            print(f"capacity {most:,.0f} events/s, {rate:,} are sent", file=sys.stderr, flush=True)
            given = {
                "servers": client["bootstrap.servers"], "topic": topic, "rate": rate,
                "messages": str(folder / "messages"), "seconds": asked.minutes * 60,
                "is_dated": True,
            }  # fmt: skip
            watch, archived = await steady(store, metric, worker, folder, environment, given)
            peak = machine.peak_mb(worker.pid)
        found = await answered(store, metric, list(watch.feed.minutes))
    slopes = ("rss_mb", "archiver_mb", "us_cpu", "lag", "p50_ms", "p99_ms")
    return {
        "machine": machine.facts(), "store": (asked.store or "sqlite").partition(":")[0],
        "capacity": round(most), "rate": rate, "sent": watch.feed.sent, "peak_mb": round(peak),
        "appended": loads.end(client, topic) - watch.before, "archived": archived,
        "uncounted": max(row["uncounted"] for row in watch.rows),
        **wrong(expected(watch.feed, events), found),
        "slope_an_hour": {name: slope(watch.rows, name, asked.warm_up * 60) for name in slopes},
        "rows": watch.rows,
    }  # fmt: skip


async def steady(
    store: ServingStore, metric: Metric, worker: Any, folder: Path, environment: Any, given: Row
) -> tuple[Watch, int]:
    """Send at a steady rate; what was seen, and how many of these events are in the archive."""
    topic, before = given["topic"], await folded(store, given["topic"])
    archive = (*FASTDATA, "archive", "--json")
    sender = (sys.executable, "-m", "benchmarks.sending", json.dumps(given))
    path = {"PYTHONPATH": str(loads.ROOT)}
    with running(archive, folder, environment) as archiver, running(sender, folder, path) as feeder:
        lines: deque[str] = deque(maxlen=1)
        follow = partial(lines.extend, archiver.stdout or ())
        threading.Thread(target=follow, daemon=True).start()
        feed = Feed()
        feed.follow(feeder.stdout or ())
        watch = Watch(feed, store, metric, worker.pid, archiver.pid, folder, before)
        await watch.run(lambda: any(p.poll() for p in (worker, archiver, feeder)))
        await until(store, topic, before + feed.sent, worker)
        return watch, await _archived(lines, before + feed.sent) - before


async def _archived(lines: deque[str], count: int) -> int:
    """How many records the archiver says are durable, when they are so many or a minute is over."""
    deadline, held = time.monotonic() + 60, 0
    while held < count and time.monotonic() < deadline:
        held = sum(json.loads(lines[0])["durable"].values()) if lines else 0
        await asyncio.sleep(0.5)
    return held


def main(arguments: list[str]) -> int:
    """Measure and print; 1 if anything is lost or counted twice."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.endurance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60, help="[default: 60]")
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity [default: 0.5]")
    parser.add_argument("--rate", type=int, help="events a second, instead of a share")
    parser.add_argument("--store", help="URL of the store [default: a SQLite file]")
    parser.add_argument("--events", type=int, default=400_000, help="to measure the capacity")
    parser.add_argument("--warm-up", type=float, default=15, help="minutes before slopes begin")
    parser.add_argument(
        "--max-cells", type=int, default=10_000, help="states in memory, soon reached [10,000]"
    )
    parser.add_argument("--segment-size", type=int, default=1_000_000, help="offsets [1,000,000]")
    parser.add_argument("--json", metavar="FILE", help="the result, beside the table")
    parser.add_argument("--broker", default="", help="a Kafka instead of one that is started")
    asked = parser.parse_args(arguments)
    asked.only = ["fresh"]
    with (
        tempfile.TemporaryDirectory(prefix="fastdata-bench-") as made,
        kafka(asked, Path(made)) as client,
    ):
        folder = Path(made) / "run"
        folder.mkdir()
        result = asyncio.run(measure(client, folder, asked))
    if asked.json:
        Path(asked.json).write_text(json.dumps(result))
    print(shown(result))
    is_wrong = any(result[name] for name in ("lost", "double", "wrong_sums", "uncounted"))
    return 1 if is_wrong or result["archived"] != result["sent"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
