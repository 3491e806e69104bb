"""Mutated records through both layers: nothing ends or hangs, and nothing is lost or made up.

Values of random and of declared schemas, in each form that Avro, JSON and text allow and in many
that they do not, some with bytes changed, are folded, archived, replayed by both engines, and
recounted. The same few each time; each night FASTDATA_TEST_MUTATIONS new ones. A failure says its
seed, with which `run` does the same again.
"""

import asyncio
import faulthandler
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from tempfile import TemporaryDirectory

import pytest

from fastdata.archive import ArchivedRecord, ArchiveReader, PartitionArchive, open_archive_storage
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.decoder import LATEST_MS, Decoder
from fastdata.events.formats import Format
from fastdata.events.registry import FolderRegistry
from fastdata.speed.layer import Record
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Total
from fastdata.verify.verify import verify
from tests.agreement.driver import Log, Loop
from tests.support.mutations.fates import fates_of
from tests.support.mutations.subjects import FORMATS, Subject, new_subject
from tests.support.mutations.values import START

SEEDS, RECORDS = 6, 120
SAMPLE = 12  # hours that are recounted, of those with events first
NEW_RECORDS = 2_000
NEW_SEEDS = int(os.environ.get("FASTDATA_TEST_MUTATIONS", "20000")) // NEW_RECORDS // len(FORMATS)
ARRIVAL = START + 3 * 3_600_000
# Of one event, in seconds of the processor, so that a busy machine tells nothing.
EVENT_S = 1.0
SEED_S = 1_200  # after which the process ends, for nothing else interrupts a loop in C
MOST_MIB = 2_048


class HangError(AssertionError):
    """An event takes too long."""


@dataclass
class Figures:
    """What became of the records of some seeds."""

    fates: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0

    def __str__(self) -> str:
        fates = ", ".join(f"{name} {count:,}" for name, count in sorted(self.fates.items()))
        return (
            f"{fates}; longest event {self.longest_s * 1000:.1f} ms; peak memory {peak_mib()} MiB"
        )


def peak_mib() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


class WatchedLoop(Loop):
    """A loop that measures, and may limit, the time of each event."""

    figures: Figures
    limit_s = 0.0

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self.limit_s:
            signal.setitimer(signal.ITIMER_PROF, self.limit_s)
        began = time.thread_time()
        yield
        taken_s = time.thread_time() - began
        if self.limit_s:
            signal.setitimer(signal.ITIMER_PROF, 0)
            if taken_s > self.limit_s:
                raise HangError(f"an event took {taken_s:.1f} s")
        self.figures.longest_s = max(self.figures.longest_s, taken_s)

    def fold(self, partition: int, count: int) -> int:
        records = self.log.partitions[partition]
        first = self.position(partition)
        self.layer.see_end(partition, len(records), self.now)
        for offset, (at, value) in enumerate(records[first : first + count], first):
            self.now = at
            with self._watched():
                self.layer.fold(partition, Record(offset, at, None, value))
        self._read[partition] = min(len(records), first + count)
        return self._read[partition] - first

    async def archive(self) -> None:
        for p in self.partitions:
            writer = PartitionArchive(self.archived, self.source, self._decoder, p)
            await writer.open()
            for offset, (at, value) in enumerate(self.log.partitions[p]):
                with self._watched():
                    writer.append(ArchivedRecord(offset, at, None, value))
            await writer.flush(force=True)


def fill(subject: Subject, rng: Random, count: int) -> Log:
    log, is_late = Log(2), rng.random() < 0.5
    for number in range(count):
        at = ARRIVAL if is_late else START + (ARRIVAL - START) * number // count
        log.send(rng.randrange(2), subject.sender.value(), at)
    return log


async def run(
    seed: int, event_format: Format, folder: Path, count: int, figures: Figures, limit_s: float = 0
) -> None:
    """Send records of a seed through everything, and compare what each part says of them."""
    rng = Random(seed)
    subject = new_subject(rng, event_format, folder)
    log = fill(subject, rng, count)
    registry = FolderRegistry(folder / "schemas")
    loop = WatchedLoop(
        subject.metrics, registry, log, open_archive_storage(str(folder / "archive"))
    )
    loop.figures, loop.limit_s = figures, limit_s
    async with MemoryStore() as store:
        await loop.start(store)
        await loop.drain()
        await loop.archive()
        values = [value for records in log.partitions for _, value in records]
        decoder = Decoder(subject.source, registry)
        fates = await fates_of(store, subject.everything, decoder, values)
        figures.fates += fates
        assert sum(fates.values()) == count, fates
        report = await loop.replay(0, "rows")
        dead = sum(n for reason, n in fates.items() if reason.startswith("dead:"))
        assert dead == len([letter for letter in loop.letters if letter.stage != "key"])
        snapshot = await ArchiveReader(loop.archived, subject.source).snapshot()
        assert sum(snapshot.durable.values()) == count
        # What the archive counts replay reads, and it is what the worker saw.
        assert report.metrics[0].events == count - dead
        by_rows = [await totals(store, metric) for metric in subject.metrics]
        await loop.replay(0, force=True)
        for metric, expected in zip(subject.metrics, by_rows, strict=True):
            assert expected == await totals(store, metric), metric.name
        verified = await verify(subject.metrics, store=store, archive=loop.archived, sample=SAMPLE)
    assert [finding for metric in verified.metrics for finding in metric.findings] == []


async def totals(store: MemoryStore, metric: Metric) -> list[Total]:
    source, unfolded = metric.source, unfolded_of(metric.source)
    reading = await store.read(metric.id, unfolded.id, source.topic, 0, LATEST_MS)
    return sorted(reading.totals, key=lambda total: (total.window, total.dims))


def run_seeds(
    seeds: range, event_format: Format, folder: Path, count: int, limit_s: float = 0
) -> Figures:
    figures = Figures()
    for seed in seeds:
        if limit_s:
            faulthandler.dump_traceback_later(SEED_S, exit=True)
        try:
            # The folder that is left tells the seed of what had to be ended.
            with TemporaryDirectory(dir=folder, prefix=f"{event_format}-{seed}-") as name:
                asyncio.run(run(seed, event_format, Path(name), count, figures, limit_s))
        except BaseException as error:
            error.add_note(f"of the seed {seed}, {event_format}, {count} records")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
    return figures


@pytest.mark.parametrize("event_format", FORMATS)
def test_mutated_records_are_dead_letters_folded_or_left_out(
    tmp_path: Path, event_format: Format
) -> None:
    figures = run_seeds(range(SEEDS), event_format, tmp_path, RECORDS)

    assert {"folded", "future"} <= figures.fates.keys(), figures
    assert figures.fates["folded"] > SEEDS * RECORDS // 10, figures


@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("event_format", FORMATS)
def test_new_mutations_hold_up_nothing(tmp_path: Path, event_format: Format) -> None:
    first = SystemRandom().randrange(1 << 60)

    def hang(*_: object) -> None:
        raise HangError(f"an event takes more than {EVENT_S} s of the processor")

    before = signal.signal(signal.SIGPROF, hang)
    try:
        seeds = range(first, first + NEW_SEEDS)
        figures = run_seeds(seeds, event_format, tmp_path, NEW_RECORDS, EVENT_S)
    finally:
        signal.signal(signal.SIGPROF, before)

    print(f"{event_format}, {NEW_SEEDS} seeds from {first} on: {figures}")  # noqa: T201
    assert peak_mib() < MOST_MIB
