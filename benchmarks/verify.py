"""What a verification of a day costs, over SQLite and an archive in a folder.

python -m benchmarks.verify [events] [folder]

A day of visits in four partitions, each with an id, folded by the speed layer, archived and
replayed; some events are of a segment that is still open. Two metrics of four measures, by 20 sites
and by 50 countries. Time is that of the processor. What is made in a folder that is named stays
there, and is verified again by the next call; add `--profile` to see where the time goes.
"""

import asyncio
import cProfile
import json
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.layers import Nowhere
from fastdata import Count, Max, Metric, Source, Sum, Uniques
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.replay import replay
from fastdata.coordinates.instants import DAY_MS, parse_instant
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from fastdata.verify.reports import VerifyReport
from fastdata.verify.verify import verify

START = parse_instant("2024-03-01")
PARTITIONS, SITES, COUNTRIES, USERS = 4, 20, 50, 50_000
CHUNK = 5_000
SCHEMA = {
    "type": "record",
    "name": "Visit",
    "fields": [
        {"name": "visit", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "user", "type": "string"},
        {"name": "site", "type": "string"},
        {"name": "country", "type": "string"},
        {"name": "bytes", "type": "int"},
    ],
}


def declared(folder: Path) -> list[Metric]:
    """The two metrics over one source."""
    (folder / "visit.avsc").write_text(json.dumps(SCHEMA))
    visits = Source(
        "visits", topic="visits", schema=str(folder / "visit.avsc"), time="at", id="visit",
        segment_size=10_000,
    )  # fmt: skip
    measures = {
        "visits": Count(), "bytes": Sum("bytes"), "largest": Max("bytes"), "users": Uniques("user")
    }  # fmt: skip
    return [Metric(f"by_{name}", visits, [name], measures) for name in ("site", "country")]


def logs(source: Source, events: int) -> list[list[tuple[int, bytes]]]:
    """Per partition, when each record came, and its value."""
    chance = random.Random(1)
    partitions: list[list[tuple[int, bytes]]] = [[] for _ in range(PARTITIONS)]
    for number in range(events):
        at = START + number * DAY_MS // events
        visit: dict[str, object] = {
            "visit": f"v{number}",
            "at": at,
            "user": f"user-{chance.randrange(USERS)}",
            "site": f"site-{chance.randrange(SITES)}",
            "country": f"country-{chance.randrange(COUNTRIES)}",
            "bytes": chance.randrange(100_000),
        }
        partitions[number % PARTITIONS].append((at, encode(source.schema, visit)))
    return partitions


async def fold(
    metrics: Sequence[Metric],
    partitions: Sequence[Sequence[tuple[int, bytes]]],
    store: ServingStore,
    decoder: Decoder,
) -> None:
    """Fold and flush all records into the store."""
    nowhere, now = Nowhere(), [START]
    layer = SpeedLayer(
        metrics[0].source,
        metrics,
        decoder,
        table=nowhere,
        store=store,
        dead_letters=nowhere,
        commit=nowhere.commit,
        clock=lambda: now[0],
    )
    for partition, records in enumerate(partitions):
        await layer.open(partition, None, 0, len(records))
    for first in range(0, max(map(len, partitions)), CHUNK):
        for partition, records in enumerate(partitions):
            for offset, (at, value) in enumerate(records[first : first + CHUNK], first):
                now[0] = max(now[0], at)
                layer.fold(partition, Record(offset, at, None, value))
            layer.see_end(partition, min(len(records), first + CHUNK), now[0])
        await layer.flush()


async def prepare(
    metrics: Sequence[Metric], store: ServingStore, storage: ArchiveStorage, folder: Path, n: int
) -> None:
    """Both layers over a day of so many events."""
    source = metrics[0].source
    decoder = Decoder(source, FolderRegistry(folder))
    partitions = logs(source, n)
    await fold(metrics, partitions, store, decoder)
    for partition, records in enumerate(partitions):
        archive = PartitionArchive(storage, source, decoder, partition)
        await archive.open(0)
        for offset, (at, value) in enumerate(records):
            archive.append(ArchivedRecord(offset, at, None, value))
        await archive.flush(force=True)
    await replay(metrics, store=store, archive=storage, workers=0, complete=True)


async def main(events: int, folder: Path) -> VerifyReport:
    """Prepare what is not there yet, verify, and print what it took."""
    metrics = declared(folder)
    storage = open_archive_storage(str(folder / "archive"))
    is_new = not (folder / "store.db").exists()
    async with open_store(f"sqlite:///{folder / 'store.db'}") as store:
        if is_new:
            await prepare(metrics, store, storage, folder, events)
        began = time.process_time()
        report = await verify(metrics, store=store, archive=storage, sample=24)
        print(f"verify --sample 24: {time.process_time() - began:.1f} s of processor time")
    for metric in report.metrics:
        seen = metric.as_dict()
        print(*(f"{name} {seen[name]}" for name in ("metric", "events", "new", "unexplained")))
    return report


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--profile"]
    with tempfile.TemporaryDirectory() as made:
        place = Path(words[1]) if words[1:] else Path(made)
        place.mkdir(exist_ok=True)
        profile = cProfile.Profile()
        if "--profile" in sys.argv:
            profile.enable()
        asyncio.run(main(int(words[0]) if words else 300_000, place))
        profile.disable()
        if "--profile" in sys.argv:
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
