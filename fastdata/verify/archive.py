"""What the archive of a source holds, as far as a verification must know."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from fastdata.archive.manifest import ObjectEntry
from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.segments import Coverage, segment_of, segment_start
from fastdata.declare.source import Source
from fastdata.declare.unfolded import counted_in, unfolded_of
from fastdata.store import rules
from fastdata.store.protocol import ServingStore
from fastdata.verify.recount import SegmentKey

__all__ = ["ArchiveContents"]


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """The archive of a source at one moment.

    Attributes:
        coverage: Per partition, the first segment that is not complete in it.
        hours: By start of the hour, ms UTC, the objects that hold events of it.
        unread: How many events the speed layer could not read, though the archive can.
        lost: How many offsets were never archived.
    """

    coverage: Coverage
    hours: Mapping[int, list[ObjectEntry]]
    unread: Mapping[SegmentKey, int]
    lost: Mapping[SegmentKey, int]

    @classmethod
    async def read(cls, archive: ArchiveStorage, source: Source, store: ServingStore) -> Self:
        """Read the manifest, and the counts of dead letters.

        Raises:
            ArchiveError: The archive cannot be read, has a hole, or is of another declaration.
            CorruptStateError: An entry does not verify.
            StoreError: The store failed.
        """
        reader = ArchiveReader(archive, source)
        snapshot = await reader.index_again(await reader.snapshot())
        hours: dict[int, list[ObjectEntry]] = {}
        for entry in snapshot.objects():
            for hour in entry.hours:
                hours.setdefault(hour, []).append(entry)
        letters = await _dead_letters(store, source)
        unread = +(letters - _unreadable(snapshot, source.segment_size))
        return cls(snapshot.coverage, hours, unread, _lost(snapshot, source.segment_size))


async def _dead_letters(store: ServingStore, source: Source) -> Counter[SegmentKey]:
    counts: Counter[SegmentKey] = Counter()
    unfolded = unfolded_of(source)
    window = rules.DEAD_LETTERS_WINDOW
    for partial in await store.partials(unfolded.id, window, window + 1):
        reason = json.loads(partial.dims)[0]
        # What cannot be mapped is left out by both layers; so is too long a key, of its metric.
        if reason.startswith("dead:") and reason not in ("dead:too-long", "dead:map-error"):
            counts[partial.partition, partial.segment] += counted_in(unfolded, partial.state)
    return counts


def _unreadable(snapshot: Snapshot, size: int) -> Counter[SegmentKey]:
    counts: Counter[SegmentKey] = Counter()
    for entry in snapshot.rejected:
        counts[entry.partition, segment_of(entry.first, size)] += entry.count
    for entry in snapshot.objects():
        counts[entry.partition, segment_of(entry.first, size)] += entry.timeless
    return counts


def _lost(snapshot: Snapshot, size: int) -> Counter[SegmentKey]:
    counts: Counter[SegmentKey] = Counter()
    for partition, ranges in snapshot.lost.items():
        for start, end in ranges:
            for segment in range(segment_of(start, size), segment_of(end - 1, size) + 1):
                first = max(start, segment_start(segment, size))
                counts[partition, segment] += min(end, segment_start(segment + 1, size)) - first
    return counts
