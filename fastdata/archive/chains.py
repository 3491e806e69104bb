"""Following the chain of manifest entries of one partition, as it is in the store."""

import asyncio
from dataclasses import dataclass

from fastdata.archive.layout import first_of, manifest_prefix
from fastdata.archive.manifest import Entry, check_tiling
from fastdata.archive.storage import ArchiveStorage
from fastdata.errors import ArchiveHoleError
from fastdata.source import Source

__all__ = ["Chain", "follow_chain"]

# A listing is no snapshot: an archiver that closes a segment meanwhile can make it look torn.
_ATTEMPTS = 4
_READS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Chain:
    """The entries of a partition, each beginning where the one before it ends.

    Attributes:
        closed: Entries of closed segments; only the last one if no more was asked for.
        tiles: Entries of the open segment.
        orphans: Names of tile entries of segments that are closed; they mean nothing any more.
    """

    closed: tuple[Entry, ...] = ()
    tiles: tuple[Entry, ...] = ()
    orphans: tuple[str, ...] = ()

    @property
    def closed_end(self) -> int | None:
        """One after the last offset of the closed segments."""
        return self.closed[-1].next if self.closed else None

    @property
    def end(self) -> int | None:
        """The first offset that is not archived; None for an empty archive."""
        return self.tiles[-1].next if self.tiles else self.closed_end


class _TornError(Exception):
    """The listing and the entries do not fit each other; look again."""


async def follow_chain(
    storage: ArchiveStorage,
    source: Source,
    partition: int,
    *,
    is_whole: bool = True,
    known: dict[str, Entry] | None = None,
) -> Chain:
    """Read and verify the chain of a partition.

    Args:
        is_whole: Read all closed segments; otherwise only the last one.
        known: Entries of closed segments read before, by name; what is read is added.

    Raises:
        ArchiveHoleError: There is a hole, or an overlap.
        ArchiveConflictError: It is the archive of another declaration of the source.
        CorruptStateError: An entry does not verify.
        ArchiveUnavailableError: The store did not answer.
    """
    walk = _Walk(storage, source, partition, is_whole, {} if known is None else known)
    for attempt in range(_ATTEMPTS):
        try:
            return await walk.chain()
        except (_TornError, ArchiveHoleError) as error:
            if attempt == _ATTEMPTS - 1:
                raise ArchiveHoleError(str(error)) from error
            await asyncio.sleep(0)
    raise AssertionError("unreachable")


class _Walk:
    def __init__(
        self,
        storage: ArchiveStorage,
        source: Source,
        partition: int,
        is_whole: bool,
        known: dict[str, Entry],
    ) -> None:
        self._storage = storage
        self._source = source
        self._partition = partition
        self._is_whole = is_whole
        self._known = known

    async def chain(self) -> Chain:
        prefix = manifest_prefix(self._source.topic, self._partition)
        names = await self._storage.names(prefix)
        numbers = {n: name for name in names if (n := first_of(name, "segment")) is not None}
        segments = [numbers[n] for n in sorted(numbers)]
        tiles = {f: name for name in names if (f := first_of(name, "tile")) is not None}
        closed: list[Entry] = []
        wanted = segments if self._is_whole else segments[-1:]
        for at in range(0, len(wanted), _READS_AT_ONCE):
            some = wanted[at : at + _READS_AT_ONCE]
            closed += await asyncio.gather(*map(self._closed, some))
        check_tiling(closed)
        return await self._with_tiles(closed, tiles)

    async def _with_tiles(self, closed: list[Entry], tiles: dict[int, str]) -> Chain:
        if closed:
            start = closed[-1].next
        elif tiles:
            start = min(tiles)
            start -= start % self._source.segment_size
        else:
            return Chain()
        orphans = tuple(name for first, name in tiles.items() if first < start)
        end, open_tiles = start, []
        while end in tiles:
            open_tiles.append(tile := await self._read(tiles[end]))
            end = tile.next
        if len(orphans) + len(open_tiles) < len(tiles):
            later = min(first for first in tiles if first > end)
            raise _TornError(
                f"the manifest of {self._source.topic}, partition {self._partition}, has a hole: "
                f"it ends at {end}, and goes on with {tiles[later]}; restore the missing entry"
            )
        return Chain(tuple(closed), tuple(open_tiles), orphans)

    async def _closed(self, name: str) -> Entry:
        if name not in self._known:
            self._known[name] = await self._read(name)
        return self._known[name]

    async def _read(self, name: str) -> Entry:
        data = await self._storage.get(name)
        if data is None:
            raise _TornError(f"the manifest entry {name} is gone")
        entry = Entry.load(data, name)
        entry.check(self._source)
        return entry
