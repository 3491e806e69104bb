"""Archiving one partition: records in, objects and manifest entries out. Knows no Kafka."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from hashlib import sha256
from itertools import groupby
from operator import itemgetter

from fastdata import failpoints
from fastdata.archive.avro_file import Records, build_object, gaps_of, is_same, read_object
from fastdata.archive.chains import SEGMENTS, Chain, follow_chains, save_checkpoints
from fastdata.archive.layout import folder, object_name, place_of
from fastdata.archive.manifest import Entry
from fastdata.archive.records import ArchivedRecord, ArchivedRow, read_record
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.instants import now_ms
from fastdata.declare.source import Source
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveHoleError,
    ArchiveUnavailableError,
    CorruptStateError,
)
from fastdata.events.decoder import Decoder

__all__ = ["PartitionArchive"]

_log = logging.getLogger(__name__)
_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0)
_OFFSET, _SCHEMA, _DATUM, _HOUR = itemgetter(0), itemgetter(1, 2), itemgetter(3), itemgetter(4)


@dataclass(eq=False, slots=True)
class PartitionArchive:
    """The one who writes the archive of one partition. Not for concurrent use.

    Records are durable when `flush` says so: objects first, then the manifest entry. Should a
    second one write the same partition, neither harms the other: one of them writes each
    entry, and the other goes on after it. It must be opened first. After any error that is not
    retriable, drop it and open another.

    Attributes:
        clock: Milliseconds, for the age of tiles alone.
        tile_bytes: Datums of the open segment in memory from which on a flush makes a tile.
        tile_age_s: Seconds after which a flush writes the records of the open segment.
        accept_loss: Go on after events that the log deleted before they were archived.
        position: The next offset to append.
        durable: The first offset that is not durable.
    """

    storage: ArchiveStorage
    source: Source
    decoder: Decoder
    partition: int
    _: KW_ONLY
    clock: Callable[[], int] = now_ms
    tile_bytes: int = 4 << 20
    tile_age_s: float = 10.0
    accept_loss: bool = False
    position: int = field(default=0, init=False)
    durable: int = field(default=0, init=False)
    _rows: list[ArchivedRow] = field(default_factory=list, init=False)  # of [durable, position)
    _bytes: int = field(default=0, init=False)
    _since: int = field(default=0, init=False)
    _lost_end: int = field(default=0, init=False)
    _tiles: tuple[Entry, ...] = field(default=(), init=False)

    async def open(self, log_start: int = 0, first: int = 0) -> int:
        """Find out where to go on, and repair what a crash has left.

        Idempotent. An archive that is begun when the log's beginning is gone says in its first
        entries that what came before `log_start` is lost.

        Args:
            log_start: The first offset that the log still holds.
            first: Offsets before it are nobody's: the epoch begins here.

        Returns:
            The next offset to append.

        Raises:
            ArchiveHoleError: The log starts after the archive's end, and loss is not accepted;
                or the manifest has a hole.
            ArchiveConflictError: It is the archive of another declaration of the source.
            CorruptStateError: The manifest does not verify.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        chain = await self._chain()
        await self._sweep(chain.closed_end)
        await save_checkpoints(self.storage, self.source, self.partition, chain.closed_end)
        end = chain.end or 0
        self._go_on(end, chain.tiles)
        where = f"topic {self.source.topic}, partition {self.partition}"
        if chain.first:
            await self._begin_at(chain.first, where)
        if first > end:
            end = self.position = first
            await self.flush(force=True)
        if log_start > end:
            if chain.end is not None and not self.accept_loss:
                raise ArchiveHoleError(
                    f"offsets [{end}, {log_start}) of {where} were deleted from the log "
                    "before they were archived; they are lost. `fastdata archive "
                    f"--accept-loss-of {self.source.name}` records the loss and goes on. Give the "
                    "topic a longer retention"
                )
            _log.warning("%s: offsets [%d, %d) are gone from the log", where, end, log_start)
            self._lost_end = self.position = log_start
            await self.flush(force=True)
        return self.position

    async def _begin_at(self, first: int, where: str) -> None:
        """Record that an archive whose manifest does not tell of its beginning has none."""
        if not self.accept_loss:
            _log.warning(
                "%s: the manifest begins at offset %d; its first entry is lost, or the archive was "
                "begun there: `fastdata replay` refuses it until the entry is restored, or "
                "`fastdata archive --accept-loss` says that the offsets before are lost",
                where, first,
            )  # fmt: skip
            return
        source, size = self.source, self.source.segment_size
        loss = ((0, first),)
        entry = Entry(
            source.topic, self.partition, size, source.time, True, 0, first, (), loss, ()
        )  # fmt: skip
        await self._create(entry.name, entry.dump())
        _log.warning("%s: the manifest now says that [0, %d) is lost", where, first)

    def append(self, record: ArchivedRecord) -> None:
        """Take the next record. One before `position` is known already and ignored.

        Offsets between `position` and the record's are holes of the log.

        Raises:
            SchemaNeededError: The registry must be asked for its schema first; nothing was taken.
        """
        if record.offset >= self.position:
            self.append_row(read_record(self.decoder, record))

    def append_row(self, row: ArchivedRow) -> None:
        """Take the next record, decoded already; one before `position` is ignored."""
        if row[0] >= self.position:
            self._rows.append(row)
            self._bytes += len(row[3])
            self.position = row[0] + 1

    def advance(self, position: int) -> None:
        """Say that the log holds no other records before `position`, a consumer's position."""
        self.position = max(self.position, position)

    def is_due(self, *, force: bool = False) -> bool:
        """Whether a flush would write something."""
        return self._due(force) > self.durable

    async def flush(self, *, force: bool = False) -> int:
        """Write what is due: closed segments, and of the open one what is large or old enough.

        Idempotent; when it raises `ArchiveUnavailableError`, call it again.

        Args:
            force: Write all of the open segment, too.

        Returns:
            The first offset that is not durable: what may be committed.

        Raises:
            ArchiveConflictError: An object exists that holds other events.
            ArchiveHoleError: The manifest has a hole.
            CorruptStateError: What was archived does not verify.
            ArchiveUnavailableError: The store did not do it; retriable.
        """
        if self.position == self.durable:
            self._since = self.clock()
        while (end := self._due(force)) > self.durable:
            try:
                await self._write(end)
            except (ArchiveConflictError, CorruptStateError):
                chain = await self._chain()
                if chain.end is None or chain.end <= self.durable:
                    raise
                self._go_on(chain.end, chain.tiles)  # another archiver was faster
        return self.durable

    def _due(self, force: bool) -> int:
        """Where the next entry ends; `durable` when nothing is due.

        No entry crosses the edge of a segment: batch counts whole segments, and two archivers that
        read other amounts at a time still make the same closed objects: with one zlib, to the byte.
        """
        size = self.source.segment_size
        edge = self.durable - self.durable % size + size
        first = self._rows[0][0] if self._rows else self.position
        if self.durable % size == 0 and first >= edge:
            # One entry for many empty segments: a hole can be millions of offsets wide.
            edge = first - first % size
        if self.position >= edge:
            return edge
        is_old = self.clock() - self._since >= self.tile_age_s * 1000
        is_due = force or is_old or self._bytes >= self.tile_bytes
        return self.position if is_due else self.durable

    async def _write(self, end: int) -> None:
        """Write the entry that ends there, and its objects before it."""
        source, size = self.source, self.source.segment_size
        is_closed = end % size == 0
        tiles = self._tiles if is_closed else ()
        rows = self._rows[: bisect_left(self._rows, end, key=_OFFSET)]
        gone = gaps_of([*map(_OFFSET, rows)], self.durable, end)
        holes, lost = (gone, ()) if self.durable >= self._lost_end else ((), gone)
        objects = []
        for records in await self._merge(tiles, rows):
            offsets, is_rejects = records.offsets, records.schema_id is None
            tile_end = None if is_closed else offsets[-1] + 1
            name = object_name(
                source.topic, self.partition, offsets[0], tile_end, is_rejects=is_rejects
            )
            built, data = build_object(name, self.partition, records)
            kept = await self._create(name, data)
            failpoints.reach("archive.after_object")
            objects.append(replace(built, digest=sha256(kept).hexdigest()))
        entry = Entry(
            source.topic, self.partition, source.segment_size, source.time, is_closed,
            first=tiles[0].first if tiles else self.durable,
            next=end,
            holes=(*(hole for tile in tiles for hole in tile.holes), *holes),
            lost=(*(loss for tile in tiles for loss in tile.lost), *lost),
            objects=tuple(objects),
        )  # fmt: skip
        entry.check(source)
        await self._create(entry.name, entry.dump())
        failpoints.reach("archive.after_manifest" if is_closed else "archive.after_tile")
        self._go_on(end, () if is_closed else (*self._tiles, entry))
        if tiles:
            await self._sweep(end)
        if end // (size * SEGMENTS) > entry.first // (size * SEGMENTS):
            await save_checkpoints(self.storage, source, self.partition, end)

    async def _merge(self, tiles: Sequence[Entry], rows: Sequence[ArchivedRow]) -> list[Records]:
        """The records of both by schema, in order of their first offsets.

        Registries know nothing of each other: one id can be two schemas.
        """
        merged: dict[tuple[int | None, str], Records] = {}
        written = [entry for tile in tiles for entry in tile.objects]
        contents = await asyncio.gather(*(self.storage.get(entry.name) for entry in written))
        for entry, data in zip(written, contents, strict=True):
            key = entry.schema_id, entry.schema
            records = merged.setdefault(key, Records(entry.schema, entry.schema_id))
            for offset, datum in read_object(data, entry):
                records.offsets.append(offset)
                records.datums.append(datum)
            records.hours.update(entry.hours)
            records.hours[None] += entry.timeless
            failpoints.reach("archive.mid_merge")
        for (schema_id, schema), group in groupby(rows, _SCHEMA):
            same = list(group)
            records = merged.setdefault((schema_id, schema), Records(schema, schema_id))
            records.offsets += map(_OFFSET, same)
            records.datums += map(_DATUM, same)
            records.hours.update(map(_HOUR, same))
        return sorted(merged.values(), key=lambda records: records.offsets[0])

    async def _create(self, name: str, data: bytes) -> bytes:
        """Write an object; what is kept, which may have been packed by another zlib.

        The name tells where the records begin, so one that is there is of a try before, or of
        another archiver of the same log: it must hold the same, else one log would be two.
        """
        for pause_s in _PAUSES_S:
            if await self.storage.create(name, data):
                return data
            if (kept := await self.storage.get(name)) is not None:
                break
            # A server may refuse an object before it shows the one that is being written.
            await asyncio.sleep(pause_s)
        else:
            raise ArchiveUnavailableError(
                f"{name} can be neither written nor read: another archiver is writing it; try again"
            )
        if kept == data or is_same(data, kept):
            return kept  # of a try that crashed, or as good as ours
        raise ArchiveConflictError(
            f"{name} exists and holds other records than the log; it was left alone. Was the "
            "topic created anew, or compacted meanwhile? If no manifest entry names the object, "
            "move it away; else use another archive"
        )

    def _go_on(self, end: int, tiles: tuple[Entry, ...]) -> None:
        """All before `end` is durable, `tiles` are what there is of the open segment."""
        count = bisect_left(self._rows, end, key=_OFFSET)
        self._bytes -= sum(map(len, map(_DATUM, self._rows[:count])))
        del self._rows[:count]
        self.durable, self.position = end, max(self.position, end)
        self._tiles = tiles
        self._since = self.clock()

    async def _chain(self) -> Chain:
        chains = await follow_chains(self.storage, self.source, self.partition)
        return chains.get(self.partition, Chain())

    async def _sweep(self, closed_end: int) -> None:
        """Delete what there is of the tiles of closed segments, and only of those.

        An object of the open segment that no entry names may be another archiver's, who is
        about to name it.
        """
        names = [
            name
            for name in await self.storage.names(folder("tiles", self.source.topic, self.partition))
            if (place := place_of(name)) is not None and place[1] < closed_end
        ]
        for ending in (".json", ".avro"):
            # Entries first: an entry whose object is gone would look like a damaged archive.
            if left := [name for name in names if name.endswith(ending)]:
                await self.storage.delete(*left)
                failpoints.reach("archive.mid_cleanup")
