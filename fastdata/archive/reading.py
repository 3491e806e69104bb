"""Reading the archive: what is in it by hour and segment, and the events themselves."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fastdata import failpoints
from fastdata.archive.chains import Chain, follow_chain
from fastdata.archive.containers import read_container
from fastdata.archive.layout import manifest_prefix, partition_of
from fastdata.archive.manifest import Entry, ObjectEntry
from fastdata.archive.rejects import Reject, load_reject
from fastdata.archive.storage import ArchiveStorage, open_archive_storage
from fastdata.errors import CorruptStateError
from fastdata.segments import Coverage, segment_of
from fastdata.source import Source

__all__ = ["ArchiveReader", "Snapshot", "read_object"]

_NOTHING = Coverage()


class Snapshot:
    """What the archive of a topic held at one moment, in whole segments. Never changes.

    Attributes:
        coverage: Per partition, the first segment that is not complete in the archive.
        durable: Per partition, the first offset that is not durable in it.
        started: Per partition, the first offset that it begins with.
        entries: Per partition, the verified entries of the covered segments.
    """

    def __init__(self, segment_size: int, chains: Mapping[int, Chain]) -> None:
        held = {p: c for p, c in sorted(chains.items()) if c.end is not None}
        entries, segments = {}, {}
        for partition, chain in held.items():
            entries[partition] = chain.closed
            end = chain.closed_end or 0
            if failpoints.is_off("closed segments only"):
                entries[partition] += chain.tiles
                end = (chain.end or 0) + segment_size - 1
            segments[partition] = segment_of(end, segment_size)
        self.durable = {p: c.end for p, c in held.items() if c.end is not None}
        self.started = {p: (*c.closed, *c.tiles)[0].first for p, c in held.items()}
        self._narrow(segment_size, entries, Coverage(segments))

    def _narrow(
        self, segment_size: int, entries: Mapping[int, Sequence[Entry]], coverage: Coverage
    ) -> None:
        self._segment_size = segment_size
        self.coverage = coverage
        self.entries = {
            partition: tuple(e for e in some if coverage.covers(partition, e.segment))
            for partition, some in entries.items()
        }
        self._by_hour: dict[int, list[tuple[int, ObjectEntry]]] = defaultdict(list)
        for entry in self._all():
            for each in entry.objects:
                for hour in each.hours:
                    self._by_hour[hour].append((entry.segment, each))

    def at(self, coverage: Coverage) -> "Snapshot":
        """The same, up to an earlier coverage: what a run that is resumed had begun with.

        Raises:
            ValueError: The archive holds less than that.
        """
        if self.coverage.is_behind(coverage):
            raise ValueError(f"the archive covers {self.coverage.dump()}, not {coverage.dump()}")
        earlier = Snapshot(self._segment_size, {})
        earlier.durable, earlier.started = self.durable, self.started
        earlier._narrow(self._segment_size, self.entries, coverage)
        return earlier

    def hours(self, after: Coverage = _NOTHING) -> dict[int, int]:
        """Events by hour of event time, in the segments `[after, coverage)`.

        These are the hours that a version which covers `after` must be computed again for.

        Returns:
            Start of the hour, ms UTC, to events; only hours that have some.
        """
        counts = {hour: self.events(hour, after) for hour in sorted(self._by_hour)}
        return {hour: count for hour, count in counts.items() if count}

    def objects(self, hour: int | None = None, after: Coverage = _NOTHING) -> list[ObjectEntry]:
        """The objects of the segments `[after, coverage)` that hold events of an hour.

        Args:
            hour: Start of the hour, ms UTC; None for all objects.

        Returns:
            In order of partition and first offset.
        """
        if hour is not None:
            found = self._by_hour.get(hour, [])
        else:
            found = [(e.segment, each) for e in self._all() for each in e.objects]
        return [each for segment, each in found if not after.covers(each.partition, segment)]

    def events(self, hour: int, after: Coverage = _NOTHING) -> int:
        """How many events of an hour the segments `[after, coverage)` hold."""
        return sum(each.hours[hour] for each in self.objects(hour, after))

    @property
    def count(self) -> int:
        """Events in the covered segments, the timeless ones, too."""
        return sum(entry.count for entry in self._all())

    @property
    def rejects(self) -> int:
        """Records of the covered segments that could not be decoded."""
        return sum(entry.rejects for entry in self._all())

    @property
    def timeless(self) -> int:
        """Events of the covered segments whose time is null or absurd."""
        return sum(each.timeless for entry in self._all() for each in entry.objects)

    @property
    def rejected(self) -> list[ObjectEntry]:
        """The objects of what could not be decoded."""
        return [entry.rejected for entry in self._all() if entry.rejected]

    @property
    def lost(self) -> dict[int, list[tuple[int, int]]]:
        """Per partition, offsets `[start, end)` deleted from the log before they were archived."""
        return {
            partition: [(run[0], sum(run)) for entry in some for run in entry.lost]
            for partition, some in self.entries.items()
            if any(entry.lost for entry in some)
        }

    def _all(self) -> list[Entry]:
        return [entry for some in self.entries.values() for entry in some]


class ArchiveReader:
    """Reads the archive of one source's topic."""

    def __init__(self, storage: ArchiveStorage, source: Source) -> None:
        self._storage = storage
        self._source = source
        self._known: dict[str, Entry] = {}

    async def snapshot(self) -> Snapshot:
        """What the archive holds now, verified to have no hole.

        Entries of closed segments are read once only; they never change.

        Raises:
            ArchiveHoleError: The manifest has a hole, or an overlap.
            ArchiveConflictError: It is the archive of another declaration of the source.
            CorruptStateError: An entry does not verify.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        names = await self._storage.names(manifest_prefix(self._source.topic))
        partitions = sorted({p for name in names if (p := partition_of(name)) is not None})
        chains = {
            partition: await follow_chain(self._storage, self._source, partition, known=self._known)
            for partition in partitions
        }
        return Snapshot(self._source.segment_size, chains)

    async def read(self, entry: ObjectEntry) -> list[tuple[int, bytes]]:
        """Offsets and Avro datums of an object, ordered by offset.

        Raises:
            CorruptStateError: It is gone, or not what the manifest says.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        return _verified(await self._storage.get(entry.name), entry)

    async def read_rejects(self, entry: ObjectEntry) -> list[Reject]:
        """What could not be decoded, of one object of `Snapshot.rejected`.

        Raises:
            CorruptStateError: It is gone, or not what the manifest says.
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        return [load_reject(datum) for _, datum in await self.read(entry)]


def read_object(url: str, entry: ObjectEntry) -> list[tuple[int, bytes]]:
    """The same as `ArchiveReader.read`, for worker processes: it may block, and needs no loop.

    Args:
        url: The archive's, of a folder.

    Raises:
        CorruptStateError: The object is gone, or not what the manifest says.
        SettingsError: It is no archive that another process can open.
        ArchiveUnavailableError: The store did not answer; retriable.
    """
    return _verified(open_archive_storage(url).get_now(entry.name), entry)


def _verified(data: bytes | None, entry: ObjectEntry) -> list[tuple[int, bytes]]:
    if data is None:
        raise CorruptStateError(
            f"the archive's object {entry.name} is in its manifest, but gone; "
            "restore it from a copy"
        )
    return read_container(data, entry)
