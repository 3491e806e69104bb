"""The manifest of a partition: a chain of entries that proves that there is no hole.

An entry is written once, under a name made of the offset where it begins, and only by who
believes that the chain ends there. So of two archivers one wins and the other goes on after it;
and entries never overlap. A closed segment has one entry for good; the open one has a tile entry
per piece, deleted when it closes. An entry of several closed segments holds no events at all.
"""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass

from fastdata.archive.layout import entry_name
from fastdata.declare.source import Source
from fastdata.errors import ArchiveConflictError, CorruptStateError

__all__ = ["Entry", "ObjectEntry", "Stretch"]

_FORMAT = 1
Stretch = tuple[int, int]
"""The first offset of some that follow each other, and how many they are."""


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object of the archive: records of one schema.

    Attributes:
        first: Offset of its first record.
        next: One after the offset of its last record.
        count: Records in it.
        size: Bytes of their Avro datums.
        schema: Canonical JSON of the writer's schema; `Schema.parse` reads it.
        schema_id: The id that stood on the wire; of values that are no Avro, the id of the
            `ValueReader` that told their hours; None for rejects.
        digest: SHA-256 of the object.
        hours: Events by the hour of their event time, ms UTC.
        timeless: Records whose time is null or absurd, or cannot be read.
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
        is_closed: Whether it is of whole segments; a tile is not.
        holes: Stretches that do not exist in the log: markers, compaction.
        lost: Stretches that were deleted from the log before they were archived.
        objects: The events by schema, and what could not be decoded.
    """

    topic: str
    partition: int
    segment_size: int
    time: str
    is_closed: bool
    first: int
    next: int
    holes: tuple[Stretch, ...]
    lost: tuple[Stretch, ...]
    objects: tuple[ObjectEntry, ...]

    @property
    def segment(self) -> int:
        """The first segment it belongs to."""
        return self.first // self.segment_size

    @property
    def name(self) -> str:
        """Its own name in the archive."""
        number = self.segment if self.is_closed else self.first
        return entry_name(self.topic, self.partition, number, is_closed=self.is_closed)

    def check(self, source: Source) -> None:
        """Make sure that it is of this source, and tells what became of each offset.

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
        records = sum(entry.count for entry in self.objects)
        gone = sum(length for _, length in (*self.holes, *self.lost))
        if records + gone != self.next - self.first or self.first >= self.next:
            raise CorruptStateError(
                f"{self.name}: {records} records and {gone} missing offsets do not make up "
                f"[{self.first}, {self.next})"
            )

    def dump(self) -> bytes:
        """JSON with a checksum; equal entries have equal bytes."""
        body = {"format": _FORMAT, **asdict(self)}
        for values in body["objects"]:
            # JSON has text for keys, and numbers would be sorted in another order than text.
            values["hours"] = {str(hour): n for hour, n in values["hours"].items()}
        return _canonical({"entry": body, "sha256": _sha256(body)})

    @classmethod
    def load(cls, data: bytes, name: str) -> "Entry":
        """The entry that `dump` wrote under `name`.

        Raises:
            CorruptStateError: The bytes do not verify.
        """
        try:
            outer = json.loads(data)
            body = outer["entry"]
            if outer["sha256"] != _sha256(body) or body.pop("format") != _FORMAT:
                raise ValueError("the checksum or the format is wrong")
            for values in body["objects"]:
                values["hours"] = {int(hour): n for hour, n in values["hours"].items()}
                values["schema"] = sys.intern(values["schema"])
            body["objects"] = tuple(ObjectEntry(**values) for values in body["objects"])
            for kind in ("holes", "lost"):
                body[kind] = tuple((first, length) for first, length in body[kind])
            entry = cls(**body)
            if entry.name != name:
                raise ValueError(f"it belongs at {entry.name}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptStateError(
                f"the manifest entry {name} does not verify: {error}; restore it from a copy"
            ) from error
        return entry


def _canonical(body: object) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _sha256(body: object) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()
