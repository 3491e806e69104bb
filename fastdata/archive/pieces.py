"""What an archiver holds in memory: pieces of segments that are not durable yet."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from fastdata.archive.containers import ObjectWriter
from fastdata.archive.manifest import Run

__all__ = ["Item", "Missing", "Piece"]

Missing = Literal["holes", "lost"]


class Item(NamedTuple):
    """One record, as it goes into an object.

    Attributes:
        schema: Canonical JSON of its schema.
        schema_id: As on the wire; None for a reject.
        hour: Start of the hour of its event time, ms UTC; None if it has none, or for a reject.
    """

    offset: int
    schema: str
    schema_id: int | None
    datum: bytes
    hour: int | None


@dataclass(slots=True)
class _Group:
    schema: str
    offsets: list[int] = field(default_factory=list)
    datums: list[bytes] = field(default_factory=list)
    hours: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class Piece:
    """The offsets `[first, next)` of one segment, or of several that hold no record.

    Attributes:
        edge: Where its segment ends; the piece is closed when `next` is there.
        size: Bytes of its datums.
        since: When its first offset came, ms of the archiver's clock.
    """

    first: int
    next: int
    edge: int
    size: int = 0
    since: int | None = None
    holes: list[Run] = field(default_factory=list)
    lost: list[Run] = field(default_factory=list)
    groups: dict[int | None, _Group] = field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be added any more."""
        return self.next == self.edge

    def add(self, item: Item) -> None:
        """Take the record of the offset `next`; the caller moves `next` on."""
        group = self.groups.get(item.schema_id)
        if group is None:
            group = self.groups[item.schema_id] = _Group(item.schema)
        group.offsets.append(item.offset)
        group.datums.append(item.datum)
        group.hours.append(item.hour)
        self.size += len(item.datum)

    def fill(self, writers: dict[int | None, ObjectWriter]) -> None:
        """Write its records to the writer of their schema, made if there is none."""
        for schema_id, group in self.groups.items():
            writer = writers.get(schema_id)
            if writer is None:
                writer = writers[schema_id] = ObjectWriter(group.schema, schema_id)
            hours = Counter(group.hours)
            timeless = hours.pop(None, 0) if schema_id is not None else 0
            hours.pop(None, None)
            known = {hour: n for hour, n in hours.items() if hour is not None}
            writer.extend(group.offsets, group.datums, known, timeless)

    def parts(self) -> Iterator[tuple[int, Item | tuple[Missing, int]]]:
        """All that it holds with its first offset: records, and runs that are missing."""
        for schema_id, group in self.groups.items():
            rows = zip(group.offsets, group.datums, group.hours, strict=True)
            for offset, datum, hour in rows:
                yield offset, Item(offset, group.schema, schema_id, datum, hour)
        for start, length in self.holes:
            yield start, ("holes", start + length)
        for start, length in self.lost:
            yield start, ("lost", start + length)
