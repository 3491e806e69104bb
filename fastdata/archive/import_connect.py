"""An archive of Kafka Connect's S3 sink, taken over: many small objects become whole segments."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter

import stamina

from fastdata.archive.chains import Chain, follow_chains
from fastdata.archive.connect import ConnectObject, Container, find_objects, read_container
from fastdata.archive.manifest import Stretch
from fastdata.archive.records import NoRegistry, read_datums
from fastdata.archive.storage import ArchiveStorage
from fastdata.archive.writer import PartitionArchive
from fastdata.declare.source import Source
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveUnavailableError,
    CorruptStateError,
    SettingsError,
)
from fastdata.events.decoder import Decoder

__all__ = ["ImportProgress", "ImportReport", "PartitionImport", "import_objects"]

_AHEAD_OBJECTS = 64
_AHEAD_BYTES = 64 << 20
_NO_TILES_BYTES = 1 << 62
_patiently = stamina.AsyncRetryingCaller(
    attempts=6, timeout=None, wait_initial=0.5, wait_max=8.0, wait_jitter=0.0
).on(ArchiveUnavailableError)


@dataclass(slots=True)
class PartitionImport:
    """What became of the objects of one partition.

    Attributes:
        objects: How many there are in all.
        done: How many were imported now.
        skipped: How many were in the archive already; the last one is always looked into.
        size: Bytes of those to import.
        records: Imported, rejects among them.
        rejects: Records that do not fit the source.
        repeated: Records that an object before had already.
        holes: Stretches between two objects: markers, compaction, or lost objects.
        start: The first offset that was not in the archive.
        end: The first offset that is not in it now.
    """

    partition: int
    objects: int
    skipped: int
    size: int
    start: int
    end: int
    done: int = 0
    records: int = 0
    rejects: int = 0
    repeated: int = 0
    holes: list[Stretch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of all objects.

    Attributes:
        foreign: Names in the topic's folder that are none of the sink's default partitioner.
        is_complete: Nothing is left to import.
    """

    partitions: tuple[PartitionImport, ...]
    foreign: int
    is_complete: bool

    def as_dict(self) -> dict[str, object]:
        """For JSON, where what was skipped is `known`."""
        names = {"skipped": "known"}
        return asdict(self, dict_factory=lambda fields: {names.get(n, n): v for n, v in fields})


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is."""

    objects: int
    total_objects: int
    records: int


async def import_objects(
    origin: ArchiveStorage,
    storage: ArchiveStorage,
    source: Source,
    *,
    stop: asyncio.Event,
    dry_run: bool = False,
    on_progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Copy what Kafka Connect's S3 sink wrote into an archive of segments, until `stop` is set.

    Idempotent, and resumable anywhere: it goes on where the archive ends. Nothing of the origin
    is changed. The counts of both are compared at the end.

    An object's name tells the offset of its first record only; the others are taken to follow
    without a gap. So where the log has markers of transactions or was compacted, records get an
    offset that is a little too small, and the gaps are holes at the ends of the objects.

    Args:
        origin: The sink's `topics.dir`, which has a folder for the topic.
        storage: Of the archive; for each partition empty, or begun by an import.
        dry_run: Only tell what is there, and what would be imported.
        on_progress: Called after each object.

    Raises:
        SettingsError: The origin has no such object.
        ArchiveConflictError: The archive begins after the first object, or is of another
            declaration of the source; or somebody else wrote to it meanwhile.
        ArchiveHoleError: Objects after the archive's end are gone, or the manifest has a hole.
        CorruptStateError: An object is no Avro container, or the manifest does not verify.
        ArchiveUnavailableError: A store failed again and again; retriable.
        ArchiveRefusedError: A store refuses.
    """
    objects, foreign = await _patiently(find_objects, origin, source.topic)
    if not objects:
        raise SettingsError(
            f"there is no object {source.topic}/partition=<n>/{source.topic}+<n>+<offset>.avro, "
            f"and {foreign} others: give the folder that has the topic's folder (the sink's "
            "topics.dir), written with the Avro format and the default partitioner"
        )
    look = partial(follow_chains, storage, source, cache={})
    before = await _patiently(look)
    importers = [
        _PartitionImporter(origin, storage, source, list(group), before.get(p, Chain()))
        for p, group in groupby(objects, attrgetter("partition"))
    ]
    if not dry_run:
        total = sum(len(importer.objects) for importer in importers)
        meter = _ImportMeter(total, on_progress)
        for importer in importers:
            await importer.run(stop, meter)
        after = await _patiently(look)
        for importer in importers:
            importer.check(before, after)
    reports = tuple(importer.report for importer in importers)
    is_complete = all(report.done + report.skipped == report.objects for report in reports)
    return ImportReport(reports, foreign, is_complete)


class _PartitionImporter:
    def __init__(
        self,
        origin: ArchiveStorage,
        storage: ArchiveStorage,
        source: Source,
        objects: Sequence[ConnectObject],
        chain: Chain,
    ) -> None:
        partition, first = objects[0].partition, objects[0].first
        if chain.begin > first:
            raise ArchiveConflictError(
                f"the archive of {source.topic}, partition {partition}, begins at "
                f"{chain.begin} and the objects at {first}; nothing can be put before: "
                "import into an empty archive, then let `fastdata archive` go on from there"
            )
        end = first if chain.end is None else chain.end
        # The end of an object is known to lie before the next one's beginning only.
        skipped = sum(1 for following in objects[1:] if following.first <= end)
        self.objects = objects[skipped:]
        self.archive = PartitionArchive(
            storage, source, Decoder(source, NoRegistry()), partition,
            tile_bytes=_NO_TILES_BYTES, tile_age_s=math.inf,
        )  # fmt: skip
        size = sum(obj.size for obj in self.objects)
        self.report = PartitionImport(partition, len(objects), skipped, size, end, end)
        self._origin, self._log_start = origin, first

    async def run(self, stop: asyncio.Event, meter: "_ImportMeter") -> None:
        if not self.objects:
            return
        await _patiently(self.archive.open, self._log_start)
        async with aclosing(_read_ahead(self._origin, self.objects)) as contents:
            async for obj, container in contents:
                if stop.is_set():
                    break
                self._take(obj, container)
                await _patiently(self.archive.flush)
                meter.add(container.count)
        await _patiently(self.archive.flush, force=True)
        self.report.end = self.archive.durable

    def check(self, before: dict[int, Chain], after: dict[int, Chain]) -> None:
        """Compare what was read with what the manifest says now."""
        partition = self.report.partition
        archived = _count(after.get(partition)) - _count(before.get(partition))
        if archived != self.report.records:
            raise ArchiveConflictError(
                f"{self.report.records} records of {self.archive.source.topic}, partition "
                f"{partition}, were read and {archived} archived: somebody else wrote to the "
                "archive meanwhile; stop the others and compare"
            )

    def _take(self, obj: ConnectObject, container: Container) -> None:
        """Give the records of an object to the archive."""
        archive, report = self.archive, self.report
        position, first = archive.position, obj.first
        if first > position:
            report.holes.append((position, first - position))
            archive.advance(first)
        try:
            for count, data in container.blocks:
                offsets = range(first, first + count)
                for row in read_datums(archive.decoder, container.schema, offsets, data):
                    if row[0] < position:
                        report.repeated += row[0] >= report.start
                        continue
                    archive.append_row(row)
                    report.records += 1
                    report.rejects += row[1] is None
                first += count
        except CorruptStateError as error:
            raise CorruptStateError(
                f"{obj.name} is no Avro container of its schema: {error}; restore it from a "
                "copy, or move it away to have a hole there"
            ) from error
        report.done += 1


@dataclass(slots=True)
class _ImportMeter:
    total: int
    on_progress: Callable[[ImportProgress], None] | None
    objects: int = 0
    records: int = 0

    def add(self, records: int) -> None:
        self.objects += 1
        self.records += records
        if self.on_progress is not None:
            self.on_progress(ImportProgress(self.objects, self.total, self.records))


async def _read_ahead(
    origin: ArchiveStorage, objects: Sequence[ConnectObject]
) -> AsyncGenerator[tuple[ConnectObject, Container]]:
    """The objects in order, with some on their way: a bounded number and size."""
    waiting: deque[tuple[ConnectObject, asyncio.Task[bytes | None]]] = deque()
    size, rest = 0, deque(objects)
    try:
        while rest or waiting:
            while rest and (not waiting or (len(waiting) < _AHEAD_OBJECTS and size < _AHEAD_BYTES)):
                obj = rest.popleft()
                size += obj.size
                task = asyncio.create_task(_patiently(origin.get, obj.name))
                waiting.append((obj, task))
            obj, task = waiting.popleft()
            data = await task
            size -= obj.size
            yield obj, read_container(data, obj.name)
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


def _count(chain: Chain | None) -> int:
    entries = (*chain.closed, *chain.tiles) if chain else ()
    return sum(obj.count for entry in entries for obj in entry.objects)
