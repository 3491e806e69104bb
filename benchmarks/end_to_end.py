"""How fast events go through worker, archive and replay on real servers, and how fresh answers are.

python benchmarks/end_to_end.py [--events 500000] [--pages 100] [--rate 1000] [--seconds 60]

The servers are those of the settings, so that this is one line beside `make services`. Three parts:

1. A day of events lies in the topic before worker and archive start, and is worked off.
2. Events come at a rate. The k-th is answered when a query counts k events; queries follow each
   other without a pause, as in a dashboard that is never still.
3. A replay counts the day.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fastdata import Settings, query
from fastdata.coordinates.instants import DAY_MS, floor_to, to_datetime
from fastdata.declare.catalog import load_folder
from fastdata.declare.metric import Metric
from fastdata.events.registry import open_registry
from fastdata.events.schema import encode
from fastdata.events.url_registry import UrlRegistry
from fastdata.kafka.connection import Broker
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

PARTITIONS = 4
AGENTS = """
from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques

views = Source("{name}", topic="{name}", schema="schemas/view.avsc", time="at", id="id",
               lateness="2d", segment_size=10_000)
pages = Metric("pages", views, by=["page"],
               measures={{"views": Count(), "bytes": Sum("bytes"), "ms": Mean("ms"),
                         "slowest": Max("ms"), "visitors": Uniques("visitor")}})
"""
SCHEMA = {
    "type": "record",
    "name": "View",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        *({"name": name, "type": "string"} for name in ("page", "visitor")),
        *({"name": name, "type": "long"} for name in ("bytes", "ms")),
    ],
}


class Sending:
    """Appends views of pages to the topic."""

    def __init__(self, metric: Metric, broker: Broker, schema_id: int, pages: int) -> None:
        self.sent = 0
        self._schema, self._id, self._pages = metric.source.schema, schema_id, pages
        self._topic = metric.source.topic
        self._rng = random.Random(1)
        self._producer = Producer({**broker.librdkafka(), "linger.ms": 5})

    def send(self, at: int) -> None:
        """Append one view at `at`, ms UTC."""
        rng, n = self._rng, self.sent
        view = {
            "id": f"{n:012}",
            "at": at,
            "page": f"/{int(self._pages * rng.random() ** 2)}",
            "visitor": f"v{rng.randrange(20_000)}",
            "bytes": rng.randrange(50_000),
            "ms": rng.randrange(2_000),
        }
        value = encode(self._schema, view, self._id)
        self._producer.produce(self._topic, value, partition=n % PARTITIONS)
        self.sent += 1
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has all."""
        while self._producer.flush(10):
            pass


@contextmanager
def command(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A command of fastdata in a folder; stopped at the end."""
    with (folder / f"{words[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastdata.cli.main", *words],
            cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


async def folded(store: ServingStore, topic: str) -> int:
    """How many records are folded."""
    return sum(p.next_offset for p in await store.progress(topic))


async def work_off(store: ServingStore, metric: Metric, count: int) -> tuple[float, float]:
    """Seconds until the first record is folded, and from then on until all are."""
    began, first = time.monotonic(), 0.0
    while (done := await folded(store, metric.source.topic)) < count:
        if done and not first:
            first, early = time.monotonic(), done
        await asyncio.sleep(0.1)
    now = time.monotonic()
    print(f"  {count - early:,} events after the first {early:,}: "
          f"{(count - early) / (now - first):,.0f} events/s")  # fmt: skip
    return first - began, now - first


async def archived(process: "subprocess.Popen[str]", count: int) -> float:
    """Seconds until the archive has all of them."""
    began = time.monotonic()
    while process.stdout and (line := await asyncio.to_thread(process.stdout.readline)):
        if sum(json.loads(line)["durable"].values()) >= count:
            break
    return time.monotonic() - began


async def be_fresh(
    store: ServingStore, metric: Metric, sending: Sending, rate: int, seconds: int
) -> tuple[list[float], list[float]]:
    """Ages of events when a query counts them, and how long the queries took; in seconds."""
    start = floor_to(int(time.time() * 1000), 60_000)
    times = to_datetime(start), to_datetime(start + DAY_MS)
    sent: list[float] = []
    ages: list[float] = []
    took: list[float] = []

    async def send() -> None:
        began = time.time()
        while (now := time.time()) < began + seconds:
            while len(sent) < (now - began) * rate:
                sending.send(int(now * 1000))
                sent.append(now)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(send())
    deadline = time.monotonic() + seconds + 30
    while (not task.done() or len(ages) < len(sent)) and time.monotonic() < deadline:
        asked = time.monotonic()
        table = await query(metric, *times, every="all", store=store)
        took.append(time.monotonic() - asked)
        counted = sum(table.column("views").to_pylist())
        now = time.time()
        ages += [now - at for at in sent[len(ages) : counted]]
    await task
    sending.flush()
    if len(ages) != len(sent):
        raise SystemExit(f"{len(sent)} events were sent and {len(ages)} answered")
    return ages, took


def shown(values: list[float]) -> str:
    """Median, 99th percentile and maximum in ms."""
    ordered = sorted(values)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {p50 * 1000:,.0f} ms, p99 {p99 * 1000:,.0f} ms, max {ordered[-1] * 1000:,.0f} ms"


async def main(events: int, pages: int, rate: int, seconds: int, folder: Path) -> None:
    """Run the three parts."""
    settings = Settings.load()
    broker, name = Broker.of(settings), f"views-{os.getpid()}"
    for part in ("agents", "schemas"):
        (folder / part).mkdir()
    (folder / "agents/views.py").write_text(AGENTS.format(name=name))
    (folder / "schemas/view.avsc").write_text(json.dumps(SCHEMA))
    os.environ["FASTDATA_AGENTS"], os.environ["FASTDATA_STATE"] = "agents", "state"
    os.environ["FASTDATA_APPLICATION_ID"] = name
    metric = load_folder(folder / "agents").metric("pages")
    schema_id = metric.source.schema.id
    registry = open_registry(settings.registry, settings.registry_ca)
    if isinstance(registry, UrlRegistry):
        schema_id = await registry.register(f"{name}-value", metric.source.schema)
    admin = AdminClient(broker.librdkafka())
    admin.create_topics([NewTopic(name, num_partitions=PARTITIONS)])[name].result(30)

    sending = Sending(metric, broker, schema_id, pages)
    yesterday = floor_to(int(time.time() * 1000), DAY_MS) - DAY_MS
    for n in range(events):
        sending.send(yesterday + n * DAY_MS // events)
    sending.flush()
    print(f"Kafka {settings.broker}, store {settings.shown()['store']}")
    async with open_store(settings.store) as store:
        with command(folder, "worker"), command(folder, "archive", "--json") as archive:
            print(f"{events:,} events of a day, {pages} pages")
            both = asyncio.gather(work_off(store, metric, events), archived(archive, events))
            (start_s, fold_s), archive_s = await both
            print(
                f"  worker: start {start_s:.1f} s, then {fold_s:.1f} s; archive {archive_s:.1f} s"
            )
            ages, took = await be_fresh(store, metric, sending, rate, seconds)
            print(f"{rate:,} events/s for {seconds} s, {len(took)} queries")
            print(f"  from event to answer: {shown(ages)}\n  a query: {shown(took)}")
    with command(folder, "replay", "--json") as replay:
        said = json.loads((await asyncio.to_thread(replay.communicate))[0])
    (report,), took_s = said["metrics"], said["seconds"]
    events_s, totals_s = report["events"] / took_s, report["totals"] / took_s
    print(f"replay of {report['recomputed']} hours in {took_s:.1f} s:")
    print(f"  {report['events']:,} events: {events_s:,.0f} events/s")
    print(f"  {report['totals']:,} totals: {totals_s:,.0f} totals/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(asked.events, asked.pages, asked.rate, asked.seconds, Path(made)))
