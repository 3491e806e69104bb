"""What rollups cost a source that is sparse and long-lived: seconds and bytes of a whole replay.

python -m benchmarks.sparse [path|author|none] [changes]

Changes of files over fifteen years, in commits of some: 20,000 paths, each changed rarely, by 900
authors of whom few are active at a time. With `month` and `30d`, in SQLite, beside the same without
rollups; each is a process of its own.
"""

import asyncio
import json
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from fastdata import Count, Metric, Quantiles, Source, Sum, Uniques
from fastdata.answer.query import query
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.coordinates.instants import DAY_MS, parse_instant
from fastdata.declare.metric import Measure
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.store.opening import open_store

START, DAYS, PATHS, AUTHORS = parse_instant("2005-04-16"), 15 * 365, 20_000, 900
SCHEMA = {
    "type": "record",
    "name": "Change",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "path", "type": "string"},
        {"name": "author", "type": "string"},
        {"name": "lines", "type": "int"},
    ],
}
DIMENSIONS = {"path": ["path"], "author": ["author"], "none": []}


def declare(folder: Path, by: str, rollups: Sequence[str]) -> Metric:
    """The metric over its source."""
    (folder / "change.avsc").write_text(json.dumps(SCHEMA))
    source = Source("changes", topic="changes", schema=str(folder / "change.avsc"), time="at")
    measures: dict[str, Measure] = {
        "changes": Count(), "lines": Sum("lines"), "authors": Uniques("author"),
        "paths": Uniques("path"), "sizes": Quantiles("lines"),
    }  # fmt: skip
    return Metric("changes", source, DIMENSIONS[by], measures, rollups=rollups)


def changes(number: int) -> Iterator[dict[str, object]]:
    """In order of time, the same in each run."""
    rng = random.Random(1)
    at, step = float(START), DAYS * DAY_MS / number
    done = 0
    while done < number:
        files = min(number - done, 1 + int(rng.expovariate(1 / 3)))
        at += files * step * rng.expovariate(1)
        era = (at - START) / (DAYS * DAY_MS)
        author = int(era * AUTHORS + rng.expovariate(1 / 30)) % AUTHORS
        area = rng.randrange(PATHS // 20) * 20
        for _ in range(files):
            path = area + rng.randrange(20)
            yield {
                "at": int(at),
                "path": f"source/area{area // 400:02}/module{area // 20:04}/file{path:05}.c",
                "author": f"author{author:03}@example.org",
                "lines": 1 + int(rng.expovariate(1 / 20)),
            }
        done += files


async def fill(folder: Path, number: int) -> None:
    """The archive."""
    source = declare(folder, "none", ()).source
    storage = open_archive_storage(str(folder / "archive"), create=True)
    archive = PartitionArchive(storage, source, Decoder(source, FolderRegistry(folder)), 0)
    await archive.open(0)
    size = source.segment_size
    for offset, change in enumerate(changes(number)):
        archive.append(ArchivedRecord(offset, 0, None, encode(source.schema, change)))
        if offset % size == size - 1:
            await archive.flush()
    archive.advance(-(-number // size) * size)
    await archive.flush(force=True)


async def count(folder: Path, by: str, rollups: Sequence[str]) -> str:
    """A replay into a new store, and how many bytes it has of the metric and of its windows."""
    metric = declare(folder, by, rollups)
    path = folder / f"store-{len(rollups)}.db"
    began, worked = time.perf_counter(), time.process_time()
    async with open_store(f"sqlite:///{path}") as store:
        storage = open_archive_storage(str(folder / "archive"), create=False)
        report = await replay([metric], store=store, archive=storage, workers=0)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    parts = [f"{took:.1f} s, {worked:.1f} s of a processor, {report.metrics[0].rollups:,} windows"]
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = database.execute(
            "SELECT metric, count(*), sum(length(state)) FROM totals GROUP BY 1 ORDER BY 1"
        )
        for id, number, size in rows:
            name = "@".join(["totals", *id.split("@")[1:]])
            parts.append(f"{name}: {number:,} rows of {size / number:,.0f} B, {size / 1e6:.1f} MB")
    kept = sum(f.stat().st_size for f in (folder / "archive" / "rollups").rglob("*.parquet"))
    parts += [f"file {path.stat().st_size / 1e6:.0f} MB", f"kept {kept / 1e6:.0f} MB"]
    return "\n    ".join(parts)


async def ask(folder: Path, by: str, rollups: Sequence[str]) -> str:
    """Thirty days of each day of a year, and one alone."""
    metric = declare(folder, by, rollups)
    took = []
    async with open_store(f"sqlite:///{folder / f'store-{len(rollups)}.db'}") as store:
        for start, end in (("2012-01-01", "2012-01-02"), ("2015-01-01", "2016-01-01")):
            began = time.perf_counter()
            table = await query(
                metric, start, end, every="day", rolling="30d", by=DIMENSIONS[by], store=store
            )
            took.append(f"{table.num_rows:,} rows in {time.perf_counter() - began:.2f} s")
    return ", ".join(took)


def measured(step: str, folder: Path, by: str, rollups: Sequence[str]) -> str:
    """What a step says, and its peak of memory."""
    said = asyncio.run({"count": count, "ask": ask}[step](folder, by, rollups))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return f"{said}, peak {peak:,} MiB"


def main(by: str, number: int) -> None:
    """Print a line for each step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(fill(folder, number))
        for step in ("count", "ask"):
            for rollups in ((), ("month", "30d")):
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    said = pool.submit(measured, step, folder, by, rollups).result()
                print(step, *rollups, said, flush=True)


if __name__ == "__main__":
    by, number = [*sys.argv[1:3], *["path", "280000"][len(sys.argv) - 1 :]]
    main(by, int(number))
