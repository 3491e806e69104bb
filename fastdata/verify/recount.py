"""The events of an hour, read and sorted anew: plain, slow, and with code of its own.

What is shared with the layers is the manifest that names the objects, how values are read, the
user's map function, and, for a metric with expressions, how these are evaluated. Reading objects,
removing repeats and grouping are written again here, so that a mistake in theirs shows.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import fastavro
from fastavro.read import SchemaResolutionError

from fastdata.archive.manifest import ObjectEntry
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import BadEventError, VerifyError
from fastdata.events.formats import VALUE_SCHEMA
from fastdata.events.schema import Schema

__all__ = ["Cell", "CellKey", "Event", "Place", "PlainRow", "group", "mark_repeats", "read_events"]

Place = tuple[int, int]  # partition, segment
CellKey = tuple[int, str]  # window, JSON of the dimensions
_BROKEN = (ValueError, LookupError, TypeError, EOFError, AssertionError, SchemaResolutionError)


@dataclass(slots=True)
class Event:
    """An archived event of the hour.

    Attributes:
        time: ms UTC.
        id: None when it has none.
        fields: What the map function left of it; None when it dropped the event.
        is_repeat: Whether one with its id comes before it, by partition and offset.
        is_again: Whether one with its id comes before it when all that was counted earlier does.
        is_again_here: Whether one comes before it in its own partition.
    """

    partition: int
    offset: int
    time: int
    id: object
    fields: Mapping[str, object] | None
    is_repeat: bool = False
    is_again: bool = False
    is_again_here: bool = False


@dataclass(frozen=True, slots=True)
class PlainRow:
    """What one event gives to one (window, dimensions).

    Attributes:
        values: One per measure; None is skipped, several arguments are a tuple.
    """

    event: Event
    values: Sequence[object]


Cell = list[PlainRow]


async def read_events(
    storage: ArchiveStorage, source: Source, objects: Iterable[ObjectEntry], spans: Iterable[int]
) -> dict[int, list[Event]]:
    """The events of the hours that begin at `spans`, by partition and offset.

    Args:
        objects: All that hold events of these hours; each is read once.

    Raises:
        VerifyError: An object is gone or cannot be read with the source's schema.
        ArchiveUnavailableError: The archive did not answer; retriable.
    """
    per_ms = 1000 if source.schema.fields[source.time].unit == "us" else 1
    events: dict[int, list[Event]] = {span: [] for span in spans}
    for entry in objects:
        data = await storage.get(entry.name)
        if data is None:
            raise VerifyError(f"the archive's object {entry.name} is gone; restore it from a copy")
        try:
            found = _decode(data, source)
        except _BROKEN as error:
            raise VerifyError(
                f"the recount cannot read {entry.name} with the schema of {source.name!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        for offset, record in found:
            moment = record[source.time]
            span = None if moment is None else moment // per_ms // HOUR_MS * HOUR_MS
            if span not in events:
                continue
            identity = record[source.id] if source.id else None
            fields = source.mapper(record) if source.mapper else record
            event = Event(entry.partition, offset, moment // per_ms, identity, fields)
            events[span].append(event)
    for found_events in events.values():
        found_events.sort(key=lambda event: (event.partition, event.offset))
    return events


def mark_repeats(
    events: Sequence[Event], coverage: Coverage, since: Coverage, segment_size: int
) -> list[Event]:
    """The events that the coverage counts, in order, each marked when its id came before.

    Args:
        since: What an earlier version had counted.
    """

    def is_new(event: Event) -> bool:
        return not since.covers(event.partition, event.offset // segment_size)

    covered = [e for e in events if coverage.covers(e.partition, e.offset // segment_size)]
    seen: set[object] = set()
    for event in covered:
        event.is_repeat = event.id is not None and event.id in seen
        seen.add(event.id)
    seen, here = set(), set[tuple[int, object]]()
    for event in sorted(covered, key=is_new):
        event.is_again = event.id is not None and event.id in seen
        event.is_again_here = event.id is not None and (event.partition, event.id) in here
        seen.add(event.id)
        here.add((event.partition, event.id))
    return covered


def group(metric: Metric, events: Iterable[Event]) -> dict[Place, dict[CellKey, Cell]]:
    """The rows of each window and dimensions, by partition and segment."""
    size = metric.source.segment_size
    is_plain = metric.is_plain
    places: dict[Place, dict[CellKey, Cell]] = {}
    for event in events:
        if event.fields is None:
            continue
        window = event.time // metric.window_ms * metric.window_ms
        cells = places.setdefault((event.partition, event.offset // size), {})
        for dims, values in _rows(metric, event, is_plain):
            key = (window, json.dumps(dims))
            cells.setdefault(key, []).append(PlainRow(event, values))
    return places


def _rows(
    metric: Metric, event: Event, is_plain: bool
) -> Iterable[tuple[Sequence[object], Sequence[object]]]:
    fields = cast("Mapping[str, object]", event.fields)
    if not is_plain:
        for dims, several in metric.rows(fields, event.time):
            yield from ((dims, values) for values in several)
        return
    values: list[object] = []
    for measure in metric.folded.values():
        given = tuple(fields[name] for name in measure.arguments)
        value = None if None in given else given[0] if len(given) == 1 else given
        is_timed = getattr(measure, "timed", False) and value is not None
        values.append((value, event.time) if is_timed else value)
    for number, names in enumerate(metric.sets):
        head = [number] if len(metric.sets) > 1 else []
        yield [*head, *[fields[name] for name in names]], values


def _decode(data: bytes, source: Source) -> list[tuple[int, dict[str, Any]]]:
    """Offsets and records of an Avro container, without those that cannot be read."""
    container = fastavro.block_reader(io.BytesIO(data))
    runs = json.loads(container.metadata["fastdata.offsets"])
    offsets = [offset for start, length in runs for offset in range(start, start + length)]
    writer = Schema.parse(container.metadata["avro.schema"])
    is_kept = writer == VALUE_SCHEMA
    resolved = None if is_kept or writer == source.schema else source.schema.parsed
    records = [
        cast(
            "dict[str, Any]",
            fastavro.schemaless_reader(cast("Any", block).bytes_, writer.parsed, resolved),
        )
        for block in container
        for _ in range(block.num_records)
    ]
    numbered = list(zip(offsets, records, strict=True))
    return list(_read_kept(numbered, source)) if is_kept else numbered


def _read_kept(
    numbered: Iterable[tuple[int, dict[str, Any]]], source: Source
) -> Iterator[tuple[int, dict[str, Any]]]:
    for offset, kept in numbered:
        if source.reader is not None:
            with suppress(BadEventError):
                yield offset, source.reader.read(kept["value"], kept["timestamp_ms"])
