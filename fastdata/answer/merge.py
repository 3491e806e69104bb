"""One answer of both layers: a reading of the store, merged into rows. Pure.

    answer(window) = totals of the head's version + partials of the segments it does not count

Of a segment that is still open the version has tips, which newer partials take the place of
(`tips`). What stands is merged whatever layer it is of (`rows`). What the rest of a reading is for
is honesty: `is_exact` and the bounds (`Doubts`).

**What makes a row exact.** A row is exact when it certainly counts every event that either layer
has read and that belongs to it, once. Neither knows what it has not read; `read_until` says how far
the speed layer has come in the log: each event of the row that was written before is in it.
`fresh_until` says how far in event time. So each of these makes a row inexact:

* An hour that the row touches has no head. Batch has never looked at it, and nobody can tell
  what the speed layer missed of it.
* A partial is in the row. It may count a repeated event that only batch can tell (its first
  copy can lie further back than a worker remembers), and its distinct counts are sketches.
* Late or future events of an hour that the row touches were left out by the speed layer, and the
  hour's version has not read as far.
* An unhealed gap may hold events of the row.
* The row ends after `fresh_until`: its events are still under way. Without a worker nobody knows
  what the log holds beyond the archive, so nothing is exact.
* A measure is a sketch, even over totals.

**What a query does with a gap.** A gap says which offsets of a partition the speed layer skipped,
and nothing of the times of their events. So every row may miss all of them: it has `has_gap`, is
not exact, and its bounds are wider by one event for each offset. Batch heals a gap from its start:
an offset counts no more for a row when the heads of all its hours have read it, in a closed segment
or in a tip that stands. When the whole gap is read the row forgets it, though it stays in the
store. An hour without a head heals nothing.

**What the bounds hold.** The same events: what was not folded, or lies in an unhealed gap, widens
every row that it could belong to by as many events. They know nothing of repeats that a worker did
not notice. Combinations of (window, dimensions) of which nothing is stored have no row, although an
event that was not folded may belong to one.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate, chain
from operator import attrgetter
from typing import NamedTuple

from fastdata.answer.buckets import Buckets
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.rows import Layer, ReadyRows, RowKey, group_reading
from fastdata.answer.tips import settle
from fastdata.coordinates.dimensions import Dimension, load_dims
from fastdata.coordinates.epochs import epoch_start
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, ceil_to, floor_to
from fastdata.declare.metric import Metric, States
from fastdata.declare.unfolded import counted_in, unfolded_of
from fastdata.measures.estimates import Estimate
from fastdata.store import rules
from fastdata.store.protocol import Gap, Head, Partial, Reading, Survey

__all__ = [
    "Buckets",
    "Doubt",
    "Doubts",
    "Layer",
    "MergedRow",
    "ReadyRows",
    "Row",
    "dims_order",
    "fresh_until",
    "held_range",
    "merge",
    "read_until",
    "stretches_of",
]

_A_YEAR_MS = 366 * DAY_MS
# Of what the speed layer left out, these reasons are of events that belong to an answer. Repeats
# do not, and dead letters cannot be read.
_MISSING = ("late", "future")
_NO_TIME = -(1 << 61)  # a moment before it is of a partition of which none is known yet


class Row(NamedTuple):
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
class Doubt:
    """What is open about every row of an interval, whatever its dimensions.

    Attributes:
        is_complete: Whether nothing is open. A row without partials and sketches is then exact.
        has_gap: Whether an unhealed gap may hold events of the interval.
        missing_events: How many events may belong to the interval and are not in it.
    """

    is_complete: bool
    has_gap: bool
    missing_events: int


class MergedRow(NamedTuple):
    """A row before its measures are estimated.

    Attributes:
        start: ms UTC; `[start, end)` is what the row is about.
        dims: Values of the dimensions that were asked for.
        states: Of all measures; none where only estimates are stored.
        layer: Whose states were merged.
        estimates: Those that are stored, one for each of the metric's aggregates.
    """

    start: int
    end: int
    dims: tuple[Dimension, ...]
    states: States
    layer: Layer
    doubt: Doubt
    estimates: tuple[Estimate, ...] | None = None

    def estimated(self, metric: Metric) -> Row:
        """The row with the estimates of all measures of its metric."""
        missing = self.doubt.missing_events
        if self.estimates is None:
            folded = metric.estimate(self.states, missing)
        else:
            folded = metric.widened(self.estimates, missing)
        return self.row(metric.answers(folded, self.end - self.start))

    def row(self, estimates: tuple[Estimate, ...]) -> Row:
        """The row with these estimates."""
        is_certain = self.doubt.is_complete and self.layer == "batch"
        return Row(
            start=self.start,
            end=self.end,
            dims=self.dims,
            estimates=estimates,
            is_exact=is_certain and all(estimate.is_exact for estimate in estimates),
            has_gap=self.doubt.has_gap,
            layer=self.layer,
        )


def merge(
    metric: Metric,
    doubts: "Doubts",
    buckets: Buckets,
    chosen: ChosenDims | None = None,
    ready: ReadyRows | None = None,
    only: Set[RowKey] | None = None,
) -> Iterator[MergedRow]:
    """The rows of an answer, ordered by start and dimensions, nulls first.

    Args:
        metric: Whose states they are.
        doubts: About a reading over at least the hours that `buckets` touch.
        buckets: The intervals to answer.
        chosen: The dimensions of the rows; the others are merged. None merges all of them.
        ready: By stored dimensions, what the totals of rows and days merge to, of the very versions
            that the reading's heads point to. It takes the place of the reading's totals there,
            which may then be missing from it, and of nothing else: heads and partials count as
            ever.
        only: The rows that are wanted, which are not of rolling days; None for all.

    Raises:
        CorruptStateError: A stored state does not verify.
    """
    chosen = ChosenDims(metric) if chosen is None else chosen
    grouped = group_reading(metric, doubts.settled, buckets, chosen, ready or ReadyRows())
    # Grouping has looked up every stored text, so all that rows can have are chosen now.
    values = {dims: load_dims(dims) for dims in set(chosen.values()) if dims is not None}
    ordered = sorted(values, key=lambda dims: dims_order(values[dims]))
    ranks = {dims: rank for rank, dims in enumerate(ordered)}
    for start, end, dims, merged, layer in grouped.rows(ranks, only):
        states, estimates = ([], merged) if isinstance(merged, tuple) else (merged, None)
        doubt = doubts.about(start, end)
        yield MergedRow(start, end, values[dims], states, layer, doubt, estimates)


def fresh_until(reading: Reading | Survey) -> int | None:
    """How far the speed layer has come in event time, ms UTC: the least of all partitions.

    None when no event was folded of a partition that batch or the speed layer knows.
    """
    return _least(reading, {p.partition: p.fresh_until for p in rules.living(reading.progress)})


def read_until(reading: Reading | Survey) -> int | None:
    """Up to when the log is read, by its own time, ms UTC: what was written before is folded.

    Of all partitions the one that is least far. What batch has read beyond is not in it, as it
    stores offsets and no times; so an exact row may know more, and never less. None when it is not
    known of a partition that batch or the speed layer knows.
    """
    return _least(reading, {p.partition: p.read_until for p in rules.living(reading.progress)})


def _least(reading: Reading | Survey, moments: Mapping[int, int]) -> int | None:
    living = epoch_start(min(moments, default=0))
    # A thousand heads of one run have one coverage.
    coverages = {id(head.coverage): head.coverage for head in reading.heads.values()}
    counted = {
        partition
        for coverage in coverages.values()
        for partition in (*coverage.segments, *coverage.until)
        if partition >= living
    }
    least = of_all_partitions(moments)
    return None if least <= _NO_TIME or counted - moments.keys() else least


def of_all_partitions(moments: Mapping[int, int]) -> int:
    """Up to when every partition is read: that of the one that is least far."""
    return min(moments.values(), default=_NO_TIME)


def held_range(metric: Metric, reading: Reading, with_left_out: bool) -> tuple[int, int] | None:
    """The hours `[start, end)` of which anything was read, ms UTC; None when nothing was.

    Args:
        with_left_out: Whether hours count, too, of which only events are known that the speed layer
            left out. Dead letters and repeats have none, and nothing counts that is later than a
            year after all else: such times are mistakes, and a range would reach to the year 9999.
    """
    spans = set(reading.heads)
    windows = set(map(attrgetter("window"), reading.partials))
    spans.update(floor_to(window, metric.span_ms) for window in windows)
    if with_left_out:
        moments = [*spans, *(report.updated for report in reading.progress)]
        latest = max(moments, default=_NO_TIME) + _A_YEAR_MS
        left_out = (partial.window for partial in _missing(reading.unfolded))
        spans.update(hour for hour in left_out if hour <= latest)
    return (min(spans), max(spans) + metric.span_ms) if spans else None


def _missing(unfolded: Iterable[Partial]) -> Iterator[Partial]:
    """Of what the speed layer left out, the counts of events that belong to an answer."""
    return (partial for partial in unfolded if load_dims(partial.dims)[0] in _MISSING)


def _unfolded_events(metric: Metric, unfolded: Iterable[Partial]) -> Counter[int]:
    """Per hour, how many events the speed layer did not fold though they may belong to it."""
    system, hours = unfolded_of(metric.source), Counter[int]()
    for partial in _missing(unfolded):
        hours[partial.window] += counted_in(system, partial.state)
    return hours


class Doubts:
    """Says what a reading leaves open about an interval.

    It is asked about each row, of which there may be a million: what is looked up by time is
    sorted, and rows that touch the same hours share their doubt.

    Args:
        metric: Whose states they are.
        reading: Of this metric.

    Attributes:
        settled: What of the reading counts.
        fresh_until: How far the speed layer has come; see `fresh_until`.
        read_until: Up to when the log is read; see `read_until`.
        topic: Of the metric's source.
        counted_hours: The starts of those that batch has counted, ms UTC, in order.
        unfolded: How many events of the reading it did not fold though they may belong to it.

    Raises:
        CorruptStateError: A stored state does not verify.
    """

    def __init__(self, metric: Metric, reading: Reading) -> None:
        self.topic = metric.source.topic
        self._segment_size = metric.source.segment_size
        self.counted_hours = sorted(reading.heads)
        self._heads = [reading.heads[span] for span in self.counted_hours]
        self.settled = settle(reading)
        self.fresh_until = fresh_until(reading)
        self.read_until = read_until(reading)
        hidden = self.settled.hidden
        unfolded = _unfolded_events(metric, self.settled.unfolded) + Counter(hidden)
        self._hours = sorted(unfolded)
        # Of the events of the hours before each; so two of these tell how many lie between.
        self._sums = [0, *accumulate(unfolded[hour] for hour in self._hours)]
        self.unfolded = self._sums[-1]
        self._gaps = reading.gaps
        self._doubts: dict[tuple[int, int, bool], Doubt] = {}

    def about(self, start: int, end: int) -> Doubt:
        """The doubt about `[start, end)`, ms UTC."""
        # All else is known by the hour only.
        is_fresh = self.fresh_until is not None and end <= self.fresh_until
        hours = floor_to(start, HOUR_MS), ceil_to(end, HOUR_MS), is_fresh
        doubt = self._doubts.get(hours)
        if doubt is None:
            doubt = self._doubts[hours] = self._judge(*hours)
        return doubt

    def replayed(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches of `[start, end)` whose hours batch has counted, in order, ms UTC."""
        return stretches_of(self.counted_hours, start, end)

    def may_lack(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches of `[start, end)` whose rows have a gap, in order, ms UTC."""
        if not self._gaps:
            return []
        healed = [
            span
            for span in self.counted_hours
            if not any(self._skipped(gap, span, span + HOUR_MS) for gap in self._gaps)
        ]
        moments = [start, *chain.from_iterable(stretches_of(healed, start, end)), end]
        pairs = zip(moments[::2], moments[1::2], strict=True)
        return [(first, after) for first, after in pairs if first < after]

    def _judge(self, start: int, end: int, is_fresh: bool) -> Doubt:
        """The rules above, but for partials and sketches, which only a row has."""
        has_heads = self._heads_of(start, end) is not None
        skipped = sum(self._skipped(gap, start, end) for gap in self._gaps)
        unfolded = self._unfolded(start, end)
        # What was left out of the hour that dead letters share is not in a reading.
        is_unread = rules.touches_dead_letters(start, end)
        is_complete = has_heads and is_fresh and not (is_unread or skipped or unfolded)
        return Doubt(is_complete, skipped > 0, skipped + unfolded)

    def _unfolded(self, start: int, end: int) -> int:
        """How many late or future events lie in the hours that `[start, end)` touches.

        A reading has only those that the hours' heads do not cover. They are counted by the hour,
        so a row of a part of one may miss them all.
        """
        first = bisect_left(self._hours, floor_to(start, HOUR_MS))
        return self._sums[bisect_left(self._hours, end)] - self._sums[first]

    def _skipped(self, gap: Gap, start: int, end: int) -> int:
        """How many events of `[start, end)` the gap may hold that batch has not counted."""
        # Its events may be of any time. An offset is counted for sure when all hours count it; one
        # without a head counts none.
        heads = self._heads_of(start, end)
        counted = min((self._counted_end(head, gap.partition) for head in heads or ()), default=0)
        return max(0, gap.end - max(gap.start, counted))

    def _counted_end(self, head: Head, partition: int) -> int:
        coverage = head.coverage.closed() if head.span in self.settled.hidden else head.coverage
        return coverage.end(partition, self._segment_size)

    def _heads_of(self, start: int, end: int) -> Sequence[Head] | None:
        """The heads of all hours that `[start, end)` touches; None when one has no head."""
        first = floor_to(start, HOUR_MS)
        hours = self.counted_hours
        heads = self._heads[bisect_left(hours, first) : bisect_left(hours, end)]
        return heads if len(heads) == -((first - end) // HOUR_MS) else None  # rounded up


def stretches_of(hours: Iterable[int], start: int, end: int) -> list[tuple[int, int]]:
    """What hours cover of `[start, end)`; adjacent ones are one stretch.

    Args:
        hours: Their starts, ms UTC, ascending.
    """
    stretches: list[tuple[int, int]] = []
    for hour in hours:
        first, after = max(hour, start), min(hour + HOUR_MS, end)
        if stretches and stretches[-1][1] == first:
            stretches[-1] = stretches[-1][0], after
        elif first < after:
            stretches.append((first, after))
    return stretches


def dims_order(dims: Sequence[Dimension]) -> list[tuple[bool, bool, Dimension]]:
    """What rows are sorted by, nulls first."""
    # A map function can put numbers and text into one field; they do not compare.
    return [(value is not None, isinstance(value, str), value) for value in dims]
