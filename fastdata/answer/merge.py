"""One answer of both layers: a reading of the store, merged into rows. Pure.

    answer(window) = totals of the head's version + partials of the segments it does not count

The reading holds exactly these, so the states of a row are merged whatever layer they are of.
What the rest of a reading is for is honesty: `is_exact` and the bounds.

A row is exact when it certainly counts every event that either layer has read and that belongs
to it, once. Neither knows what it has not read; `fresh_until` says how far the speed layer has
come. So each of these makes a row inexact:

* An hour that the row touches has no head. Batch has never looked at it, and nobody can tell
  what the speed layer missed of it.
* A partial is in the row. It may count a repeated event that only batch can tell (its first
  copy can lie further back than a worker remembers), and its distinct counts are sketches.
* Late or future events of an hour that the row touches were counted but not folded, in a segment
  that the hour's head does not cover.
* An unhealed gap may hold events of the row.
* The row ends after `fresh_until`: its events are still under way. Without a worker nobody knows
  what the open segment of the archive holds, so nothing is exact.
* A measure is a sketch, even over totals.

The bounds hold for the same events: what was not folded, or lies in an unhealed gap, widens every
row that it could belong to by as many events. They know nothing of repeats that a worker did not
notice. Combinations of (window, dimensions) of which nothing is stored have no row, although an
event that was not folded may belong to one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from fastdata.answer.buckets import Buckets
from fastdata.answer.rows import Layer, Ready, cells_of
from fastdata.coordinates.dimensions import Dimension, dump_dims, load_dims
from fastdata.coordinates.instants import HOUR_MS, floor_to
from fastdata.coordinates.segments import segment_start
from fastdata.declare.metric import Metric, States
from fastdata.declare.unfolded import unfolded_of
from fastdata.measures.estimates import Estimate
from fastdata.store import rules
from fastdata.store.protocol import Gap, Head, Partial, Reading, Survey

__all__ = [
    "Buckets",
    "Folded",
    "Layer",
    "Ready",
    "Row",
    "fold",
    "fresh_until",
    "held_range",
    "merge",
    "unfolded_events",
]

_INCOMPLETE = ("late", "future")
_NO_TIME = -(1 << 61)  # a watermark before it is of a partition that had no event yet


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an answer.

    Attributes:
        start: ms UTC; `[start, end)` is what the row is about.
        dims: Values of the dimensions that were asked for.
        estimates: One per measure; the bounds hold whatever was not folded.
        is_exact: As defined above.
        has_gap: Whether an unhealed gap may hold events of the row.
        layer: Whose states it is made of: totals are of batch, partials of the speed layer.
    """

    start: int
    end: int
    dims: tuple[Dimension, ...]
    estimates: tuple[Estimate, ...]
    is_exact: bool
    has_gap: bool
    layer: Layer


@dataclass(frozen=True, slots=True)
class Folded:
    """What a row is made of.

    Attributes:
        states: Merged ones of all measures.
        is_complete: Whether nothing is open about the bucket, but for partials.
        layer: Whose states are in them.
        missing_events: How many may belong to the row and are not in it.
    """

    start: int
    end: int
    dims: tuple[Dimension, ...]
    states: States
    is_complete: bool
    has_gap: bool
    layer: Layer
    missing_events: int


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What is open about every row of a bucket."""

    is_complete: bool
    has_gap: bool
    missing_events: int


def merge(
    metric: Metric,
    reading: Reading,
    buckets: Buckets,
    by: Sequence[str] = (),
    ready: Ready | None = None,
) -> Iterator[Row]:
    """The rows of an answer, ordered by start and dimensions, nulls first.

    Args:
        metric: Whose states they are.
        reading: Of this metric, over at least the hours that `buckets` touch.
        buckets: The intervals to answer.
        by: Some of the metric's dimensions; the others are merged. Only what is stored by the
            smallest grouping set that has these is read.
        ready: As of `fold`.

    Raises:
        QueryError: No grouping set has all of these.
        CorruptStateError: A stored state does not verify.
    """
    for row in fold(metric, reading, buckets, by, ready):
        folded = metric.estimate(row.states, row.missing_events)
        estimates = metric.answers(folded, row.end - row.start)
        is_certain = row.is_complete and row.layer == "batch"
        yield Row(
            start=row.start,
            end=row.end,
            dims=row.dims,
            estimates=estimates,
            is_exact=is_certain and all(e.is_exact for e in estimates),
            has_gap=row.has_gap,
            layer=row.layer,
        )


def fold(
    metric: Metric,
    reading: Reading,
    buckets: Buckets,
    by: Sequence[str] = (),
    ready: Ready | None = None,
) -> Iterator[Folded]:
    """What the rows of `merge` are made of, in the same order.

    Args:
        metric: As of `merge`.
        reading: As of `merge`.
        buckets: As of `merge`.
        by: As of `merge`.
        ready: By intervals, each one of `buckets.rows()`, and by stored dimensions as text: what
            the totals of the whole interval merge to, of the very versions that the reading's
            heads point to. They take the place of the reading's totals there, which may then be
            missing from it, and of nothing else: heads and partials count as ever. An interval
            without any total is there too, and empty. States of smaller intervals that no two
            rows share, or of whole days where rows are rolling ones, need no place here: they can
            stand in the reading as one total at the start of each.

    Raises:
        QueryError: As `merge`.
        CorruptStateError: A stored state does not verify.
    """
    doubts = _Doubts(metric, reading)
    texts = _Texts(metric, by)
    cells = cells_of(metric, reading, buckets, texts, ready or {})
    dims = {text: load_dims(text) for text in set(texts.values()) if text is not None}
    ranks = {text: rank for rank, text in enumerate(sorted(dims, key=lambda t: _order(dims[t])))}
    for cell in cells.rows(ranks):
        doubt = doubts.about(cell.start, cell.end)
        yield Folded(
            start=cell.start,
            end=cell.end,
            dims=dims[cell.text],
            states=cell.states,
            is_complete=doubt.is_complete,
            has_gap=doubt.has_gap,
            layer=cell.layer,
            missing_events=doubt.missing_events,
        )


def fresh_until(reading: Reading | Survey) -> int | None:
    """How far the speed layer has come, ms UTC: the smallest of the partitions' watermarks.

    None when no event was folded of a partition that batch or the speed layer knows.
    """
    watermarks = {p.partition: p.watermark for p in reading.progress}
    counted = {
        partition
        for head in reading.heads.values()
        for partition, segments in head.coverage.segments.items()
        if segments
    }
    least = min(watermarks.values(), default=_NO_TIME)
    return None if least <= _NO_TIME or counted - watermarks.keys() else least


def held_range(metric: Metric, reading: Reading) -> tuple[int, int] | None:
    """The hours `[start, end)` that the reading knows something of; None when it is empty."""
    spans = set(reading.heads)
    spans.update(floor_to(p.window, metric.span_ms) for p in reading.partials)
    return (min(spans), max(spans) + metric.span_ms) if spans else None


def unfolded_events(metric: Metric, unfolded: Iterable[Partial]) -> dict[int, int]:
    """Per hour, how many events the speed layer did not fold though they may belong to it.

    Raises:
        CorruptStateError: A stored state does not verify.
    """
    system = unfolded_of(metric.source)
    count = system.aggregates[0]
    hours: dict[int, int] = {}
    for partial in unfolded:
        (reason,) = load_dims(partial.dims)
        if reason in _INCOMPLETE:
            events = count.present(system.load(partial.state)[0]).value
            number = events if isinstance(events, int) else 0
            hours[partial.window] = hours.get(partial.window, 0) + number
    return hours


class _Doubts:
    """What a reading leaves open, by interval."""

    def __init__(self, metric: Metric, reading: Reading) -> None:
        self._segment_size = metric.source.segment_size
        self._heads = [reading.heads[span] for span in sorted(reading.heads)]
        self._spans = sorted(reading.heads)
        self._fresh_until = fresh_until(reading)
        unfolded = unfolded_events(metric, reading.unfolded)
        self._hours = sorted(unfolded)
        self._sums = [0, *accumulate(unfolded[hour] for hour in self._hours)]
        self._gaps = reading.gaps
        self._known: dict[tuple[int, int], _Doubt] = {}

    def about(self, start: int, end: int) -> _Doubt:
        """The doubt about `[start, end)`."""
        doubt = self._known.get((start, end))
        if doubt is None:
            doubt = self._known[start, end] = self._judge(start, end)
        return doubt

    def _judge(self, start: int, end: int) -> _Doubt:
        skipped = sum(self._skipped(gap, start, end) for gap in self._gaps)
        unfolded = self._unfolded(start, end)
        is_fresh = self._fresh_until is not None and end <= self._fresh_until
        # What was left out of the hour that dead letters share is not in a reading.
        is_known = end <= rules.LETTERS or start == rules.first_timed(start)
        has_heads = self._heads_of(start, end) is not None
        is_complete = has_heads and is_fresh and is_known and not skipped and not unfolded
        return _Doubt(is_complete, skipped > 0, skipped + unfolded)

    def _unfolded(self, start: int, end: int) -> int:
        first = bisect_left(self._hours, floor_to(start, HOUR_MS))
        return self._sums[bisect_left(self._hours, end)] - self._sums[first]

    def _skipped(self, gap: Gap, start: int, end: int) -> int:
        """How many events of `[start, end)` the gap may hold that batch has not counted."""
        first, last = max(start, gap.earliest), min(end, gap.latest)
        if first >= last:
            return 0
        heads = self._heads_of(first, last)
        counted = min((h.coverage.get(gap.partition) for h in heads), default=0) if heads else 0
        return max(0, gap.end - max(gap.start, segment_start(counted, self._segment_size)))

    def _heads_of(self, start: int, end: int) -> Sequence[Head] | None:
        """The heads of all spans that `[start, end)` touches; None when one has no head."""
        first = floor_to(start, HOUR_MS)
        heads = self._heads[bisect_left(self._spans, first) : bisect_left(self._spans, end)]
        return heads if len(heads) == -((first - end) // HOUR_MS) else None


class _Texts(dict[str, str | None]):
    """Chosen dimensions by all of them, None of what is of a grouping set that is not read.

    They are text, since in Python True and 1 are one value.
    """

    def __init__(self, metric: Metric, by: Sequence[str]) -> None:
        self._metric = metric
        self._set = metric.set_for(by)
        self._chosen = [metric.sets[self._set].index(name) for name in by]

    def __missing__(self, text: str) -> str | None:
        own, values = self._metric.read_dims(text)
        chosen = [values[index] for index in self._chosen] if own == self._set else None
        self[text] = found = None if chosen is None else dump_dims(chosen)
        return found


def _order(dims: Sequence[Dimension]) -> list[tuple[bool, bool, Dimension]]:
    # A map function can put numbers and text into one field; they do not compare.
    return [(value is not None, isinstance(value, str), value) for value in dims]
