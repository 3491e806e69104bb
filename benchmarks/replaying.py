"""A replay from the archive to the store, beside DuckDB and Polars on the same events. CPU.

Six hours of views of pages, one in a hundred of them sent twice, are in an archive (Avro, as the
archiver writes it) and in a Parquet file. All three take each id once, compute count, sum, mean
and exact distinct visitors by page and minute, and write what they found: `fastdata replay` to an
SQLite store, with what answers over any range need; the others to one Parquet file. Each is a
process from its start to its end. Their counts are compared, cell by cell, with what was sent.
"""

import asyncio
import json
import os
import random
import statistics
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import environments
from benchmarks.loads import PARTITIONS, Event, Load, counts_of, views
from benchmarks.processes import FailedError, Used, finished
from benchmarks.worker import FASTDATA, PEERS, answered, worker_environment
from fastdata import Metric
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.store.opening import open_store

HOURS = 6
COLUMNS = ("id", "at", "page", "visitor", "bytes", "ms")


class Day:
    """Events with repeats, and what is right of them."""

    def __init__(self, events: int) -> None:
        self.load: Load = replace(views(100, HOURS * 60), more=', id="id"')
        self.counts: Counter[tuple[str, int]] = Counter()
        self.events: list[Event] = []
        rng = random.Random(2)
        for event in self.load.events(events):
            self.counts[event["page"], event["at"] // 60_000] += 1
            self.events += [event] * (2 if rng.random() < 0.01 else 1)

    def differences(self, counts: dict[tuple[str, int], int]) -> int:
        """How many events are missing or too many."""
        cells = self.counts.keys() | counts.keys()
        return sum(abs(self.counts.get(cell, 0) - counts.get(cell, 0)) for cell in cells)

    def write_parquet(self, file: Path) -> None:
        """All events, in the order in which they were sent."""
        columns = {name: [event[name] for event in self.events] for name in COLUMNS}
        table = pa.table(columns)
        at = table.schema.get_field_index("at")
        table = table.set_column(at, "at", table.column("at").cast(pa.timestamp("ms")))
        pq.write_table(table, file)

    async def write_archive(self, folder: Path, metric: Metric) -> None:
        """The same, as the archiver does; repeats lie in the partition of their first one."""
        source = metric.source
        decoder = Decoder(source, FolderRegistry(folder / "schemas"))
        storage = open_archive_storage(f"file://{folder}/archive")
        parts: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        for event in self.events:
            value = encode(source.schema, event, source.schema.id)
            parts[int(event["id"]) % PARTITIONS].append(value)
        for partition, values in enumerate(parts):
            archive = PartitionArchive(storage, source, decoder, partition)
            await archive.open(0)
            for offset, value in enumerate(values):
                archive.append(ArchivedRecord(offset, 0, None, value))
                if offset % source.segment_size == source.segment_size - 1:
                    await archive.flush()
            await archive.flush(force=True)


async def replayed(day: Day, folder: Path, metric: Metric, number: int) -> tuple[Used, int]:
    """A replay into a new store: what it used, and by how many events it is wrong."""
    environment = worker_environment({"bootstrap.servers": "localhost:1"}, folder, "replay")
    environment["FASTDATA_STORE"] = f"sqlite:///{folder}/store{number}.db"
    words = (*FASTDATA, "replay", "--json")
    used = await asyncio.to_thread(finished, words, folder, environment)
    async with open_store(environment["FASTDATA_STORE"]) as store:
        return used, day.differences(await answered(store, metric, day.counts))


async def computed(day: Day, folder: Path, engine: str) -> tuple[Used, int]:
    """The same with an engine on Parquet."""
    python = await asyncio.to_thread(environments.python_of, "columns")
    out = folder / f"{engine}.parquet"
    words = (python, str(PEERS / f"{engine}_replay.py"), str(folder / "events.parquet"), str(out))
    clean = {name: "" for name in os.environ if name.startswith("OPENBLAS")}
    used = await asyncio.to_thread(finished, words, folder, clean)
    rows = [
        (row["page"], int(row["minute"].timestamp()) // 60, row["count"])
        for row in pq.read_table(out).to_pylist()
    ]
    return used, day.differences(counts_of(rows))


async def measure(folder: Path, events: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each engine."""
    day = Day(events)
    metric = day.load.declare(folder, "replay")
    await day.write_archive(folder, metric)
    day.write_parquet(folder / "events.parquet")
    runs: dict[str, list[tuple[Used, int]]] = {}
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        runs.setdefault("fastdata replay", []).append(await replayed(day, folder, metric, number))
        for name, engine in (("DuckDB", "duckdb"), ("Polars", "polars")):
            try:
                runs.setdefault(name, []).append(await computed(day, folder, engine))
            except (environments.UnavailableError, FailedError) as error:
                rows.append({"system": name, "not_run": str(error)})
    for name, used in runs.items():
        if used:
            rows.append(row_of(name, len(day.events), used))
            print(f"  {json.dumps(rows[-1])}", file=sys.stderr, flush=True)
    return rows


def row_of(name: str, events: int, runs: list[tuple[Used, int]]) -> dict[str, Any]:
    """A row of the table: medians of all rounds."""
    return {
        "system": name,
        "events": events,
        "cpu_s": round(statistics.median(used.cpu_s for used, _ in runs), 2),
        "wall_s": round(statistics.median(used.wall_s for used, _ in runs), 2),
        "us_cpu": round(statistics.median(used.cpu_s for used, _ in runs) / events * 1e6, 2),
        "wrong": max(wrong for _, wrong in runs),
    }
