"""Reading with the windows that batch keeps ready, in place of the totals of their hours.

The heads of the hours are read first. A ready window is of use when its mark is theirs: then it is
made of exactly the versions that they show. The reading is made without the totals of hours that
only such windows need; if a head of one has moved in between, all of it is done again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastdata.answer.buckets import Buckets
from fastdata.answer.request import QueryRequest
from fastdata.answer.rows import ReadyRows
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.protocol import Head, Reading, ServingStore
from fastdata.store.rollups import (
    OVERALL,
    Marks,
    has_overall,
    rollup_id,
    span_of_window,
    touched_hours,
)

__all__ = ["ReadyWindows", "read_ready"]

_TRIES = 3
_LONGEST_MS = 32 * DAY_MS  # more than the longest window that a range can cut, a month
_MOST_LATER = 48  # hours whose totals may be read to see that a range cuts none of them off
_CalendarWindow = tuple[int, int]
_ByDims = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ReadyWindows:
    """What the totals of windows of one grain merge to.

    Attributes:
        states: By window, whole as in the calendar, and by stored dimensions.
    """

    grain: Grain
    states: Mapping[_CalendarWindow, _ByDims]

    def of_rows(self, metric: Metric, buckets: Buckets) -> ReadyRows:
        """The states by the intervals of rows, which may be cut where nothing is stored."""
        rows = list(buckets.rows())
        # The ends of rows find their windows: of rolling days, a window is found by its last day.
        windows = metric.calendar.windows(self.grain, rows[0][1] - 1, rows[-1][1])
        pairs = zip(rows, windows, strict=True)
        return {row: self.states[window] for row, window in pairs if window in self.states}


async def read_ready(
    metric: Metric,
    request: QueryRequest,
    by: Sequence[str],
    store: ServingStore,
    takes_ready: bool,
) -> tuple[Reading, ReadyWindows | None]:
    """What an answer is made of: a reading, and windows whose totals it may be without.

    Args:
        by: The dimensions that are asked for.
        takes_ready: Whether there may be such windows.

    Raises:
        QueryError: The windows leave the years 1 to 9999, or no grouping set has the dimensions.
        StoreUnavailableError: The store did not answer; retriable.
    """
    grain = request.every
    if takes_ready and isinstance(grain, Grain) and _is_rolled_up(metric, grain, request, by):
        answer = await _ReadyReading(metric, request, grain, by, store).read()
        if answer is not None:
            return answer
    return await _read_hours(metric, request, by, store), None


async def _read_hours(
    metric: Metric,
    request: QueryRequest,
    by: Sequence[str],
    store: ServingStore,
    totals: Sequence[tuple[int, int]] | None = None,
) -> Reading:
    """Read by the hour: of all hours, or only the totals of these intervals, in order and apart."""
    ids = metric.id, unfolded_of(metric.source).id, metric.source.topic
    limits = request.read_range(metric.span_ms)
    return await store.read(*ids, *limits, totals=totals, dims=metric.dims_prefix(by))


def _is_rolled_up(metric: Metric, grain: Grain, request: QueryRequest, by: Sequence[str]) -> bool:
    if grain not in metric.rollups or request.calendar.zone != metric.calendar.zone:
        return False
    # Ready states that have to be merged with each other may be less exact than those of minutes.
    is_kept = set(by) == set(metric.sets[metric.set_for(by)])
    return is_kept or (not by and _has_overall(metric))


def _has_overall(metric: Metric) -> bool:
    return has_overall(metric.by, metric.selection.sets)


@dataclass(frozen=True, slots=True)
class _ReadyReading:
    """How an answer is read with windows that are ready.

    Attributes:
        by: The dimensions that are asked for.
    """

    metric: Metric
    request: QueryRequest
    grain: Grain
    by: Sequence[str]
    store: ServingStore

    async def read(self) -> tuple[Reading, ReadyWindows] | None:
        """The reading and the ready windows beside it; None when there are none of use."""
        start, end = self.request.read_range(self.metric.span_ms)
        # The windows of rolling days that end after the last hour with a head have totals, too: of
        # the days that they reach back to. With an end, they are asked for. Without one, the
        # answer goes on to the last partial: only the reading tells whether that is as late.
        has_later_rows = self.request.end is not None or self.grain.rolling == 1
        for _ in range(_TRIES):
            # The first and the last window may go beyond what is asked for.
            limits = start - _LONGEST_MS, end + _LONGEST_MS
            heads = await self.store.heads(self.metric.id, *limits)
            hours = [hour for hour in heads if start <= hour < end]
            windows = self._windows(hours, has_later_rows)
            ready = await self._ready(windows, heads)
            if not ready:
                return None
            # Tips are not in ready states: they are read with the totals of their hours.
            with_tips = [(h, h + HOUR_MS) for h in hours if heads[h].coverage.has_tips]
            others = _touched(sorted([*with_tips, *(w for w in windows if w not in ready)]))
            reading = await _read_hours(self.metric, self.request, self.by, self.store, others)
            if not has_later_rows and any(p.window >= windows[-1][1] for p in reading.partials):
                has_later_rows = True
            elif _is_unmoved(ready, heads, reading, start, end):
                return reading, ReadyWindows(self.grain, ready)
        return None

    def _windows(self, hours: Sequence[int], has_later_rows: bool) -> list[_CalendarWindow]:
        """The windows of all rows that the totals of some hours belong to."""
        if not hours:
            return []
        first, last = hours[0], hours[-1] + HOUR_MS
        if self.request.start is not None:
            first = max(first, self.request.start)
        if self.grain.rolling > 1 and has_later_rows:
            # Rolling days end at most so many days after one of theirs; one more, for long days.
            last += (self.grain.rolling + 1) * DAY_MS
        if self.request.end is not None:
            last = min(last, self.request.end)
        return list(self.metric.calendar.windows(self.grain, first, last)) if first < last else []

    async def _ready(
        self, windows: Sequence[_CalendarWindow], heads: Mapping[int, Head]
    ) -> dict[_CalendarWindow, _ByDims]:
        """The states of the windows that can stand for all totals of their rows."""
        marked = await self._marked(windows, heads) if windows else {}
        return {
            window: states
            for window, states in marked.items()
            if await self._is_whole(window, heads)
        }

    async def _marked(
        self, windows: Sequence[_CalendarWindow], heads: Mapping[int, Head]
    ) -> dict[_CalendarWindow, _ByDims]:
        """The states of the windows that are made of what these heads show."""
        id = rollup_id(self.metric.id, self.grain, self.metric.calendar.zone)
        first, last = span_of_window(windows[0][1]), span_of_window(windows[-1][1])
        dims = self.metric.dims_prefix(self.by)
        # Of ready windows there are neither unfolded events nor gaps: any id stands for theirs.
        reading = await self.store.read(id, id, id, first, last + 1, dims=dims)
        marks = Marks(heads)
        states: dict[int, dict[str, bytes]] = {}  # by start of the window, as totals have it
        for window in windows:
            head = reading.heads.get(span_of_window(window[1]))
            # The version of a ready window is the mark of what it was made of.
            if head is not None and head.version == marks.of(*window):
                states[window[0]] = {}
        for total in reading.totals:
            # A total of all events is kept beside those that it is made of: take one or the others.
            is_wanted = not _has_overall(self.metric) or (total.dims == OVERALL) == (not self.by)
            if is_wanted and total.window in states:
                states[total.window][total.dims] = total.state
        return {window: states[window[0]] for window in windows if window[0] in states}

    async def _is_whole(self, window: _CalendarWindow, heads: Mapping[int, Head]) -> bool:
        """Whether the row of a window has all of its totals, though it may be cut.

        A ready state cannot be cut, so nothing may be stored of what the request cuts off.
        """
        start, end = window
        request = self.request
        # Rolling days are not cut at their beginning.
        first = start if request.start is None or self.grain.rolling > 1 else request.start
        if start < first and any(hour in heads for hour in touched_hours(start, first)):
            return False
        if request.end is None or end <= request.end:
            return True
        # Asked up to now, today is cut, though nothing is later: its heads go on to midnight. So
        # the hours that are cut off are read, if they are few, to see that they have no total.
        later = [hour for hour in touched_hours(request.end, end) if hour in heads]
        if not later or len(later) > _MOST_LATER:
            return not later
        # Only totals are looked at, so any id stands for those of unfolded events and of gaps.
        id, last = self.metric.id, later[-1] + HOUR_MS
        reading = await self.store.read(id, id, id, later[0], last)
        is_same = all(reading.heads.get(hour) == heads[hour] for hour in later)
        return is_same and all(total.window < request.end for total in reading.totals)


def _is_unmoved(
    ready: Iterable[_CalendarWindow],
    heads: Mapping[int, Head],
    reading: Reading,
    start: int,
    end: int,
) -> bool:
    """Whether a reading shows the versions that ready windows are made of.

    Heads that moved outside of ready windows do no harm: the reading has totals of its own heads.
    An hour with a new head may be of a window that nobody knew, so its totals are missing.

    Args:
        heads: What the windows were compared with; also of hours beyond the reading.
        start: Of the reading, ms UTC.
        end: Exclusive.
    """
    beyond = {hour: head for hour, head in heads.items() if not start <= hour < end}
    before, after = Marks(heads), Marks(beyond | reading.heads)
    is_same = all(before.of(*window) == after.of(*window) for window in ready)
    return is_same and reading.heads.keys() <= heads.keys()


def _touched(windows: Iterable[_CalendarWindow]) -> list[tuple[int, int]]:
    """The hours that windows touch, as intervals in order and apart."""
    joined: list[tuple[int, int]] = []
    for start, end in windows:
        first = touched_hours(start, end)[0]
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((first, end))
    return joined
