"""The events of an hour, read and sorted anew: plain, slow, and with code of its own.

What is shared with the layers is the manifest that names the objects, how values are read, the
user's map function, and, for a metric with expressions, how these are evaluated. Reading objects,
removing repeats and grouping are written again here, so that a mistake in theirs shows.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

import fastavro
from fastavro.read import SchemaResolutionError

from fastdata.archive.manifest import ObjectEntry
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.dimensions import MAX_DIMS_BYTES
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage, segment_start
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import BadEventError, VerifyError
from fastdata.events.formats import VALUE_SCHEMA
from fastdata.events.schema import Schema

__all__ = [
    "GroupKey",
    "PlainEvent",
    "PlainRow",
    "PlainRows",
    "SegmentKey",
    "group",
    "mark_repeats",
    "read_events",
    "tip_events",
]

SegmentKey = tuple[int, int]  # partition, segment
GroupKey = tuple[int, str]  # start of the window in ms UTC, dimensions as JSON with spaces
_COMPACT = (",", ":")
_BROKEN = (ValueError, LookupError, TypeError, EOFError, AssertionError, SchemaResolutionError)

_DEAD: Mapping[str, object] = {}


@dataclass(slots=True)
class PlainEvent:
    """An archived event of the hour.

    Attributes:
        time: ms UTC.
        id: None when it has none.
        fields: What the map function left of it; None when it dropped the event.
        is_repeat: Whether one with its id comes before it, by partition and offset: batch leaves
            it out.
        is_again: Whether one with its id comes before it when all events that the previous
            version of the hour has counted are put first: the speed layer should leave it out.
        is_again_here: The same within its partition, which is what a worker can know.
    """

    partition: int
    offset: int
    time: int
    id: object
    fields: Mapping[str, object] | None
    is_repeat: bool = False
    is_again: bool = False
    is_again_here: bool = False


@dataclass(slots=True)
class PlainRow:
    """What one event gives to one (window, dimensions).

    Attributes:
        values: One per measure; None is skipped, several arguments are a tuple.
    """

    event: PlainEvent
    values: Sequence[object]


PlainRows = list[PlainRow]


async def read_events(
    storage: ArchiveStorage, source: Source, objects: Iterable[ObjectEntry], spans: Iterable[int]
) -> dict[int, list[PlainEvent]]:
    """The events of the hours that begin at `spans`, by partition and offset.

    Args:
        objects: All that hold events of these hours; each is read once.
        spans: Starts of hours, ms UTC.

    Raises:
        VerifyError: An object is gone or cannot be read with the source's schema.
        ArchiveUnavailableError: The archive did not answer; retriable.
    """
    per_ms = 1000 if source.schema.fields[source.time].unit == "us" else 1
    events: dict[int, list[PlainEvent]] = {span: [] for span in spans}
    for entry in objects:
        data = await storage.get(entry.name)
        if data is None:
            raise VerifyError(f"the archive's object {entry.name} is gone; restore it from a copy")
        try:
            records = _decode(data, source)
        except _BROKEN as error:
            raise VerifyError(
                f"the recount cannot read {entry.name} with the schema of {source.name!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        for offset, record in records:
            moment = record[source.time]
            span = None if moment is None else moment // per_ms // HOUR_MS * HOUR_MS
            if span not in events:
                continue
            identity = record[source.id] if source.id else None
            fields = _mapped(source, record)
            if fields is _DEAD:
                continue
            event = PlainEvent(entry.partition, offset, moment // per_ms, identity, fields)
            events[span].append(event)
    for in_span in events.values():
        in_span.sort(key=lambda event: (event.partition, event.offset))
    return events


def _mapped(source: Source, record: dict[str, Any]) -> Mapping[str, object] | None:
    """What the map function leaves of an event; `_DEAD` of one that both layers must leave out."""
    if source.mapper is None:
        return record
    if source.on_map_error == "stop":
        return source.mapper(record)
    try:
        fields = source.mapper(record)
    except Exception:  # noqa: BLE001 - whatever the user's code raises
        return _DEAD
    return fields if fields is None or isinstance(fields, dict) else _DEAD


def mark_repeats(
    events: Sequence[PlainEvent], coverage: Coverage, since: Coverage, segment_size: int
) -> list[PlainEvent]:
    """The events that the coverage counts, in order, each marked when its id came before.

    Args:
        events: Of an hour, by partition and offset.
        coverage: What the current version has counted.
        since: What the version before had counted.
    """
    ends, ends_before = (
        {p: segment_start(segment, segment_size) for p, segment in counted.segments.items()}
        for counted in (coverage, since)
    )
    covered = [event for event in events if event.offset < ends.get(event.partition, 0)]
    seen: set[object] = set()
    for event in covered:
        event.is_repeat = event.id is not None and event.id in seen
        seen.add(event.id)
    seen, here = set(), set[tuple[int, object]]()
    # Sorting keeps the order of the earlier ones, and of the others.
    for event in sorted(covered, key=lambda e: e.offset >= ends_before.get(e.partition, 0)):
        event.is_again = event.id is not None and event.id in seen
        event.is_again_here = event.id is not None and (event.partition, event.id) in here
        seen.add(event.id)
        here.add((event.partition, event.id))
    return covered


def tip_events(
    events: Iterable[PlainEvent], closed: Iterable[PlainEvent], coverage: Coverage, size: int
) -> list[PlainEvent]:
    """What the coverage counts of open segments, up to its `until`: each id once, after the closed.

    Args:
        events: Of an hour, by partition and offset.
        closed: Those of closed segments.
        size: Of a segment, in offsets.
    """
    seen = {event.id for event in closed}
    counted: list[PlainEvent] = []
    for event in events if coverage.until else ():
        if coverage.covers(event.partition, event.offset // size):
            continue
        is_repeat = event.id is not None and event.id in seen
        if coverage.has_read(event.partition, event.offset) and not is_repeat:
            seen.add(event.id)
            counted.append(event)
    return counted


def group(
    metric: Metric, events: Iterable[PlainEvent]
) -> dict[SegmentKey, dict[GroupKey, PlainRows]]:
    """The rows of each window and dimensions, by partition and segment; repeats are in them."""
    size = metric.source.segment_size
    rows_of = _plain_rows(metric) if metric.is_plain else partial(_rows, metric)
    segments: dict[SegmentKey, dict[GroupKey, PlainRows]] = {}
    for event in events:
        if event.fields is None:
            continue
        window = event.time // metric.window_ms * metric.window_ms
        groups = segments.setdefault((event.partition, event.offset // size), {})
        for dims, values in rows_of(event):
            groups.setdefault((window, _text(*dims)), []).append(PlainRow(event, values))
    return segments


def _rows(metric: Metric, event: PlainEvent) -> Iterable[tuple[Sequence[object], Sequence[object]]]:
    """Dimensions and values of each row of an event."""
    with suppress(BadEventError):
        for dims, several in metric.rows(cast("Any", event.fields), event.time):
            yield from ((dims, values) for values in several)


def _plain_rows(
    metric: Metric,
) -> Callable[[PlainEvent], Iterator[tuple[Sequence[object], Sequence[object]]]]:
    """The same of dimensions and arguments that are fields, without code of the layers."""
    by, sets = metric.by, metric.sets
    measures = [(m.arguments, getattr(m, "timed", False)) for m in metric.folded.values()]

    def rows(event: PlainEvent) -> Iterator[tuple[Sequence[object], Sequence[object]]]:
        fields = cast("Mapping[str, object]", event.fields)
        if _is_too_long(*[fields[name] for name in by]):
            return
        values: list[object] = []
        for names, is_timed in measures:
            if len(names) == 1:
                value = fields[names[0]]
            else:
                arguments = tuple([fields[name] for name in names])
                value = None if None in arguments else arguments
            values.append((value, event.time) if is_timed and value is not None else value)
        for number, names in enumerate(sets):
            dims = [fields[name] for name in names]
            yield [number, *dims] if len(sets) > 1 else dims, values

    return rows


# By their types as well: 1 and true are equal.
@lru_cache(maxsize=1 << 16, typed=True)
def _text(*dims: object) -> str:
    return json.dumps(dims)


@lru_cache(maxsize=1 << 16, typed=True)
def _is_too_long(*dims: object) -> bool:
    key = json.dumps(dims, ensure_ascii=False, separators=_COMPACT)
    return len(key.encode(errors="surrogatepass")) > MAX_DIMS_BYTES


def _decode(data: bytes, source: Source) -> list[tuple[int, dict[str, Any]]]:
    """Offsets and records of an Avro container, without those that cannot be read."""
    container = fastavro.block_reader(io.BytesIO(data))
    ranges = json.loads(container.metadata["fastdata.offsets"])
    offsets = [offset for start, length in ranges for offset in range(start, start + length)]
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
    """What the source's reader makes of values that are archived as they came, as JSON or text."""
    for offset, kept in numbered:
        if source.reader is not None:
            with suppress(BadEventError):
                yield offset, source.reader.read(kept["value"], kept["timestamp_ms"])
