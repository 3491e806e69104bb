"""What rollups cost a replay: time, memory and bytes, with and without them, side by side.

python -m benchmarks.keeping [events]

A day of visits of which each second one is of a new visitor, with an id of 36 characters: without
dimensions, by 50 countries, and by 20,000 pages, where nearly each event is a cell of its own.
Each line is a process of its own, which folds and keeps hours; nothing is read from a disk. Time is
that of the processor.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from benchmarks.engines import GROUPS, jobs
from fastdata import Count, Metric, Source, Sum, Uniques
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.archive.reader import ArchiveReader
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import Engine
from fastdata.batch.plan import Contents, make_groups
from fastdata.batch.processes import FoldingPool
from fastdata.batch.rollups.storage import KeptHours
from fastdata.coordinates.instants import DAY_MS, parse_instant
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode

START = parse_instant("2024-03-01")
SCHEMA = {
    "type": "record",
    "name": "Visit",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "visitor", "type": "string"},
        {"name": "country", "type": "int"},
        {"name": "page", "type": "int"},
        {"name": "bytes", "type": "int"},
    ],
}
DIMENSIONS: dict[str, Sequence[str]] = {"none": (), "country": ("country",), "page": ("page",)}


def declared(folder: Path, by: Sequence[str], rollups: Sequence[str]) -> Metric:
    """The metric over a source of its own."""
    (folder / "visit.avsc").write_text(json.dumps(SCHEMA))
    source = Source("visits", topic="visits", schema=str(folder / "visit.avsc"), time="at")
    measures = {"visits": Count(), "bytes": Sum("bytes"), "visitors": Uniques("visitor")}
    return Metric("visits", source, by, measures, rollups=rollups)


def visits(events: int) -> Iterator[dict[str, object]]:
    """In order of time; numbers are spread by a multiplier, so that all is as in each run."""
    for number in range(events):
        mixed = number * 2_654_435_761 % 2**32
        visitor = number if number % 2 else mixed % max(1, number)
        yield {
            "at": START + number * DAY_MS // events,
            "visitor": str(UUID(int=visitor * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
            "country": mixed % 50,
            "page": mixed % 20_000,
            "bytes": number % 10_000,
        }


async def archived(metric: Metric, storage: ArchiveStorage, folder: Path, events: int) -> None:
    """An archive of these visits."""
    source = metric.source
    archive = PartitionArchive(storage, source, Decoder(source, FolderRegistry(folder)), 0)
    await archive.open(0)
    for offset, visit in enumerate(visits(events)):
        archive.append(ArchivedRecord(offset, 0, None, encode(source.schema, visit)))
        if offset % source.segment_size == source.segment_size - 1:
            await archive.flush()
    archive.advance(-(-events // source.segment_size) * source.segment_size)
    await archive.flush(force=True)


async def measure(engine: Engine, by: str, rollups: Sequence[str], events: int) -> None:
    """One line, of this process."""
    with tempfile.TemporaryDirectory() as name:
        metric = declared(Path(name), DIMENSIONS[by], rollups)
        storage = open_archive_storage("memory:///")
        await archived(metric, storage, Path(name), events)
        reader = ArchiveReader(storage, metric.source)
        snapshot = await reader.snapshot()
        size = metric.source.segment_size
        contents = Contents.of(snapshot.coverage, snapshot.objects(), size)
        groups = make_groups(contents.hours, contents.hours, GROUPS[engine])
        before = _peak_mb()
        began, cells = time.process_time(), 0
        kept = await KeptHours.listed(
            storage, metric, contents, contents.hours, is_newest=True, again=False
        )
        with FoldingPool(0) as pool:
            work = jobs(reader, snapshot, groups, engine, size)
            async for _, folded in pool.results([metric], work):
                cells += sum(map(len, folded.totals.values()))
                await kept.write({span: rows for (_, span), rows in folded.hours.items()})
        seconds = time.process_time() - began
        stored = sum(each.size for each in await storage.listing("rollups"))
    print(
        f"{engine:8} {by:8} {'with' if rollups else 'without':8} {cells:9,} totals "
        f"{seconds:7.2f} s {events / seconds:10,.0f} events/s {_peak_mb() - before:6,.0f} MB more "
        f"at its peak, {stored / 2**20:6.1f} MB kept"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(events: int) -> None:
    """All lines."""
    for engine in ("columns", "rows"):
        for by in DIMENSIONS:
            for rollups in ("", "day"):
                command = [sys.executable, "-m", "benchmarks.keeping", engine, by, rollups]
                subprocess.run([*command, str(events)], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        engine, by, rollups, events = sys.argv[1:]
        chosen: Engine = "rows" if engine == "rows" else "columns"
        asyncio.run(measure(chosen, by, [rollups] if rollups else [], int(events)))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
