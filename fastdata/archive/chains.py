"""Following the chains of manifest entries of a topic, as they are in the store.

A checkpoint has many entries of closed segments in one object, so that a reader far away asks once
for many. It is a copy: entries that are not in one, or not as they were, are read each by itself.
"""

import asyncio
import logging
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import stamina

from fastdata.archive.layout import checkpoint_name, folder, place_of
from fastdata.archive.manifest import Entry
from fastdata.archive.storage import ArchiveStorage
from fastdata.declare.source import Source
from fastdata.errors import ArchiveHoleError, CorruptStateError

__all__ = ["SEGMENTS", "Chain", "follow_chains", "load_checkpoints", "save_checkpoints"]

_log = logging.getLogger(__name__)
SEGMENTS = 256
"""Segments whose entries are in one checkpoint."""
# A listing is no snapshot: an archiver that closes a segment meanwhile can make it look torn.
_again = stamina.AsyncRetryingCaller(
    attempts=4, timeout=None, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0
).on(ArchiveHoleError)


@dataclass(frozen=True, slots=True)
class Chain:
    """The entries of a partition, each beginning where the one before it ends.

    Attributes:
        closed: Entries of closed segments; only the last one if no more was asked for.
        tiles: Entries of the open segment.
        first: Where the first entry begins, which is 0 unless it was lost.
    """

    closed: tuple[Entry, ...] = ()
    tiles: tuple[Entry, ...] = ()
    first: int = 0

    @property
    def closed_end(self) -> int:
        """One after the last offset of the closed segments; 0 when there is none."""
        return self.closed[-1].next if self.closed else 0

    @property
    def end(self) -> int | None:
        """The first offset that is not archived; None for an empty archive."""
        entries = self.tiles or self.closed
        return entries[-1].next if entries else None

    @property
    def begin(self) -> int:
        """The first offset that was in the log when the archive began; of a whole chain."""
        begin = 0
        for start, length in (loss for e in (*self.closed, *self.tiles) for loss in e.lost):
            if start != begin:
                break
            begin += length
        return begin


async def follow_chains(
    storage: ArchiveStorage,
    source: Source,
    partition: int | None = None,
    *,
    cache: dict[str, Entry] | None = None,
) -> dict[int, Chain]:
    """Read the chains of a topic's partitions, and prove that no offset is missing or twice.

    A chain begins at offset 0: an archive that was begun when the log's beginning was gone has an
    entry that says so. Without it nobody could tell whether an entry was lost.

    Args:
        partition: Only this one, and of its closed segments only the last; where it begins is told
            and not judged, so that the archive can go on.
        cache: Entries read before, by name; what is read is added.

    Raises:
        ArchiveHoleError: There is a hole, or an overlap.
        ArchiveConflictError: It is the archive of another declaration of the source.
        CorruptStateError: An entry does not verify.
        ArchiveUnavailableError: The store did not answer.
    """
    walk = _Walk(storage, source, {} if cache is None else cache)
    return await _again(walk.chains, partition)


@dataclass(frozen=True, slots=True)
class _Walk:
    storage: ArchiveStorage
    source: Source
    cache: dict[str, Entry]

    async def chains(self, partition: int | None) -> dict[int, Chain]:
        # Tiles first: one that is deleted meanwhile is then of a segment that is seen as closed.
        tiles = await _names(self.storage, "tiles", self.source, partition)
        closed = await _names(self.storage, "manifest", self.source, partition)
        chains = {}
        if partition is None:
            await self._recall([name for names in closed.values() for name in names.values()])
        for p in sorted(tiles.keys() | closed.keys()):
            names = [name for _, name in sorted(closed[p].items())]
            size = self.source.segment_size
            first = min(closed[p], default=min(tiles[p], default=0) // size) * size
            if first and partition is None:
                raise _headless(self.source.topic, p, first)
            entries = await self._closed(names if partition is None else names[-1:])
            chains[p] = Chain(entries, await self._tiles(entries, tiles[p]), first)
        return chains

    async def _recall(self, names: list[str]) -> None:
        """Take the entries that are in checkpoints from there, if that is worth the while."""
        new = [name for name in names if name not in self.cache]
        if len(new) <= SEGMENTS:
            return
        for name, entry in (await load_checkpoints(self.storage, self.source, new)).items():
            entry.check(self.source)
            self.cache[name] = entry

    async def _closed(self, names: list[str]) -> tuple[Entry, ...]:
        chain = await self._entries(names)
        return _tiling(chain, chain[0].first if chain else 0)

    async def _entries(self, names: Sequence[str]) -> list[Entry]:
        new = [name for name in names if name not in self.cache]
        self.cache.update(zip(new, await asyncio.gather(*map(self._read, new)), strict=True))
        return [self.cache[name] for name in names]

    async def _tiles(
        self, closed: tuple[Entry, ...], names: Mapping[int, str]
    ) -> tuple[Entry, ...]:
        size = self.source.segment_size
        end = closed[-1].next if closed else min(names, default=0) // size * size
        # A crash between a closed segment's entry and the deletion of its tiles leaves these; they
        # would overlap it.
        open_ones = [name for first, name in sorted(names.items()) if first >= end]
        return _tiling(await self._entries(open_ones), end)

    async def _read(self, name: str) -> Entry:
        data = await self.storage.get(name)
        if data is None:
            raise ArchiveHoleError(f"the manifest entry {name} is gone")
        entry = Entry.load(data, name)
        entry.check(self.source)
        return entry


def _headless(topic: str, partition: int, first: int) -> ArchiveHoleError:
    return ArchiveHoleError(
        f"the manifest of {topic}, partition {partition}, has a hole: its first entry begins at "
        f"{first}, and none says what became of the offsets before; restore what is missing from "
        "a copy. If the archive was begun there, `fastdata archive --accept-loss` records that "
        "they are lost"
    )


def _tiling(entries: Sequence[Entry], start: int) -> tuple[Entry, ...]:
    """The entries, once they are proved to lie end to end from `start` on.

    Each tells what became of every offset in it (`Entry.check`) and begins where the one before
    ends: so all offsets of the chain are accounted for, once, and nothing but the entries is read.
    """
    end = start
    for entry in entries:
        if entry.first != end:
            raise ArchiveHoleError(
                f"the manifest of {entry.topic}, partition {entry.partition}, has "
                f"{'a hole' if entry.first > end else 'an overlap'}: {entry.name} begins at "
                f"{entry.first}, the one before ends at {end}; restore what is missing from a copy"
            )
        end = entry.next
    return tuple(entries)


async def save_checkpoints(
    storage: ArchiveStorage, source: Source, partition: int, closed_end: int
) -> None:
    """Write the checkpoints that are missing. Idempotent; they never change.

    Args:
        closed_end: Where the closed segments end.

    Raises:
        ArchiveUnavailableError: The store did not do it; retriable.
        ArchiveRefusedError: The store refuses.
    """
    blocks = closed_end // source.segment_size // SEGMENTS
    if not blocks:
        return
    saved = (await _names(storage, "checkpoints", source, partition))[partition]
    missing = [block for block in range(blocks) if block * SEGMENTS not in saved]
    if not missing:
        return
    names: dict[int, list[str]] = defaultdict(list)
    closed = await _names(storage, "manifest", source, partition)
    for segment, name in closed[partition].items():
        names[segment // SEGMENTS].append(name)
    for block in missing:
        contents = await asyncio.gather(*map(storage.get, names[block]))
        pairs = zip(names[block], contents, strict=True)
        lines = [b"%s %s" % (name.encode(), data) for name, data in pairs if data is not None]
        checkpoint = checkpoint_name(source.topic, partition, block * SEGMENTS)
        await storage.create(checkpoint, zlib.compress(b"\n".join(lines)))


async def load_checkpoints(
    storage: ArchiveStorage, source: Source, wanted: Sequence[str]
) -> dict[str, Entry]:
    """Those of the wanted entries that are in a checkpoint, by name, each verified.

    Raises:
        ArchiveUnavailableError: The store did not answer; retriable.
        ArchiveRefusedError: The store refuses.
    """
    blocks = {(place[0], place[1] // SEGMENTS) for place in map(place_of, wanted) if place}
    names = [checkpoint_name(source.topic, p, block * SEGMENTS) for p, block in sorted(blocks)]
    contents = await asyncio.gather(*map(storage.get, names))
    entries: dict[str, Entry] = {}
    for name, data in zip(names, contents, strict=True):
        try:
            entries |= _unpack(data) if data is not None else {}
        except (CorruptStateError, ValueError, zlib.error) as error:
            _log.warning("the checkpoint %s is not used: %s", name, error)
    return {name: entries[name] for name in wanted if name in entries}


def _unpack(data: bytes) -> dict[str, Entry]:
    entries = {}
    for line in zlib.decompress(data).splitlines():
        name, _, content = line.partition(b" ")
        entries[name.decode()] = Entry.load(content, name.decode())
    return entries


async def _names(
    storage: ArchiveStorage, kind: str, source: Source, partition: int | None
) -> dict[int, dict[int, str]]:
    """Names of entries, or of checkpoints, by partition and number."""
    names: dict[int, dict[int, str]] = defaultdict(dict)
    for name in await storage.names(folder(kind, source.topic, partition)):
        if name.endswith((".json", ".entries")) and (place := place_of(name)) is not None:
            names[place[0]][place[1]] = name
    return names
