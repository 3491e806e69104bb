"""Rolling up: kept hours are merged into days, days into all longer windows, and shown to readers.

A window is merged when readers see other versions of its hours than it was made of. Its days are
merged from kept hours, and kept themselves; all else is merged from days. So an event that comes
late costs its hour, the hours of its day, and the days of the windows that hold that day.

Nothing of it has to be done in time, or at once: until a window is ready, or when it is not any
more, readers merge the totals of its hours.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.days import Days
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.errors import CorruptStateError, SpanConflictError
from fastdata.failpoints import reach
from fastdata.measures.presented import dump_estimates
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Head, ServingStore, Total
from fastdata.store.rollups import (
    DAY,
    Kept,
    Marks,
    cost_of,
    is_large,
    kept_of,
    rollup_id,
    span_of_window,
)

__all__ = ["count_stale", "roll_up"]

_LONGEST_MONTH = 31
# Whose heads move in one transaction.
_WINDOWS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class _Window:
    """A window that is not ready.

    Attributes:
        kept: What is kept of it.
        id: Under which that lies in the serving store.
        mark: What makes it ready, as the version of its totals.
        head: Its own; None when it never was ready.
    """

    kept: Kept
    id: str
    start: int
    end: int
    mark: int
    head: Head | None

    @property
    def span(self) -> int:
        return span_of_window(self.end)

    @property
    def name(self) -> tuple[str, int]:
        """The window, whatever is kept of it."""
        return str(self.kept.grain), self.end


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
    on_progress: Callable[[int, int], None] | None = None,
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
        on_progress: Told how many windows there are to look at, then that one more was.

    Returns:
        How many windows were made ready, and how many are left to readers to merge, as states of
        their hours are not kept, their totals are too large, or the store is ahead of this archive.

    Raises:
        ArchiveUnavailableError: The archive's store did not answer for some seconds.
        CorruptStateError: A kept state does not verify.
        StoreUnavailableError: The serving store did not answer for some seconds.
        CommitUnknownError: The same, and the last write may have been done.
    """
    heads, stale = await _look(metric, start, end, store)
    hours = range(start, end if again else start, HOUR_MS)
    days = Days(metric, storage, contents, heads, again=hours)
    publisher = _Publisher(store, pace)
    left: set[tuple[str, int]] = set()
    tell = on_progress or (lambda _windows, _total: None)
    tell(0, len(stale))
    for window in stale:
        tell(1, 0)
        if await _undo(window, store):
            publisher.ready.append(window)
            continue
        totals = await _totals(metric, window, days)
        if totals is None:
            left.add(window.name)
            continue
        reach("batch.before_rollup")
        await publisher.add(window, totals)
    await publisher.flush()
    await days.sweep()
    for id in dict.fromkeys(window.id for window in publisher.ready):
        spans = [window.span for window in publisher.ready if window.id == id]
        await patiently(store.clean_up, id, min(spans), max(spans) + 1)
    return len({window.name for window in publisher.ready}), len(left)


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
    return len({window.name for window in (await _look(metric, start, end, store, moving))[1]})


async def _look(
    metric: Metric, start: int, end: int, store: ServingStore, moving: Collection[int] = ()
) -> tuple[Mapping[int, Head], list[_Window]]:
    """The heads of all hours that windows of the range may have, and the windows that are stale.

    Those are not made of the versions that readers see; they are in order of their ends.
    """
    rolling = max(grain.rolling for grain in metric.rollups)
    margin = (max(_LONGEST_MONTH, rolling) + 2) * DAY_MS
    heads = await patiently(store.heads, metric.id, start - margin, end + margin)
    # No run has this number.
    heads |= {hour: Head(hour, -1, Coverage()) for hour in moving}
    marks = Marks(heads)
    newest = max(heads, default=start)
    stale: list[_Window] = []
    for kept in kept_of(metric.rollups):
        # Rolling days are of no use without all of their days.
        wider = (rolling - 1) * DAY_MS if kept.grain == DAY else 0
        windows = _windows(metric, kept.grain, start - wider, end + wider, newest)
        marked = [(window, mark) for window in windows if (mark := marks.of(*window)) is not None]
        if not marked:
            continue
        id = rollup_id(metric.id, kept.grain, metric.calendar.zone, kept.is_small)
        first, last = (span_of_window(window[1]) for window, _ in (marked[0], marked[-1]))
        ready = await patiently(store.heads, id, first, last + 1)
        for window, mark in marked:
            head = ready.get(span_of_window(window[1]))
            if head is None or head.version != mark:
                stale.append(_Window(kept, id, *window, mark, head))
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


async def _totals(metric: Metric, window: _Window, days: Days) -> list[Total] | None:
    """What a store shows of a window.

    None when the states of a day are not there, or a total would be too large for a store.
    """
    start, end, kept = window.start, window.end, window.kept
    if kept.is_small:
        rows = await days.rows(start, end)
        if rows is None:
            return None
        return [Total(*row) for row in rows if not is_large(cost_of(row[2]))]
    large_of = kept.grain.rolling if kept.grain.unit == "day" else None
    merged = await days.merged(start, end, large_of=large_of)
    if merged is None:
        return None

    def dumped() -> list[Total] | None:
        states = ((dims, merged[dims]) for dims in sorted(merged))
        if kept.grain.rolling == 1:
            try:
                return [Total(start, dims, metric.dump(of_dims)) for dims, of_dims in states]
            except CorruptStateError:
                return None  # Too large, as sessions of a long window, which are never estimates.
        return [Total(start, dims, dump_estimates(metric.estimate(s))) for dims, s in states]

    return await asyncio.to_thread(dumped)


async def _undo(window: _Window, store: ServingStore) -> bool:
    """Go back to the totals before, if they are those that readers need again."""
    head = window.head
    if head is None or head.previous is None or head.previous[0] != window.mark:
        return False
    return await patiently(store.undo, window.id, window.span)


class _Publisher:
    """Writes totals of windows and shows them to readers, some windows at once.

    Args:
        pace: Waited for before totals are written.

    Attributes:
        ready: The windows that readers see.
    """

    def __init__(self, store: ServingStore, pace: Pace | None) -> None:
        self._store = store
        self._pace = pace
        self._written: list[tuple[_Window, Flip]] = []
        self.ready: list[_Window] = []

    async def add(self, window: _Window, totals: Sequence[Total]) -> None:
        """Write the totals of a window; nothing, if somebody else has just published the same."""
        head, rows = window.head, 0
        if totals:
            spans = {window.span: totals}
            try:
                written = await patiently(
                    self._store.write_totals, window.id, window.mark, spans, self._pace
                )
            except SpanConflictError:
                return
            rows = written[window.span]
        expected = (head.version, head.coverage) if head else None
        flip = Flip(window.span, expected, window.mark, Coverage(), rows)
        self._written.append((window, flip))
        if len(self._written) >= _WINDOWS_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        """Show what is written: small states of days, their others, and what is merged of them."""
        kinds = dict.fromkeys(window.kept for window, _ in self._written)
        for kept in sorted(kinds, key=lambda kept: (not kept.is_small, kept.grain != DAY)):
            await self._publish([pair for pair in self._written if pair[0].kept == kept])
        self._written.clear()

    async def _publish(self, written: Sequence[tuple[_Window, Flip]]) -> None:
        id = written[0][0].id
        try:
            await patiently(self._store.publish, id, [flip for _, flip in written])
        except SpanConflictError:
            # Somebody else has just done the same with some of them.
            if len(written) > 1:
                for pair in written:
                    await self._publish([pair])
        else:
            self.ready += [window for window, _ in written]
