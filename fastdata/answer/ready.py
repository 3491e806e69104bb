"""Reading with the windows that batch keeps ready, in place of the totals of their hours.

The heads of the hours are read first. A ready window is of use when its mark is theirs: then it is
made of exactly the versions that they show. The reading is made without the totals of hours that
only such windows need; if a head of one has moved in between, all of it is done again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastdata.answer.buckets import Buckets
from fastdata.answer.request import Asked
from fastdata.answer.rows import Ready
from fastdata.coordinates.calendar import Calendar, Grain
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

_READINGS = 3
_LONGEST_MS = 32 * DAY_MS
_MOST_LATER = 48
_Interval = tuple[int, int]
_States = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class ReadyWindows:
    """What the totals of windows of one grain merge to.

    Attributes:
        states: By window, whole as in the calendar, and by dimensions.
    """

    grain: Grain
    states: Mapping[_Interval, _States]

    def of_rows(self, metric: Metric, buckets: Buckets) -> Ready:
        """The same by the intervals of rows, which are cut where no hour has a head."""
        rows = list(buckets.rows())
        # Rows of rolling days are told by their last day.
        windows = metric.calendar.windows(self.grain, rows[0][1] - 1, rows[-1][1])
        pairs = zip(rows, windows, strict=True)
        return {row: self.states[window] for row, window in pairs if window in self.states}


async def read_ready(
    metric: Metric, asked: Asked, by: Sequence[str], store: ServingStore
) -> tuple[Reading, ReadyWindows | None]:
    """What an answer is made of: a reading, and windows whose totals it may be without.

    Args:
        by: The dimensions that are asked for.

    Raises:
        QueryError: The windows leave the years 1 to 9999, or no grouping set has the dimensions.
        StoreUnavailableError: The store did not answer; retriable.
    """
    of = metric.id, unfolded_of(metric.source).id, metric.source.topic
    dims = metric.dims_prefix(by)
    start, end = asked.reading(metric.span_ms)
    grain = asked.every
    if not isinstance(grain, Grain) or not _is_rolled_up(metric, grain, asked, by):
        return await store.read(*of, start, end, dims=dims), None
    # Hours without heads may have rows of rolling days, that reach back to hours with heads.
    is_later = asked.end is not None or grain.rolling == 1
    for _ in range(_READINGS):
        # Windows may go beyond what is asked for.
        heads = await store.heads(metric.id, start - _LONGEST_MS, end + _LONGEST_MS)
        hours = [hour for hour in heads if start <= hour < end]
        windows = list(_windows(metric.calendar, grain, asked, hours, is_later))
        known = await _known(metric, grain, windows, heads, by, store)
        ready = {
            window: states
            for window, states in known.items()
            if await _is_whole(metric, window, grain, asked, heads, store)
        }
        if not ready:
            break
        others = _together(window for window in windows if window not in ready)
        reading = await store.read(*of, start, end, others, dims)
        if not is_later and any(p.window >= windows[-1][1] for p in reading.partials):
            is_later = True
            continue
        beyond = {hour: head for hour, head in heads.items() if not start <= hour < end}
        marks, now = Marks(heads), Marks(beyond | reading.heads)
        is_same = all(marks.of(*window) == now.of(*window) for window in ready)
        if is_same and reading.heads.keys() <= heads.keys():
            return reading, ReadyWindows(grain, ready)
    return await store.read(*of, start, end, dims=dims), None


def _is_rolled_up(metric: Metric, grain: Grain, asked: Asked, by: Sequence[str]) -> bool:
    if grain not in metric.rollups or asked.calendar.zone != metric.calendar.zone:
        return False
    # Ready states that have to be merged with each other may be less exact than those of minutes.
    is_kept = set(by) == set(metric.sets[metric.set_for(by)])
    return is_kept or (not by and _has_overall(metric))


def _has_overall(metric: Metric) -> bool:
    return has_overall(metric.by, metric.selection.sets)


def _windows(
    calendar: Calendar, grain: Grain, asked: Asked, hours: Sequence[int], is_later: bool
) -> Iterator[_Interval]:
    """The windows of all rows that the totals of some hours belong to."""
    if not hours:
        return
    first, last = hours[0], hours[-1] + HOUR_MS
    if asked.start is not None:
        first = max(first, asked.start)
    if grain.rolling > 1 and is_later:
        last += (grain.rolling + 1) * DAY_MS
    if asked.end is not None:
        last = min(last, asked.end)
    if first < last:
        yield from calendar.windows(grain, first, last)


async def _known(
    metric: Metric,
    grain: Grain,
    windows: Sequence[_Interval],
    heads: Mapping[int, Head],
    by: Sequence[str],
    store: ServingStore,
) -> dict[_Interval, _States]:
    """The states of the windows that are made of these heads."""
    if not windows:
        return {}
    id = rollup_id(metric.id, grain, metric.calendar.zone)
    first, last = span_of_window(windows[0][1]), span_of_window(windows[-1][1])
    reading = await store.read(id, id, id, first, last + 1, dims=metric.dims_prefix(by))
    marks = Marks(heads)
    states: dict[int, dict[str, bytes]] = {}
    for window in windows:
        head = reading.heads.get(span_of_window(window[1]))
        if head is not None and head.version == marks.of(*window):
            states[window[0]] = {}
    for total in reading.totals:
        is_wanted = not _has_overall(metric) or (total.dims == OVERALL) == (not by)
        if is_wanted and total.window in states:
            states[total.window][total.dims] = total.state
    return {window: states[window[0]] for window in windows if window[0] in states}


async def _is_whole(
    metric: Metric,
    window: _Interval,
    grain: Grain,
    asked: Asked,
    heads: Mapping[int, Head],
    store: ServingStore,
) -> bool:
    """Whether the row of a window has all of its totals, also if it is cut."""
    start, end = window
    first = start if asked.start is None or grain.rolling > 1 else asked.start
    if start < first and any(hour in heads for hour in touched_hours(start, first)):
        return False
    if asked.end is None or end <= asked.end:
        return True
    # Of today there are heads up to midnight, and totals up to now.
    later = [hour for hour in touched_hours(asked.end, end) if hour in heads]
    if not later or len(later) > _MOST_LATER:
        return not later
    found = await store.read(metric.id, metric.id, metric.id, later[0], later[-1] + HOUR_MS)
    is_same = all(found.heads.get(hour) == heads[hour] for hour in later)
    return is_same and all(total.window < asked.end for total in found.totals)


def _together(windows: Iterable[_Interval]) -> list[_Interval]:
    """The hours that windows touch, as intervals in order and apart."""
    joined: list[_Interval] = []
    for start, end in windows:
        first = touched_hours(start, end)[0]
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((first, end))
    return joined
