"""How much memory a worker and a replay take for a metric with very many keys an hour.

python benchmarks/keys.py [--keys 100000] [--per-key 3] [--hours 3] [--workers 2] [--worker]

Each key has some events in each hour, in minutes of their own, so that nearly every event is a cell
and a total: the worst case. The replay reads an archive in a folder and writes to SQLite. With
--worker, a worker folds the same events from the Kafka of the settings (see `make services`).
Memory is the largest sum of the resident sets of a process and its children, pages that they share
counted for each.
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
from pathlib import Path

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fastdata import Settings
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to
from fastdata.declare.catalog import load_folder
from fastdata.declare.source import Source
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.kafka.connection import Broker
from fastdata.store.opening import open_store

AGENTS = """
from fastdata import Count, Metric, Source, Sum, Uniques

clicks = Source("{name}", topic="{name}", schema="schemas/click.avsc", time="at", id="id",
                lateness="2d", segment_size=50_000)
by_key = Metric("by_key", clicks, by=["key"],
                measures={{"clicks": Count(), "cents": Sum("cents"), "users": Uniques("user")}})
"""
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        *({"name": name, "type": "string"} for name in ("id", "key", "user")),
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "cents", "type": "long"},
    ],
}
Value = tuple[int, bytes]


def events(source: Source, keys: int, per_key: int, hours: int) -> Iterator[Value]:
    """Times and values, hour by hour, the keys of each in any order."""
    rng = random.Random(1)
    first = floor_to(time.time_ns() // 1_000_000, DAY_MS) - DAY_MS
    number = 0
    for hour in range(hours):
        drawn = list(range(keys)) * per_key
        rng.shuffle(drawn)
        for index, key in enumerate(drawn):
            at = first + hour * HOUR_MS + index * HOUR_MS // len(drawn)
            click = {"id": f"{number:012}", "key": f"product-{key:08}", "at": at}
            click |= {"user": f"u{rng.randrange(1_000_000)}", "cents": rng.randrange(100_000)}
            number += 1
            yield at, encode(source.schema, click)


async def archive(source: Source, folder: Path, values: Iterator[Value]) -> None:
    """Write them as the archiver does, without Kafka, and close the last segment."""
    decoder = Decoder(source, FolderRegistry(folder / "schemas"))
    storage = open_archive_storage(str(folder / "archive"))
    partition = PartitionArchive(storage, source, decoder, 0)
    await partition.open(0)
    offset = 0
    for offset, (at, value) in enumerate(values, 1):
        partition.append(ArchivedRecord(offset - 1, at, None, value))
        if offset % source.segment_size == 0:
            await partition.flush()
    partition.advance(-(-offset // source.segment_size) * source.segment_size)
    await partition.flush(force=True)


class Watched:
    """A command of fastdata, and the most memory that it and its children took."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.peak_bytes = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastdata.cli.main", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        parent = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            total = 0
            for process in (parent, *_children(parent)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)
            await asyncio.sleep(0.02)

    async def end(self) -> str:
        """What it printed, when it has ended."""
        printed = (await asyncio.to_thread(self.process.communicate))[0]
        await self._watching
        if self.process.returncode:
            raise SystemExit(f"{self.process.args} ended with {self.process.returncode}")
        return printed

    def show(self, what: str, took_s: float) -> None:
        """One line of the result."""
        print(f"{what}: {self.peak_bytes / 1e9:.2f} GB at most, {took_s:.0f} s")


def _children(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return parent.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


async def measure_worker(source: Source, folder: Path, values: Iterator[Value]) -> None:
    """Fold all of them with a worker."""
    broker = Broker.of(Settings.load())
    admin = AdminClient(broker.librdkafka())
    admin.create_topics([NewTopic(source.topic, num_partitions=1)])[source.topic].result(30)
    producer = Producer({**broker.librdkafka(), "linger.ms": 5})
    count = 0
    for count, (_, value) in enumerate(values, 1):
        head = b"\0" + source.schema.id.to_bytes(4, "big")
        producer.produce(source.topic, head + value[len(head) :], partition=0)
        producer.poll(0)
        if count % 50_000 == 0:
            producer.flush()
    producer.flush()
    worker, began = Watched(folder, "worker"), time.monotonic()
    async with open_store(f"sqlite:///{folder / 'worker.db'}") as store:
        while sum(p.next_offset for p in await store.progress(source.topic)) < count:
            if worker.process.poll() is not None:
                raise SystemExit("the worker ended")
            await asyncio.sleep(0.5)
    took_s = time.monotonic() - began
    worker.process.terminate()
    await worker.end()
    worker.show(f"worker, {count:,} events", took_s)


async def main(asked: argparse.Namespace, folder: Path) -> None:
    """Print a line for the replay and, when asked for, one for the worker."""
    name = f"clicks-{os.getpid()}"
    for part in ("agents", "schemas"):
        (folder / part).mkdir()
    (folder / "agents/clicks.py").write_text(AGENTS.format(name=name))
    (folder / "schemas/click.avsc").write_text(json.dumps(SCHEMA))
    os.environ |= {
        "FASTDATA_AGENTS": "agents",
        "FASTDATA_REGISTRY": "schemas",
        "FASTDATA_STATE": "state",
        "FASTDATA_APPLICATION_ID": name,
        "FASTDATA_ARCHIVE": "archive",
    }
    source = load_folder(folder / "agents").metric("by_key").source
    drawn = (source, asked.keys, asked.per_key, asked.hours)
    print(f"{asked.keys:,} keys an hour with {asked.per_key} events each, {asked.hours} hours")
    await archive(source, folder, events(*drawn))
    os.environ["FASTDATA_STORE"] = "sqlite:///replay.db"
    workers = () if asked.workers is None else ("--workers", str(asked.workers))
    replay = Watched(folder, "replay", "--json", *workers)
    said = json.loads(await replay.end())
    (report,) = said["metrics"]
    replay.show(f"replay, {report['totals']:,} totals", said["seconds"])
    if asked.worker:
        os.environ["FASTDATA_STORE"] = "sqlite:///worker.db"
        await measure_worker(source, folder, events(*drawn))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--per-key", type=int, default=3)
    parser.add_argument("--hours", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--worker", action="store_true")
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(parser.parse_args(), Path(made)))
