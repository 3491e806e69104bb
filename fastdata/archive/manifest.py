"""The manifest of a partition: a chain of entries that proves that there is no hole.

An entry is written once, under a name made of the offset where it begins, and only by who
believes that the chain ends there. So of two archivers one wins and the other reads on; and
entries never overlap. A closed segment has one entry for good; the open one has a tile entry
per piece, deleted when it closes. An entry of several closed segments holds no events at all.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from fastdata.archive.layout import object_name, segment_name, tile_name, tile_object_name
from fastdata.errors import ArchiveConflictError, ArchiveHoleError, CorruptStateError
from fastdata.source import Source

__all__ = ["Entry", "ObjectEntry", "Run", "check_tiling"]

_FORMAT = 1
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object of the archive: records of one schema.

    Attributes:
        first: Offset of its first record.
        next: One after the offset of its last record.
        count: Records in it.
        size: Bytes of their Avro datums.
        schema: Canonical JSON of the writer's schema; `Schema.parse` reads it.
        schema_id: The id that stood on the wire; None for rejects.
        digest: SHA-256 over schema, datums, their lengths and offsets.
        hours: Events by the hour of their event time, ms UTC.
        timeless: Events whose time is null or absurd.
    """

    name: str
    partition: int
    first: int
    next: int
    count: int
    size: int
    schema: str
    schema_id: int | None
    digest: str
    hours: dict[int, int]
    timeless: int


@dataclass(frozen=True, slots=True)
class Entry:
    """The offsets `[first, next)` of one partition, and what became of each.

    Attributes:
        time: Field of the event time, by which the hours were counted.
        holes: Runs (offset, length) that do not exist in the log: markers, compaction.
        lost: Runs that were deleted from the log before they were archived.
        objects: The events.
        rejected: What could not be decoded.
    """

    topic: str
    partition: int
    segment_size: int
    time: str
    is_closed: bool
    first: int
    next: int
    holes: tuple[Run, ...]
    lost: tuple[Run, ...]
    objects: tuple[ObjectEntry, ...]
    rejected: ObjectEntry | None

    @property
    def count(self) -> int:
        """Events in its objects."""
        return sum(each.count for each in self.objects)

    @property
    def rejects(self) -> int:
        """Records that could not be decoded."""
        return self.rejected.count if self.rejected else 0

    @property
    def all_objects(self) -> tuple[ObjectEntry, ...]:
        """The objects of events and of rejects."""
        return (*self.objects, self.rejected) if self.rejected else self.objects

    @property
    def segment(self) -> int:
        """The first segment it belongs to."""
        return self.first // self.segment_size

    @property
    def name(self) -> str:
        """Its own name in the archive."""
        if self.is_closed:
            return segment_name(self.topic, self.partition, self.segment)
        return tile_name(self.topic, self.partition, self.first)

    def check(self, source: Source) -> None:
        """Make sure that it is whole, and of this source.

        Raises:
            CorruptStateError: Its numbers do not add up.
            ArchiveConflictError: It was written under another declaration of the source.
        """
        mine = (source.topic, source.segment_size, source.time)
        if (self.topic, self.segment_size, self.time) != mine:
            raise ArchiveConflictError(
                f"{self.name} was archived with (topic, segment_size, time) = "
                f"{(self.topic, self.segment_size, self.time)}, {source.name!r} says {mine}; "
                "these are fixed for a topic's life: use another archive or topic"
            )
        gone = sum(length for _, length in (*self.holes, *self.lost))
        if self.count + self.rejects + gone != self.next - self.first or self.first >= self.next:
            raise CorruptStateError(
                f"{self.name}: {self.count} events, {self.rejects} rejects and {gone} missing "
                f"offsets do not make up [{self.first}, {self.next})"
            )
        edges = (self.first % self.segment_size, self.next % self.segment_size)
        spans = (self.next - 1) // self.segment_size - self.segment
        if (self.is_closed and edges != (0, 0)) or (spans and self.all_objects):
            raise CorruptStateError(f"{self.name}: [{self.first}, {self.next}) is no segment")
        for each in self.all_objects:
            self._check_object(each)

    def _check_object(self, each: ObjectEntry) -> None:
        is_rejects = each is self.rejected
        where = (self.topic, self.partition, each.first)
        if self.is_closed:
            name = object_name(*where, is_rejects=is_rejects)
        else:
            name = tile_object_name(*where, each.next, is_rejects=is_rejects)
        counted = each.count if is_rejects else sum(each.hours.values()) + each.timeless
        inside = self.first <= each.first < each.next <= self.next
        if not inside or each.name != name or counted != each.count or each.count < 1:
            raise CorruptStateError(f"{self.name}: its object {each.name} does not add up")

    def dump(self) -> bytes:
        """JSON with a checksum; equal entries have equal bytes."""
        body = {"format": _FORMAT, **asdict(self)}
        return _canonical({"entry": body, "sha256": _sha256(_canonical(body))})

    @classmethod
    def load(cls, data: bytes, name: str) -> "Entry":
        """The entry that `dump` wrote under `name`.

        Raises:
            CorruptStateError: The bytes do not verify.
        """
        try:
            outer = json.loads(data)
            body = outer["entry"]
            if outer["sha256"] != _sha256(_canonical(body)) or body.pop("format") != _FORMAT:
                raise ValueError("the checksum or the format is wrong")
            rejected = body.pop("rejected")
            entry = cls(
                holes=_runs(body.pop("holes")),
                lost=_runs(body.pop("lost")),
                objects=tuple(map(_object, body.pop("objects"))),
                rejected=_object(rejected) if rejected else None,
                **body,
            )
            if entry.name != name:
                raise ValueError(f"it belongs at {entry.name}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptStateError(
                f"the manifest entry {name} does not verify: {error}; restore it from a copy"
            ) from error
        return entry


def check_tiling(entries: Iterable[Entry]) -> None:
    """Make sure that each entry begins where the one before it ended.

    Raises:
        ArchiveHoleError: There is a hole, or an overlap.
    """
    end: int | None = None
    for entry in entries:
        if end is not None and entry.first != end:
            what = "a hole" if entry.first > end else "an overlap"
            raise ArchiveHoleError(
                f"the manifest of {entry.topic}, partition {entry.partition}, has {what}: "
                f"{entry.name} begins at {entry.first}, the one before ends at {end}; "
                "restore the missing entry from a copy of the archive"
            )
        end = entry.next


def _object(body: dict[str, object]) -> ObjectEntry:
    hours = cast("dict[str, int]", body.pop("hours"))
    body["schema"] = sys.intern(cast("str", body["schema"]))
    return ObjectEntry(hours={int(hour): n for hour, n in hours.items()}, **body)  # type: ignore[arg-type]


def _runs(body: Sequence[Sequence[int]]) -> tuple[Run, ...]:
    return tuple((int(start), int(length)) for start, length in body)


def _canonical(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
