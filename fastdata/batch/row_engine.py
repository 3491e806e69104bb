"""The row engine: folds archived events one at a time, as the agents do; it takes any Python."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fastdata.archive.records import NoRegistry
from fastdata.batch.job import FoldedWindows, Job, JobResult, Piece, check_counts, without_collector
from fastdata.coordinates.dimensions import Dimension, dump_dims, tip_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Metric, States
from fastdata.errors import BadEventError, ReplayError
from fastdata.events.decoder import Decoder, Event
from fastdata.events.schema import Schema

__all__ = ["fold"]

# What a mistake in a map function, or in a measure of the user's own, raises.
_BUGS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# By window, dimensions, and partition of a tip.
_StatesByWindow = dict[tuple[int, tuple[Dimension, ...], int | None], States]


@dataclass(slots=True)
class _Span:
    """What is folded of one span.

    Attributes:
        metrics: Those that want the span, each with its states.
        seen: The ids of its events.
    """

    metrics: list[tuple[Metric, _StatesByWindow]]
    events: int = 0
    duplicates: int = 0
    seen: set[str | int] = field(default_factory=set)


@without_collector()
def fold(metrics: Sequence[Metric], job: Job) -> JobResult:
    """The exact totals of a job's spans.

    A pure function: of events with one id the first in the order of the pieces counts.

    Args:
        metrics: Of one source; the job means them by their index.

    Raises:
        ReplayError: A span has not the number of events that the manifest says, or a metric
            cannot fold an event.
        MapError: The source's map function raised, or a value is not of its declared type.
    """
    spans = {
        start: _Span([(metrics[index], {}) for index in job.wanted[start]]) for start in job.spans
    }
    decode = Decoder(metrics[0].source, NoRegistry()).decode_datum
    for piece, records in _in_order(job.pieces):
        schema, tip = Schema.parse(piece.schema), piece.partition if piece.is_open else None
        for offset, datum in records:
            try:
                event = decode(schema, datum)
            except BadEventError as error:
                # In no hour of the manifest, or noticed by its count, unless it has a time.
                if error.time is not None and (span := _span_of(spans, error.time)) is not None:
                    span.events += 1
                continue
            # An object may hold other hours as well, which nobody wants of this job.
            if (span := _span_of(spans, event.time)) is not None:
                try:
                    _add(span, event, tip)
                except _BUGS as error:
                    raise _bug(metrics[0], offset, error) from error
    check_counts(job, {start: span.events for start, span in spans.items()})
    result = JobResult()
    for start, span in spans.items():
        if span.duplicates:
            result.duplicates[start] = span.duplicates
        for index, (metric, states) in zip(job.wanted[start], span.metrics, strict=True):
            result.add(index, metric, [start], _taken(metric, states))
    return result


def _span_of(spans: Mapping[int, _Span], time: int) -> _Span | None:
    return spans.get(time - time % HOUR_MS)


def _add(span: _Span, event: Event, tip: int | None) -> None:
    """Fold one event into all metrics that want its span, unless its id has come before.

    Args:
        tip: Its partition, if its segment is open.
    """
    span.events += 1
    identity = event.id
    if identity is not None:
        if identity in span.seen:
            span.duplicates += 1
            return
        span.seen.add(identity)
    fields = event.fields
    if fields is None:  # The map function leaves it out.
        return
    for metric, states_by_window in span.metrics:
        window = event.time - event.time % metric.window_ms
        try:
            keys = metric.rows(fields, event.time)
        except BadEventError:
            continue  # A key of it is too long for this metric.
        for dims, rows in keys:
            key = (window, dims, tip)
            states = states_by_window.get(key)
            if states is None:
                states = states_by_window[key] = metric.zero(exact=True)
            for values in rows:
                metric.add_values(states, values)


def _taken(metric: Metric, states_by_window: _StatesByWindow) -> Iterator[FoldedWindows]:
    """What was folded, one window after the other; each is let go, as all take much memory."""
    texts = {dims: dump_dims(dims) for _, dims, _ in states_by_window}
    while states_by_window:
        (window, dims, tip), states = states_by_window.popitem()
        text = texts[dims] if tip is None else tip_dims(texts[dims], tip)
        live = [states] if metric.rollups else []
        yield FoldedWindows([window], [text], [metric.dump(states)], live)


def _in_order(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Sequence[tuple[int, bytes]]]]:
    """By partition and offset: objects of one segment, one for each schema, may interleave."""
    for _, segment in groupby(pieces, key=lambda piece: (piece.partition, piece.segment)):
        first, *others = segment
        if not others:
            yield first, first.records
            continue
        tagged = (
            [(offset, number, datum) for offset, datum in piece.records]
            for number, piece in enumerate((first, *others))
        )
        for offset, number, datum in heapq.merge(*tagged):
            yield (first, *others)[number], ((offset, datum),)


def _bug(metric: Metric, offset: int, error: Exception) -> ReplayError:
    return ReplayError(
        f"the event at offset {offset} of {metric.source.topic!r} cannot be folded: "
        f"{type(error).__name__}: {error}; see the map function of source "
        f"{metric.source.name!r} ({metric.source.place})"
    )
