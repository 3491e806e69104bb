"""The row engine: folds archived events one at a time, as the agents do; it takes any Python."""

import gc
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from fastdata.batch.rollups.states import HourStates
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS, to_datetime
from fastdata.declare.metric import Metric, States
from fastdata.errors import BadEventError, ReplayError, UnknownSchemaError
from fastdata.events.decoder import Decoder, Event
from fastdata.events.schema import Schema

__all__ = ["Engine", "Folded", "Job", "Piece", "Row", "check_counts", "fold", "without_collector"]

_BUGS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
Engine = Literal["rows", "columns"]
_Record = tuple[int, bytes]
Row = tuple[int, str, bytes]
_Cells = dict[tuple[int, tuple[Dimension, ...]], States]


@dataclass(frozen=True, slots=True)
class Piece:
    """The records of one object.

    Attributes:
        schema: Canonical JSON of the writer's schema.
        rows: Offsets and Avro datums, in order of offset: for the row engine.
        data: The object itself: for the columnar one.
    """

    partition: int
    segment: int
    schema: str
    rows: Sequence[_Record] = ()
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Job:
    """Some spans of metrics of one source, and the events that they are made of.

    Attributes:
        spans: How many events each holds, repeats included.
        wanted: Per span, which metrics to compute, by their index.
        pieces: In order of partition and segment.
        engine: Which one folds it.
    """

    spans: Mapping[int, int]
    wanted: Mapping[int, tuple[int, ...]]
    pieces: Sequence[Piece]
    engine: Engine = "rows"


@dataclass(slots=True)
class Folded:
    """What a job gave.

    Attributes:
        totals: By (index of the metric, span), in order of window and dimensions: what a `Total`
            is made of, as tuples cost a process boundary a quarter.
        duplicates: Per span, events with an id that an earlier event of it had.
        hours: By (index of the metric, span), of metrics with rollups: what is to be kept of the
            hour; see `KeptStates`.
    """

    totals: dict[tuple[int, int], list[Row]]
    duplicates: dict[int, int]
    hours: dict[tuple[int, int], list[Row]] = field(default_factory=dict)


@dataclass(slots=True)
class _Span:
    cells: list[tuple[Metric, _Cells]]
    events: int = 0
    duplicates: int = 0
    seen: set[str | int] = field(default_factory=set)


class _Unused:
    """Objects of the archive carry their schema, so no id is ever looked up."""

    def get(self, schema_id: int) -> Schema:
        raise UnknownSchemaError(f"no schema {schema_id}")


@contextmanager
def without_collector() -> Iterator[None]:
    """Cells are no cycles: looking for some among all of them takes a fifth of the time."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


@without_collector()
def fold(metrics: Sequence[Metric], job: Job) -> Folded:
    """The exact totals of a job's spans.

    A pure function: of events with one id the first in order of partition and offset counts,
    whatever the order of reading.

    Args:
        metrics: Of one source; the job means them by their index.

    Raises:
        ReplayError: A span has not the number of events that the manifest says, or a metric
            cannot fold an event.
        MapError: The source's map function raised, or a value is not of its declared type.
    """
    spans = {
        span: _Span([(metrics[index], {}) for index in job.wanted[span]]) for span in job.spans
    }
    decode = Decoder(metrics[0].source, _Unused()).decode_datum
    for schema_text, rows in _in_order(job.pieces):
        schema = Schema.parse(schema_text)
        for offset, datum in rows:
            try:
                event = decode(schema, datum)
            except BadEventError:
                continue  # In no hour of the manifest, or noticed by its count.
            span = spans.get(event.time - event.time % HOUR_MS)
            if span is not None:
                try:
                    _add(span, event)
                except _BUGS as error:
                    raise _bug(metrics[0], offset, error) from error
    check_counts(job, {start: span.events for start, span in spans.items()})
    folded = Folded(
        totals={},
        duplicates={start: span.duplicates for start, span in spans.items() if span.duplicates},
    )
    for start, span in spans.items():
        for index, (metric, cells) in zip(job.wanted[start], span.cells, strict=True):
            hours = HourStates(metric, [start])
            folded.totals[index, start] = _dump(metric, cells, hours)
            folded.hours.update({(index, span): rows for span, rows in hours.rows().items()})
    return folded


def _add(span: _Span, event: Event) -> None:
    span.events += 1
    identity = event.id
    if identity is not None:
        if identity in span.seen:
            span.duplicates += 1
            return
        span.seen.add(identity)
    fields = event.fields
    if fields is None:
        return
    for metric, cells in span.cells:
        window = event.time - event.time % metric.window_ms
        for dims, several in metric.rows(fields, event.time):
            key = (window, dims)
            states = cells.get(key)
            if states is None:
                states = cells[key] = metric.zero(exact=True)
            for values in several:
                metric.add_values(states, values)


def _dump(metric: Metric, cells: _Cells, hours: HourStates) -> list[Row]:
    texts = {dims: dump_dims(dims) for _, dims in cells}
    rows = []
    while cells:
        (window, dims), states = cells.popitem()
        rows.append((window, texts[dims], metric.dump(states)))
        hours.add(window, texts[dims], states)
    return sorted(rows)


def _in_order(pieces: Iterable[Piece]) -> Iterator[tuple[str, Sequence[_Record]]]:
    """By partition and offset: objects of one segment, one for each schema, may interleave."""
    for _, together in groupby(pieces, key=lambda piece: (piece.partition, piece.segment)):
        first, *others = together
        if not others:
            yield first.schema, first.rows
            continue
        tagged = ([(*row, each.schema) for row in each.rows] for each in (first, *others))
        for offset, datum, schema in heapq.merge(*tagged):
            yield schema, ((offset, datum),)


def check_counts(job: Job, found: Mapping[int, int]) -> None:
    """Make sure that all events of a job were read.

    Args:
        found: How many, by span.

    Raises:
        ReplayError: They are not as many as the manifest says.
    """
    for start, events in job.spans.items():
        if found.get(start, 0) != events:
            raise ReplayError(
                f"the archive says that {events} events are in the hour of {to_datetime(start)}, "
                f"but {found.get(start, 0)} can be read; is the schema of the source another "
                "than when they were archived? Give fields that were added a default"
            )


def _bug(metric: Metric, offset: int, error: Exception) -> ReplayError:
    return ReplayError(
        f"the event at offset {offset} of {metric.source.topic!r} cannot be folded: "
        f"{type(error).__name__}: {error}; see the map function of source "
        f"{metric.source.name!r} ({metric.source.place})"
    )
