"""Rolling up: kept hours are merged into days, days into all longer windows, and shown to readers.

A window is merged when readers see other versions of its hours than it was made of. Its days are
merged from kept hours, and kept themselves; all else is merged from days. So an event that comes
late costs its hour, the hours of its day, and the days of the windows that hold that day.

Nothing of it has to be done in time, or at once: until a window is ready, or when it is not any
more, readers merge the totals of its hours.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.days import Days
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric, States
from fastdata.errors import SpanConflictError
from fastdata.failpoints import reach
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Head, ServingStore, Total
from fastdata.store.rollups import OVERALL, Marks, has_overall, rollup_id, span_of_window

__all__ = ["count_stale", "roll_up"]

_LONGEST_MONTH = 31


@dataclass(frozen=True, slots=True)
class _Window:
    """A window that is not ready.

    Attributes:
        id: Under which the ready windows of its grain lie in the serving store.
        mark: What makes it ready, as the version of its totals.
        head: Its own; None when it never was ready.
    """

    id: str
    start: int
    end: int
    mark: int
    head: Head | None

    @property
    def span(self) -> int:
        return span_of_window(self.end)


async def roll_up(
    metric: Metric,
    start: int,
    end: int,
    *,
    store: ServingStore,
    storage: ArchiveStorage,
    contents: Contents,
    again: bool = False,
    pace: Pace | None = None,
) -> tuple[int, int]:
    """Make all windows of a metric's grains ready that hold an hour of `[start, end)`.

    Idempotent, and of no harm to others that do the same.

    Args:
        start: ms UTC.
        end: ms UTC, exclusive.
        storage: The archive's.
        contents: Of the archive; windows with hours that are ahead of it are left.
        again: Merge the days of the range also where they are kept.
        pace: Waited for before totals are written.

    Returns:
        How many windows were made ready, and how many are left to readers to merge, as states of
        their hours are not kept, or the store is ahead of this archive.

    Raises:
        ArchiveUnavailableError: The archive's store did not answer for some seconds.
        CorruptStateError: A kept state does not verify.
        StoreUnavailableError: The serving store did not answer for some seconds.
        CommitUnknownError: The same, and the last write may have been done.
    """
    heads, stale = await _look(metric, start, end, store)
    hours = range(start, end if again else start, HOUR_MS)
    days = Days(metric, storage, contents, heads, again=hours)
    ready: list[_Window] = []
    left = 0
    for window in stale:
        if await _undo(window, store):
            ready.append(window)
            continue
        merged = await days.merged(window.start, window.end)
        if merged is None:
            left += 1
            continue
        reach("batch.before_rollup")
        totals = await asyncio.to_thread(_totals, metric, window.start, merged)
        del merged  # Before the next one is here.
        if await _publish(window, totals, store, pace):
            ready.append(window)
    await days.sweep()
    await _clean_up(ready, store)
    return len(ready), left


async def count_stale(
    metric: Metric, start: int, end: int, store: ServingStore, moving: Collection[int]
) -> int:
    """How many windows `roll_up` would look at.

    Args:
        start: ms UTC.
        end: ms UTC, exclusive.
        moving: Hours that will get another version before.

    Raises:
        StoreUnavailableError: The store did not answer for some seconds.
    """
    return len((await _look(metric, start, end, store, moving))[1])


async def _look(
    metric: Metric, start: int, end: int, store: ServingStore, moving: Collection[int] = ()
) -> tuple[Mapping[int, Head], list[_Window]]:
    """The heads of all hours that windows of the range may have, and the windows that are stale.

    Those are not made of the versions that readers see; they are in order of their ends.
    """
    longest = max(_LONGEST_MONTH, *(grain.rolling for grain in metric.rollups))
    margin = (longest + 2) * DAY_MS
    heads = await patiently(store.heads, metric.id, start - margin, end + margin)
    # No run has this number.
    heads |= {hour: Head(hour, -1, Coverage()) for hour in moving}
    marks = Marks(heads)
    newest = max(heads, default=start)
    stale: list[_Window] = []
    for grain in metric.rollups:
        marked = [
            (window, mark)
            for window in _windows(metric, grain, start, end, newest)
            if (mark := marks.of(*window)) is not None
        ]
        if not marked:
            continue
        id = rollup_id(metric.id, grain, metric.calendar.zone)
        first, last = (span_of_window(window[1]) for window, _ in (marked[0], marked[-1]))
        ready = await patiently(store.heads, id, first, last + 1)
        for window, mark in marked:
            head = ready.get(span_of_window(window[1]))
            if head is None or head.version != mark:
                stale.append(_Window(id, *window, mark, head))
    return heads, sorted(stale, key=lambda window: (window.end, -window.start))


def _windows(
    metric: Metric, grain: Grain, start: int, end: int, newest: int
) -> Iterator[tuple[int, int]]:
    """All windows that hold an hour of the range; of rolling days, whose last one has begun.

    Args:
        newest: The last hour that has a head.
    """
    calendar = metric.calendar
    if grain.rolling == 1:
        yield from calendar.windows(grain, start, end)
        return
    for window in calendar.windows(grain, start, end + grain.rolling * DAY_MS):
        last_day = calendar.day_of(window[1] - 1)
        if window[0] < end and floor_to(last_day, HOUR_MS) <= newest:
            yield window


def _totals(metric: Metric, start: int, merged: dict[str, States]) -> list[Total]:
    """What a store shows of a window; the states are used up."""
    totals = [Total(start, dims, metric.dump(merged[dims])) for dims in sorted(merged)]
    if merged and has_overall(metric.by, metric.selection.sets):
        states, *others = merged.values()
        for other in others:
            metric.merge(states, other)
        totals.append(Total(start, OVERALL, metric.dump(states)))
    return totals


async def _undo(window: _Window, store: ServingStore) -> bool:
    """Go back to the totals before, if they are those that readers need again."""
    head = window.head
    if head is None or head.previous is None or head.previous[0] != window.mark:
        return False
    return await patiently(store.undo, window.id, window.span)


async def _publish(
    window: _Window, totals: Sequence[Total], store: ServingStore, pace: Pace | None
) -> bool:
    """Whether readers see these totals; not if somebody else has just done the same."""
    head = window.head
    with suppress(SpanConflictError):
        spans = {window.span: totals}
        written = await patiently(store.write_totals, window.id, window.mark, spans, pace)
        expected = (head.version, head.coverage) if head else None
        flip = Flip(window.span, expected, window.mark, Coverage(), written[window.span])
        await patiently(store.publish, window.id, [flip])
        return True
    return False


async def _clean_up(ready: Sequence[_Window], store: ServingStore) -> None:
    for id in dict.fromkeys(window.id for window in ready):
        spans = [window.span for window in ready if window.id == id]
        await patiently(store.clean_up, id, min(spans), max(spans) + 1)
