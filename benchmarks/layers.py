"""How fast each step goes in one process: decoding, folding, flushing, archiving, replaying.

python benchmarks/layers.py [events]

The events are flights, of which nearly each has a cell of its own (minute, origin, carrier): the
worst case. The second line of folding has one cell a minute, the usual case. No broker, no disk.
It is the CPU that is measured, of all threads of the process.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import fastdata
from fastdata import Metric
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.demo.flights import read_flights
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.speed.state import DeadLetter
from fastdata.store.memory import MemoryStore

FLUSH_EVENTS = 10_000


class Nowhere:
    """A table and dead letters that keep nothing, so that only our own work is timed."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        """Nothing is stored."""
        return None

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Nothing is stored."""
        return iter(())

    async def write(self, rows: Mapping[int, Sequence[tuple[bytes, bytes | None]]]) -> None:
        """Forget the rows."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Forget the letters."""

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Forget the offsets."""
        return True


def show(what: str, seconds: float, events: int) -> None:
    """One line of the result."""
    rate, each = events / seconds, seconds / events * 1e6
    print(f"{what:36} {rate:10,.0f} events per CPU second {each:7.2f} us each")


async def fold(what: str, metric: Metric, values: Sequence[bytes]) -> None:
    """Fold and flush all events; two lines."""
    nowhere, source = Nowhere(), metric.source
    layer = SpeedLayer(
        source,
        [metric],
        Decoder(source, FolderRegistry(Path("schemas"))),
        table=nowhere,
        store=MemoryStore(),
        dead_letters=nowhere,
        commit=nowhere.commit,
        clock=lambda: time.time_ns() // 1_000_000,
    )
    await layer.open(0, None, 0, len(values))
    folding = flushing = 0.0
    for first in range(0, len(values), FLUSH_EVENTS):
        records = [
            Record(first + i, 0, None, value)
            for i, value in enumerate(values[first : first + FLUSH_EVENTS])
        ]
        began = time.process_time()
        for record in records:
            layer.fold(0, record)
        folded = time.process_time()
        await layer.flush()
        folding += folded - began
        flushing += time.process_time() - folded
    show(f"decode and fold, {what}", folding, len(values))
    show(f"flush, {what}", flushing, len(values))


async def main(events: int) -> None:
    """Print a line for each step."""
    departures = fastdata.load("agents/flights.py").departures
    by_minute = Metric("by_minute", departures.source, measures=departures.measures)
    source = departures.source
    values = [encode(source.schema, f.record) for f in islice(read_flights(), events)]
    registry = FolderRegistry(Path("schemas"))
    decoder = Decoder(source, registry)
    began = time.process_time()
    for value in values:
        decoder.decode(value)
    show("decode", time.process_time() - began, len(values))
    await fold("a cell for each event", departures, values)
    await fold("a cell a minute", by_minute, values)
    storage = open_archive_storage("memory:///")
    archive = PartitionArchive(storage, source, decoder, 0)
    await archive.open(0)
    began = time.process_time()
    for offset, value in enumerate(values):
        archive.append(ArchivedRecord(offset, 0, None, value))
        if offset % FLUSH_EVENTS == FLUSH_EVENTS - 1:
            await archive.flush()
    show("archive", time.process_time() - began, len(values))
    began = time.process_time()
    async with MemoryStore() as store:
        report = await replay([departures], store=store, archive=storage, workers=0)
    show("replay, one process", time.process_time() - began, report.metrics[0].events)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 100_000))
