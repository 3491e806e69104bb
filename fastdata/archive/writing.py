"""Archiving one partition: records in, objects and manifest entries out. Knows no Kafka."""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastdata import failpoints
from fastdata.archive.chains import Chain, follow_chain
from fastdata.archive.containers import ObjectWriter, read_container
from fastdata.archive.layout import first_of, object_name, tile_object_name, tiles_prefix
from fastdata.archive.manifest import Entry, ObjectEntry, Run
from fastdata.archive.pieces import Item, Missing, Piece
from fastdata.archive.rejects import REJECT_SCHEMA, Reject, dump_reject
from fastdata.archive.storage import ArchiveStorage
from fastdata.decoding import Decoder
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveHoleError,
    BadEventError,
    CorruptStateError,
)
from fastdata.source import Source
from fastdata.windows import HOUR_MS

__all__ = ["PartitionArchive", "Record"]

_log = logging.getLogger(__name__)
_HEAD_BYTES = 5


class Record(NamedTuple):
    """A record of the log."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class PartitionArchive:
    """The one who writes the archive of one partition. Not for concurrent use.

    Records are durable when `flush` says so: objects first, then the manifest entry. Should a
    second one write the same partition, neither harms the other: one of them writes each
    entry, and the other goes on after it. After any error that is not retriable, drop it and
    open another.
    """

    def __init__(
        self,
        storage: ArchiveStorage,
        source: Source,
        decoder: Decoder,
        partition: int,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        tile_bytes: int = 4 << 20,
        tile_age_s: float = 10.0,
        accept_loss: bool = False,
    ) -> None:
        """An archive that must be opened first.

        Args:
            clock: Milliseconds, for the age of tiles alone.
            tile_bytes: Datums of the open segment that are kept in memory at most.
            tile_age_s: Seconds that a record of the open segment waits at most.
            accept_loss: Go on after events that the log deleted before they were archived.
        """
        self._storage = storage
        self._source = source
        self._decoder = decoder
        self._partition = partition
        self._clock = clock
        self._tile_bytes = tile_bytes
        self._tile_age_ms = int(tile_age_s * 1000)
        self._accept_loss = accept_loss
        self._tiles: list[Entry] = []
        self._pieces: deque[Piece] = deque()
        self._durable = 0
        self._position = 0

    @property
    def position(self) -> int:
        """The next offset to append."""
        return self._position

    @property
    def durable(self) -> int:
        """The first offset that is not durable."""
        return self._durable

    async def open(self, log_start: int = 0) -> int:
        """Find out where to go on, and repair what a crash has left.

        Idempotent. An archive begun when the log's beginning was gone already starts with the
        segment of `log_start`, and says that the part before it is lost.

        Args:
            log_start: The first offset that the log still holds.

        Returns:
            The next offset to append.

        Raises:
            ArchiveHoleError: The log starts after the archive's end, and loss is not accepted;
                or the manifest has a hole.
            ArchiveConflictError: It is the archive of another declaration of the source.
            CorruptStateError: The manifest does not verify.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        chain = await self._follow()
        await self._sweep(chain)
        end = chain.end
        if end is None:
            self._begin(log_start - log_start % self._source.segment_size)
        else:
            self._begin(end, chain.tiles)
            if log_start > end and not self._accept_loss:
                raise ArchiveHoleError(
                    f"offsets [{end}, {log_start}) of {self._where} were deleted from the log "
                    "before they were archived; they are lost. `fastdata archive --accept-loss` "
                    "records the loss and goes on. Give the topic a longer retention"
                )
        if log_start > self._position:
            _log.warning(
                "%s: offsets [%d, %d) are gone from the log and will not be in the archive",
                self._where, self._position, log_start,
            )  # fmt: skip
            self._skip(log_start, "lost")
            await self.flush(force=True)
        return self._position

    def append(self, record: Record) -> None:
        """Take the next record. One before `position` is known already and ignored.

        Offsets between `position` and the record's are holes of the log.
        """
        if record.offset < self._position:
            return
        if record.offset > self._position:
            self._skip(record.offset, "holes")
        self._take(self._read(record))

    def advance(self, position: int) -> None:
        """Say that the log holds no other records before `position`, a consumer's position."""
        self._skip(position, "holes")

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
        while self._is_due(self._pieces[0], force):
            await self._write(self._pieces[0])
        return self._durable

    @property
    def _where(self) -> str:
        return f"topic {self._source.topic}, partition {self._partition}"

    def _begin(self, end: int, tiles: Sequence[Entry] = ()) -> None:
        size = self._source.segment_size
        self._tiles = list(tiles)
        self._durable = self._position = end
        self._pieces = deque([Piece(end, end, end - end % size + size)])

    def _read(self, record: Record) -> Item:
        try:
            schema, fields = self._decoder.read_record(record.value)
        except BadEventError as error:
            reject = Reject(*record, reason=error.reason)
            return Item(record.offset, REJECT_SCHEMA, None, dump_reject(reject), None)
        try:
            hour = self._decoder.time_of(fields) // HOUR_MS * HOUR_MS
        except BadEventError:
            hour = None
        value = record.value or b""
        wire_id = int.from_bytes(value[1:_HEAD_BYTES], "big")
        return Item(record.offset, schema.canonical, wire_id, value[_HEAD_BYTES:], hour)

    def _take(self, item: Item) -> None:
        piece = self._pieces[-1]
        piece.add(item)
        self._reach(piece, item.offset + 1)

    def _skip(self, end: int, kind: Missing) -> None:
        size = self._source.segment_size
        while self._position < end:
            piece = self._pieces[-1]
            if piece.first == piece.next and piece.first % size == 0:
                # One entry for many empty segments: a hole can be millions of offsets wide.
                piece.edge = max(piece.edge, end - end % size)
            stop = min(end, piece.edge)
            runs: list[Run] = getattr(piece, kind)
            runs.append((self._position, stop - self._position))
            self._reach(piece, stop)

    def _reach(self, piece: Piece, end: int) -> None:
        piece.next = self._position = end
        if piece.since is None:
            piece.since = self._clock()
        if piece.is_closed:
            self._pieces.append(Piece(end, end, end + self._source.segment_size))

    def _is_due(self, piece: Piece, force: bool) -> bool:
        if piece.is_closed:
            return True
        if piece.since is None:
            return False
        is_old = self._clock() - piece.since >= self._tile_age_ms
        return force or is_old or piece.size >= self._tile_bytes

    async def _write(self, piece: Piece) -> None:
        built = await self._build(piece)
        if built is None:
            return await self._rejoin()
        entry, bodies = built
        for each, body in bodies:
            if not await self._put(each, body):
                return await self._rejoin(each)
            failpoints.reach("archive.after_object")
        if not await self._claim(entry):
            return await self._rejoin()
        failpoints.reach("archive.after_manifest" if entry.is_closed else "archive.after_tile")
        self._pieces.popleft()
        self._durable = entry.next
        if not entry.is_closed:
            self._tiles.append(entry)
            self._pieces.append(Piece(entry.next, entry.next, piece.edge))
            return None
        tiles, self._tiles = self._tiles, []
        return await self._remove(tiles)

    async def _build(self, piece: Piece) -> tuple[Entry, list[tuple[ObjectEntry, bytes]]] | None:
        """The entry of a piece and its objects; None if a tile that it needs is gone."""
        tiles = self._tiles if piece.is_closed else []
        writers: dict[int | None, ObjectWriter] = {}
        for each in (each for tile in tiles for each in tile.all_objects):
            data = await self._storage.get(each.name)
            if data is None:
                return None
            rows = read_container(data, each)
            writer = writers.setdefault(each.schema_id, ObjectWriter(each.schema, each.schema_id))
            writer.extend([o for o, _ in rows], [d for _, d in rows], each.hours, each.timeless)
            failpoints.reach("archive.mid_merge")
        piece.fill(writers)
        made = []
        for schema_id, writer in sorted(writers.items(), key=lambda pair: pair[1].first):
            name = self._name(writer, is_rejects=schema_id is None, is_closed=piece.is_closed)
            made.append(writer.finish(name, self._partition))
        source, rejected = self._source, [each for each, _ in made if each.schema_id is None]
        entry = Entry(
            source.topic, self._partition, source.segment_size, source.time, piece.is_closed,
            first=tiles[0].first if tiles else piece.first,
            next=piece.next,
            holes=_joined([*(run for tile in tiles for run in tile.holes), *piece.holes]),
            lost=_joined([*(run for tile in tiles for run in tile.lost), *piece.lost]),
            objects=tuple(each for each, _ in made if each.schema_id is not None),
            rejected=rejected[0] if rejected else None,
        )  # fmt: skip
        entry.check(source)
        return entry, made

    def _name(self, writer: ObjectWriter, *, is_rejects: bool, is_closed: bool) -> str:
        where = (self._source.topic, self._partition, writer.first)
        if is_closed:
            return object_name(*where, is_rejects=is_rejects)
        return tile_object_name(*where, writer.next, is_rejects=is_rejects)

    async def _put(self, entry: ObjectEntry, data: bytes) -> bool:
        """Make an object durable; False if another one of that name holds other records."""
        if await self._storage.create(entry.name, data):
            return True
        existing = await self._storage.get(entry.name)
        if existing is None:
            return False
        try:
            return existing == data or bool(read_container(existing, entry))
        except CorruptStateError:
            return False

    async def _claim(self, entry: Entry) -> bool:
        """Put the entry at the end of the chain; False if somebody else's is there."""
        data = entry.dump()
        # An equal one is ours, from a try whose outcome was unknown, or as good as ours.
        return (
            await self._storage.create(entry.name, data)
            or await self._storage.get(entry.name) == data
        )

    async def _rejoin(self, conflict: ObjectEntry | None = None) -> None:
        """Another archiver was faster: go on after what it has written."""
        chain = await self._follow()
        end = chain.end or 0
        if end <= self._durable:
            if conflict is None:
                raise CorruptStateError(
                    f"the manifest of {self._where} names objects that are gone; restore them "
                    "from a copy of the archive"
                )
            raise ArchiveConflictError(
                f"{conflict.name} exists and holds other records than the log; it was left alone. "
                "Was the topic created anew, or compacted meanwhile? If no manifest entry names "
                "the object, move it away; else use another archive"
            )
        _log.info("%s: another archiver has written up to %d", self._where, end)
        parts = sorted(
            (part for piece in self._pieces for part in piece.parts()), key=lambda part: part[0]
        )
        self._begin(end, chain.tiles)
        for offset, part in parts:
            if not isinstance(part, Item):
                self._skip(part[1], part[0])
            elif offset >= self._position:
                self._take(part)

    async def _follow(self) -> Chain:
        return await follow_chain(self._storage, self._source, self._partition, is_whole=False)

    async def _sweep(self, chain: Chain) -> None:
        """Delete what a crash has left of the tiles of closed segments, and only of those.

        An object of the open segment that no entry names may be another archiver's, who is
        about to name it.
        """
        if chain.closed_end is None:
            return
        for name in chain.orphans:
            await self._storage.delete(name)
        for name in await self._storage.names(tiles_prefix(self._source.topic, self._partition)):
            first = first_of(name)
            if first is not None and first < chain.closed_end:
                await self._storage.delete(name)

    async def _remove(self, tiles: Sequence[Entry]) -> None:
        for tile in tiles:
            await self._storage.delete(tile.name)
            failpoints.reach("archive.mid_cleanup")
            for each in tile.all_objects:
                await self._storage.delete(each.name)


def _joined(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The same offsets in as few runs as can be, so that equal entries are equal bytes."""
    out: list[Run] = []
    for start, length in runs:
        if out and sum(out[-1]) == start:
            out[-1] = (out[-1][0], out[-1][1] + length)
        else:
            out.append((start, length))
    return tuple(out)
