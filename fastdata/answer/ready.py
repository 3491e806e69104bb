"""Reading with the windows that batch keeps ready, in place of the totals of their hours.

The heads of the hours are read first. A ready window is of use when its mark is theirs: then it is
made of exactly the versions that they show. The reading is made without the totals of hours that
only such windows need; if a head of one has moved in between, all of it is done again.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastdata.answer.buckets import Buckets
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.reading import read_spans
from fastdata.answer.request import QueryRequest
from fastdata.answer.rows import ReadyRows
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to
from fastdata.declare.metric import Metric
from fastdata.measures.presented import NO_ESTIMATES
from fastdata.store.protocol import Head, Reading, ServingStore
from fastdata.store.rollups import (
    DAY,
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
    """What the totals of windows of one grain merge to, by stored dimensions.

    Attributes:
        states: By window, whole as in the calendar; of rolling days, estimates.
        days: Of rolling days: by start of a day, the states of its totals.
    """

    grain: Grain
    states: Mapping[_CalendarWindow, _ByDims]
    days: Mapping[int, _ByDims]

    def of_rows(self, metric: Metric, buckets: Buckets) -> ReadyRows:
        """The same by the intervals of rows, which may be cut where nothing is stored."""
        rows = list(buckets.rows())
        # The ends of rows find their windows: of rolling days, a window is found by its last day.
        windows = metric.calendar.windows(self.grain, rows[0][1] - 1, rows[-1][1])
        pairs = zip(rows, windows, strict=True)
        states = {row: self.states[window] for row, window in pairs if window in self.states}
        return ReadyRows(states, self.days)


async def read_ready(
    metric: Metric,
    request: QueryRequest,
    chosen: ChosenDims,
    store: ServingStore,
    takes_estimates: bool,
) -> tuple[Reading, ReadyWindows | None]:
    """What an answer is made of: a reading, and windows whose totals it may be without.

    Args:
        chosen: The dimensions that are asked for.
        takes_estimates: Whether estimates may be all that there is of such a window.

    Raises:
        QueryError: The windows leave the years 1 to 9999.
        StoreUnavailableError: The store did not answer; retriable.
    """
    grain = request.every
    if isinstance(grain, Grain) and _is_rolled_up(metric, grain, request, chosen):
        answer = await _ReadyReading(metric, request, grain, chosen, store, takes_estimates).read()
        if answer is not None:
            return answer
    return await read_spans(metric, request, chosen, store), None


def _is_rolled_up(metric: Metric, grain: Grain, request: QueryRequest, chosen: ChosenDims) -> bool:
    if grain not in metric.rollups or request.calendar.zone != metric.calendar.zone:
        return False
    # Ready states that have to be merged with each other may be less exact than those of minutes.
    return chosen.is_one_to_one or (chosen.is_overall and _has_overall(metric))


def _has_overall(metric: Metric) -> bool:
    return has_overall(metric.by, metric.selection.sets)


@dataclass(frozen=True, slots=True)
class _ReadyReading:
    """How an answer is read with windows that are ready.

    Attributes:
        chosen: The dimensions that are asked for.
        takes_estimates: Whether estimates may be all that there is of rolling days.
    """

    metric: Metric
    request: QueryRequest
    grain: Grain
    chosen: ChosenDims
    store: ServingStore
    takes_estimates: bool

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
            days = await self._small_days(windows, heads)
            if days is not None:
                ready = {w: s for w, s in ready.items() if days.has_all_of(w)}
            if not ready:
                return None
            # Tips are not in ready states: they are read with the totals of their hours.
            with_tips = [(h, h + HOUR_MS) for h in hours if heads[h].coverage.has_tips]
            others = _touched(sorted([*with_tips, *(w for w in windows if w not in ready)]))
            reading = await read_spans(self.metric, self.request, self.chosen, self.store, others)
            if not has_later_rows and any(p.window >= windows[-1][1] for p in reading.partials):
                has_later_rows = True
            elif _is_unmoved(ready, heads, reading, start, end):
                if days is None:
                    return reading, ReadyWindows(self.grain, ready, {})
                return await self._with_days(reading, ready, days, windows)
        return None

    async def _with_days(
        self,
        reading: Reading,
        ready: Mapping[_CalendarWindow, _ByDims],
        days: "_ReadyDays",
        windows: Sequence[_CalendarWindow],
    ) -> tuple[Reading, ReadyWindows] | None:
        """The reading with the states of days, of which rolling days are merged.

        That is of days whose totals are not read by the hour; None when large states are missing.

        Args:
            ready: The estimates of windows that are ready.
            days: Small states.
            windows: All.
        """
        takes = self.takes_estimates
        unknown = {w for w in ready if not takes or NO_ESTIMATES in ready[w].values()}
        ready = {window: {} if window in unknown else ready[window] for window in ready}
        tips = [head.span for head in reading.heads.values() if head.coverage.has_tips]
        fresh = sorted([*tips, *(partial.window for partial in reading.partials)])
        # Estimates cannot be merged: what fresh events come to is merged from days, large or small.
        if any(window in unknown or _has_any(fresh, window) for window in ready):
            days = days.with_large(await self._ready_days(days.windows, days.heads))
            if not all(map(days.has_all_of, ready)):
                return None
        others = [window for window in windows if window not in ready]
        return reading, ReadyWindows(self.grain, ready, days.outside(others))

    async def _small_days(
        self, windows: Sequence[_CalendarWindow], heads: Mapping[int, Head]
    ) -> "_ReadyDays | None":
        """The small states of all days of rolling windows; None when windows do not roll."""
        if self.grain.rolling == 1 or not windows:
            return None
        limits = windows[0][0], windows[-1][1]
        days = list(self.metric.calendar.windows(DAY, *limits))
        return _ReadyDays(
            days, heads, _ready_only(await self._marked(DAY, days, heads, is_small=True))
        )

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
        if not windows:
            return {}
        if self.grain == DAY:
            ready = await self._ready_days(windows, heads)
        else:
            ready = _ready_only(await self._marked(self.grain, windows, heads))
        return {
            window: states
            for window, states in ready.items()
            if await self._is_whole(window, heads)
        }

    async def _ready_days(
        self, days: Sequence[_CalendarWindow], heads: Mapping[int, Head]
    ) -> dict[_CalendarWindow, _ByDims]:
        """The states of the days that are ready, large and small."""
        large = _ready_only(await self._marked(DAY, days, heads))
        small = await self._marked(DAY, days, heads, is_small=True)
        # Where nothing is known of small ones, all are in one place.
        both = {day: (states, small.get(day, {})) for day, states in large.items()}
        return {day: {**rest, **few} for day, (rest, few) in both.items() if few is not None}

    async def _marked(
        self,
        grain: Grain,
        windows: Sequence[_CalendarWindow],
        heads: Mapping[int, Head],
        is_small: bool = False,
    ) -> dict[_CalendarWindow, _ByDims | None]:
        """What is kept of windows of a grain; None of those made of other heads than these."""
        id = rollup_id(self.metric.id, grain, self.metric.calendar.zone, is_small)
        first, last = span_of_window(windows[0][1]), span_of_window(windows[-1][1])
        # No other dimensions begin like those of all events.
        is_overall = self.chosen.is_overall and _has_overall(self.metric)
        dims = [OVERALL] if is_overall else self.chosen.begins(is_bounded=True)
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
            is_wanted = is_overall or not _has_overall(self.metric) or total.dims != OVERALL
            if is_wanted and total.window in states:
                states[total.window][total.dims] = total.state
        return {
            window: states.get(window[0])
            for window in windows
            if span_of_window(window[1]) in reading.heads
        }

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


class _ReadyDays:
    """The days of rolling windows.

    Args:
        windows: Those of all days, in order.
        heads: Of the metric's hours.
        states: What is kept of the days that are ready.

    Attributes:
        windows: Those of all days.
        heads: Of the metric's hours.
    """

    def __init__(
        self,
        windows: Sequence[_CalendarWindow],
        heads: Mapping[int, Head],
        states: Mapping[_CalendarWindow, _ByDims],
    ) -> None:
        self.windows = windows
        self.heads = heads
        self._states = states
        hours = sorted(heads)
        # A day without any head has no totals.
        self._missing = [
            start
            for start, end in windows
            if (start, end) not in states and _has_any(hours, (floor_to(start, HOUR_MS), end))
        ]

    def has_all_of(self, window: _CalendarWindow) -> bool:
        """Whether all days of a rolling window are ready that have totals."""
        return not _has_any(self._missing, window)

    def with_large(self, states: Mapping[_CalendarWindow, _ByDims]) -> "_ReadyDays":
        """The days of which all states are ready, large and small."""
        return _ReadyDays(self.windows, self.heads, states)

    def outside(self, windows: Sequence[_CalendarWindow]) -> dict[int, _ByDims]:
        """By start, the days that none of these windows holds."""
        held = _touched(windows)
        return {
            start: states
            for (start, end), states in self._states.items()
            if not any(first <= start and end <= last for first, last in held)
        }


def _ready_only(
    kept: Mapping[_CalendarWindow, _ByDims | None],
) -> dict[_CalendarWindow, _ByDims]:
    return {window: states for window, states in kept.items() if states is not None}


def _has_any(times: Sequence[int], window: _CalendarWindow) -> bool:
    """Whether one of these times, in order, lies in the hours that a window touches."""
    at = bisect_left(times, floor_to(window[0], HOUR_MS))
    return at < len(times) and times[at] < window[1]


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
