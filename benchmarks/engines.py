"""How fast the two engines of a replay fold the same objects, in worker processes, side by side.

python -m benchmarks.engines [copies] [processes]

Real events, each as often as `copies` says with an id of its own, as on a busier day: flights of
a year (a cell for nearly each flight) and, where FASTDATA_TEST_DATA has them, edits of Wikipedia.
Reading is from memory and nothing is published: only decoding, folding and dumping are timed.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastdata
from fastdata import Metric
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.batch.engine import choose_engine
from fastdata.batch.job import Engine, Job, Piece
from fastdata.batch.plan import Group, index_hours, make_groups
from fastdata.batch.processes import FoldingPool
from fastdata.coordinates.segments import segment_of
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode

GROUPS: dict[Engine, int] = {"rows": 25_000, "columns": 200_000}
DECLARED = Path("tests/agreement/declared")


def repeated(records: Iterator[dict[str, Any]], name: str, copies: int) -> Iterator[dict[str, Any]]:
    """Each record so often, with ids that follow each other."""
    for number, record in enumerate(records):
        for copy in range(copies):
            found = number * copies + copy
            yield record | {name: found if isinstance(record[name], int) else str(found)}


async def archived(
    metric: Metric, records: Iterator[dict[str, Any]], schemas: Path
) -> ArchiveReader:
    """An archive of these records, in memory."""
    source = metric.source
    storage = open_archive_storage("memory:///")
    archive = PartitionArchive(storage, source, Decoder(source, FolderRegistry(schemas)), 0)
    await archive.open(0)
    for offset, record in enumerate(records):
        archive.append(ArchivedRecord(offset, 0, None, encode(source.schema, record)))
        if offset % source.segment_size == source.segment_size - 1:
            await archive.flush()
    return ArchiveReader(storage, source)


async def jobs(
    reader: ArchiveReader, snapshot: Snapshot, groups: Sequence[Group], engine: Engine, size: int
) -> AsyncIterator[tuple[int, Job]]:
    """What a replay hands to its processes, with how many events each job has."""
    objects = snapshot.objects()
    for group in groups:
        pieces = []
        for entry in (objects[index] for index in group.objects):
            place = entry.partition, segment_of(entry.first, size), entry.schema
            piece = Piece(*place, data=await reader.read_whole(entry))
            if engine == "rows":
                piece = replace(piece, data=b"", records=await reader.read(entry))
            pieces.append(piece)
        wanted = dict.fromkeys(group.spans, (0,))
        yield sum(group.spans.values()), Job(group.spans, wanted, pieces, engine)


async def fold(metric: Metric, reader: ArchiveReader, engine: Engine, processes: int) -> None:
    """One line."""
    snapshot = await reader.snapshot()
    size = metric.source.segment_size
    hours = index_hours(snapshot.objects())
    groups = make_groups(hours, hours, GROUPS[engine])
    choose_engine(engine, metric, {entry.schema for entry in snapshot.objects()})
    events = totals = 0
    with FoldingPool(processes) as pool:
        # The processes start, and load the declaration.
        async for _ in pool.results([metric], jobs(reader, snapshot, groups[:2], engine, size)):
            pass
        began = time.perf_counter()
        results = pool.results([metric], jobs(reader, snapshot, groups, engine, size))
        async with aclosing(results):
            async for count, folded in results:
                events += count
                totals += sum(map(len, folded.totals.values()))
        seconds = time.perf_counter() - began
    print(
        f"{metric.name:12} {engine:8} {events:11,} events {totals:9,} totals {seconds:7.2f} s "
        f"{events / seconds:11,.0f} events/s"
    )


async def main(copies: int, processes: int) -> None:
    """Two lines for each metric."""
    from fastdata.demo.flights import read_flights
    from tests.agreement.sets import read_wikipedia

    flights = fastdata.load("agents/flights.py").departures
    pages = fastdata.load(DECLARED / "agents/wikipedia.py")
    sets = [
        (flights, (each.record for each in read_flights()), "flight_id", Path("schemas")),
        (pages.edits, read_wikipedia(), "edit", DECLARED / "schemas"),
    ]
    for metric, records, name, schemas in sets:
        reader = await archived(metric, repeated(records, name, copies), schemas)
        for engine in ("rows", "columns"):
            await fold(metric, reader, engine, processes)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*(numbers + [20, 2][len(numbers) :])))
