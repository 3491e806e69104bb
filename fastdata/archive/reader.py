"""Reading the archive: what is in it, and the events themselves."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastdata.archive.avro_file import cut_object, records_of, verified
from fastdata.archive.chains import Chain, follow_chains
from fastdata.archive.manifest import Entry, ObjectEntry
from fastdata.archive.records import NoRegistry
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.instants import HOUR_MS, floor_to
from fastdata.coordinates.segments import Coverage, segment_of
from fastdata.declare.source import Source
from fastdata.errors import ArchiveConflictError, ArchiveUnavailableError, BadEventError
from fastdata.events.decoder import Decoder
from fastdata.events.formats import VALUE_SCHEMA

__all__ = ["ArchiveReader", "Snapshot", "closed_segments"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the archive of a topic held at one moment.

    Attributes:
        coverage: Per partition, the first segment that is not complete in the archive, and the
            offset up to which (exclusive) that one is in it.
        durable: Per partition, the first offset that is not durable in it.
        entries: Per partition, the verified entries up to there.
    """

    coverage: Coverage
    durable: Mapping[int, int]
    entries: Mapping[int, tuple[Entry, ...]]

    def at(self, coverage: Coverage) -> "Snapshot | None":
        """The same, up to an earlier coverage: what a run that is resumed had begun with.

        None when it ends within a segment that was closed since: its tiles are gone.

        Raises:
            ValueError: The archive holds less than that.
        """
        if self.coverage.is_behind(coverage):
            raise ValueError(f"the archive covers {self.coverage.dump()}, not {coverage.dump()}")
        entries = {
            p: tuple(
                e for e in chain if coverage.covers(p, e.segment) or coverage.has_read(p, e.first)
            )
            for p, chain in self.entries.items()
        }
        ends = {p: chain[-1].next for p, chain in entries.items() if chain}
        if any(ends.get(p) != until for p, until in coverage.until.items()):
            return None
        return replace(self, coverage=coverage, entries=entries)

    def objects(self) -> list[ObjectEntry]:
        """The objects of events, in order of partition and first offset."""
        return [entry for entry in self._all() if entry.schema_id is not None]

    @property
    def rejected(self) -> list[ObjectEntry]:
        """The objects of what could not be decoded."""
        return [entry for entry in self._all() if entry.schema_id is None]

    @property
    def rejects(self) -> int:
        """Records that could not be decoded."""
        return sum(entry.count for entry in self.rejected)

    @property
    def timeless(self) -> int:
        """Events whose time is null or absurd."""
        return sum(entry.timeless for entry in self.objects())

    @property
    def lost(self) -> dict[int, list[tuple[int, int]]]:
        """Per partition, the offsets `[start, end)` that were never archived.

        The log had deleted them before the archive began, or while it was down.
        """
        lost: dict[int, list[tuple[int, int]]] = {}
        for partition, entries in self.entries.items():
            for start, length in (loss for entry in entries for loss in entry.lost):
                ranges = lost.setdefault(partition, [])
                is_next = ranges and ranges[-1][1] == start
                ranges.append((ranges.pop()[0] if is_next else start, start + length))
        return lost

    def _all(self) -> list[ObjectEntry]:
        return [o for chain in self.entries.values() for entry in chain for o in entry.objects]


class ArchiveReader:
    """Reads the archive of one source's topic."""

    def __init__(self, storage: ArchiveStorage, source: Source) -> None:
        self.storage = storage
        self._source = source
        self._cache: dict[str, Entry] = {}
        self._indexed: dict[str, ObjectEntry] = {}
        self._coverage = Coverage()

    async def snapshot(self) -> Snapshot:
        """What the archive holds now, verified to have no hole.

        Entries are read once only; they never change.

        Raises:
            ArchiveHoleError: The manifest has a hole, or an overlap.
            ArchiveConflictError: It is the archive of another declaration of the source.
            CorruptStateError: An entry does not verify.
            ArchiveUnavailableError: The store did not answer, or holds less than it did;
                retriable.
        """
        size = self._source.segment_size
        chains = await follow_chains(self.storage, self._source, cache=self._cache)
        durable = {p: chain.end for p, chain in chains.items() if chain.end is not None}
        entries = {p: (*chain.closed, *chain.tiles) for p, chain in chains.items()}
        coverage = Coverage(
            {p: closed_segments(chain, size) for p, chain in chains.items()},
            {p: chain.tiles[-1].next for p, chain in chains.items() if chain.tiles},
        )
        if coverage.is_behind(self._coverage):
            raise ArchiveUnavailableError(
                f"the archive of {self._source.topic!r} holds {coverage.dump()} segments, and held "
                f"{self._coverage.dump()} before; is its folder or bucket another one, or away?"
            )
        self._coverage = coverage
        return Snapshot(coverage, durable, entries)

    async def index_again(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the hours that the present declaration reads.

        The manifest counts events by hour with the declaration of the day on which they were
        archived. Of what is no Avro another schema or pattern may read other times, read what could
        not be read, or not read what could. Such objects are read again, once only; what they hold
        does not change. Events before the oldest that there can be are in no hour.

        Raises:
            ArchiveConflictError: The source is declared as Avro, and values of the archive are not.
            CorruptStateError: An object is gone, or not what the manifest says.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        source, indexed = self._source, self._indexed
        mine = source.reader.id if source.reader else None
        stale = [
            entry
            for entry in snapshot.objects()
            if entry.schema == VALUE_SCHEMA.canonical and entry.schema_id != mine
        ]
        if stale and mine is None:
            raise ArchiveConflictError(
                f"the archive of {source.topic!r} holds values that are no Avro, but source "
                f"{source.name!r} ({source.place}) is declared without a format; give it the "
                "format of the topic"
            )
        for entry in stale:
            if entry.name not in indexed:
                indexed[entry.name] = await self._index(entry)
        oldest = source.oldest_ms
        bounded = {
            entry.name: _bounded(indexed.get(entry.name, entry), oldest)
            for entry in snapshot.objects()
            if entry.name in indexed or any(hour < oldest for hour in entry.hours)
        }
        if not bounded:
            return snapshot
        entries = {
            partition: tuple(
                replace(entry, objects=tuple(bounded.get(o.name, o) for o in entry.objects))
                for entry in chain
            )
            for partition, chain in snapshot.entries.items()
        }
        return replace(snapshot, entries=entries)

    async def _index(self, entry: ObjectEntry) -> ObjectEntry:
        decoder = Decoder(self._source, NoRegistry())
        hours: Counter[int] = Counter()
        for _, datum in await self.read(entry):
            try:
                time = decoder.time_of(decoder.read_datum(VALUE_SCHEMA, datum))
            except BadEventError:
                continue
            hours[floor_to(time, HOUR_MS)] += 1
        timeless = entry.count - hours.total()
        return replace(entry, hours=dict(sorted(hours.items())), timeless=timeless)

    async def read(self, entry: ObjectEntry) -> list[tuple[int, bytes]]:
        """Offsets and Avro datums of an object, ordered by offset.

        Raises:
            CorruptStateError: It is gone, or not what the manifest says.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        return records_of(await self.read_whole(entry))

    async def read_whole(self, entry: ObjectEntry) -> bytes:
        """An object as it is, an Avro container file; raises what `read` raises."""
        data = await self.storage.get(entry.name)
        if data is None and (merged := await self._merged(entry)) is not None:
            return cut_object(verified(await self.storage.get(merged.name), merged), entry)
        return verified(data, entry)

    async def _merged(self, tile: ObjectEntry) -> ObjectEntry | None:
        """The object that has the records of a tile that is gone: its segment was closed since."""
        chains = await follow_chains(self.storage, self._source, cache=self._cache)
        for entry in reversed(chains[tile.partition].closed):
            for merged in entry.objects:
                is_of_schema = (merged.schema_id, merged.schema) == (tile.schema_id, tile.schema)
                if is_of_schema and merged.first <= tile.first and tile.next <= merged.next:
                    return merged
        return None


def _bounded(entry: ObjectEntry, oldest: int) -> ObjectEntry:
    """The entry without the hours before the oldest."""
    hours = {hour: events for hour, events in entry.hours.items() if hour >= oldest}
    return replace(entry, hours=hours, timeless=entry.count - sum(hours.values()))


def closed_segments(chain: Chain, size: int) -> int:
    """How many segments of a chain are closed: what batch counts as totals, and for good.

    The layers are cut at the edges of segments: a partial is of a whole segment, so of one that is
    still open totals would count what the speed layer counts as well.
    """
    return segment_of(chain.closed_end, size)
