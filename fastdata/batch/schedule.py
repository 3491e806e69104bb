"""Replays again and again: at the multiples of an interval, over a window that ends now."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import Engine
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.batch.replay import Replayer, Request, open_pace
from fastdata.batch.reports import ReplayReport
from fastdata.coordinates.instants import (
    DAY_MS,
    HOUR_MS,
    ceil_to,
    floor_to,
    now_ms,
    parse_duration,
    to_datetime,
    to_iso,
)
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.errors import FastdataError, SpanConflictError
from fastdata.store.protocol import ServingStore

__all__ = ["ScheduledReplay", "ScheduledRun", "Uncounted", "replay_every"]

_FIRST_PAUSE_MS = 30_000
_LONGEST_PAUSE_MS = 600_000
# The clock may be set, and a machine may sleep.
_LONGEST_SLEEP_S = 60.0


@dataclass(frozen=True, slots=True)
class Uncounted:
    """What a scheduled replay leaves uncounted, for it is older than its window.

    Attributes:
        hours: How many there are.
        events: In segments that their heads do not count, repeats included.
        start: Of the first of them, ms UTC.
        end: Of the last one, ms UTC, exclusive.
    """

    metric: str
    hours: int
    events: int
    start: int
    end: int

    @property
    def command(self) -> str:
        """The command that counts them."""
        start, end = (f"{to_datetime(time):%Y-%m-%dT%H:%M}" for time in (self.start, self.end))
        return f"fastdata replay --metric {self.metric} --from {start} --to {end}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "metric"}
        return values | {"command": self.command}


class UncountedHours:
    """The uncounted hours of one metric, looked for where something is new.

    Only hours that were uncounted before, or have events in segments that were not looked at
    before, are compared with their heads; so the first look reads all heads, and later ones few.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._uncounted: set[int] = set()
        self._looked_at = Coverage()

    async def count(self, store: ServingStore, contents: Contents, before: int) -> Uncounted | None:
        """What is uncounted now; None when nothing is.

        Args:
            contents: Of the archive, up to which all hours from `before` on must be counted.
            before: ms UTC, aligned to the hour.

        Raises:
            StoreUnavailableError: The store did not answer; the same may be asked again.
        """
        looked_at, now, size = self._looked_at, contents.coverage, contents.segment_size
        suspects = [
            start
            for start, hour in contents.hours.items()
            if start < before and (start in self._uncounted or hour.is_new(looked_at, now, size))
        ]
        uncounted: dict[int, int] = {}
        for hours in _stretches(suspects):
            edges = hours[0], hours[-1] + HOUR_MS
            heads = await patiently(store.heads, self._metric.id, *edges)
            for hour in hours:
                counted = heads[hour].coverage if hour in heads else Coverage()
                if events := contents.uncounted_events(hour, counted):
                    uncounted[hour] = events
        self._uncounted, self._looked_at = set(uncounted), contents.coverage
        if not uncounted:
            return None
        edges = min(uncounted), max(uncounted) + HOUR_MS
        return Uncounted(self._metric.name, len(uncounted), sum(uncounted.values()), *edges)


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """One run of a schedule.

    Attributes:
        started: ms UTC of the machine's clock.
        window_start: ms UTC; hours before it are left alone.
        report: What it did; None when it failed.
        resumed: What it finished first, of a run that was interrupted; None when there was none.
        uncounted: What it left uncounted of each metric, for it is older than the window.
        error: Why it failed.
        next: When the next run starts, ms UTC.
        is_overrun: Whether it ended after the next run was due.
    """

    started: int
    window_start: int
    report: ReplayReport | None = None
    resumed: ReplayReport | None = None
    uncounted: tuple[Uncounted, ...] = ()
    error: FastdataError | None = None
    next: int = 0
    is_overrun: bool = False

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "started": to_iso(self.started, "seconds"),
            "window_start": to_iso(self.window_start, "seconds"),
            "error": str(self.error) if self.error else None,
            "next": to_iso(self.next, "seconds"),
            "overrun": self.is_overrun,
            "replay": self.report.as_dict() if self.report else None,
            "resumed": self.resumed.as_dict() if self.resumed else None,
            "older": {hours.metric: hours.as_dict() for hours in self.uncounted},
        }


class ScheduledReplay:
    """The replays of one schedule, and what is known from one to the next.

    Not for concurrent use. In another process it begins anew: only the first run looks at all
    that is archived.

    Args:
        metrics: Of any sources.
        replayer: What does the replays.
        window_ms: How far back from now hours are counted again.
    """

    def __init__(self, metrics: Sequence[Metric], replayer: Replayer, window_ms: int) -> None:
        self._metrics = metrics
        self._replayer = replayer
        self._window_ms = window_ms
        self._uncounted = {metric.id: UncountedHours(metric) for metric in metrics}

    def window_start(self, now: int) -> int:
        """Of a run that starts now; ms UTC, at an hour."""
        return floor_to(now - self._window_ms, HOUR_MS)

    async def run(self, store: ServingStore, now: int, due: int | None = None) -> ScheduledRun:
        """Make the hours of the window exact, and tell what is uncounted before it.

        An unfinished run is finished first, unless it reaches back to more than another window
        before this one: that one is somebody's own.

        Args:
            store: Open.
            now: ms UTC.
            due: When the next run is due, ms UTC.

        Raises:
            FastdataError: One of those that `replay` raises.
        """
        start = self.window_start(now)
        request = Request(start, dense_until=ceil_to(now, DAY_MS), next=due)
        unfinished = [m for m in self._metrics if await self._is_unfinished(store, m, start)]
        resumed = None
        if unfinished:
            resuming = replace(request, start=None, resume=True)
            resumed = await self._replayer.run(unfinished, resuming, store)
        report = await self._replayer.run(self._metrics, request, store)
        uncounted = []
        for metric in self._metrics:
            contents = self._replayer.contents[metric.source]
            if hours := await self._uncounted[metric.id].count(store, contents, start):
                uncounted.append(hours)
        return ScheduledRun(now, start, report, resumed, tuple(uncounted))

    async def _is_unfinished(self, store: ServingStore, metric: Metric, start: int) -> bool:
        run = await patiently(store.last_run, metric.id)
        return run is not None and not run.is_done and run.start >= start - self._window_ms


async def replay_every(
    every: str | timedelta,
    metrics: Sequence[Metric],
    *,
    open_store: Callable[[], AbstractAsyncContextManager[ServingStore]],
    archive: ArchiveStorage,
    window: str | timedelta = "30d",
    workers: int | None = None,
    complete: bool = False,
    max_writes_per_s: float | None = None,
    engine: Engine | None = None,
    on_run: Callable[[ScheduledRun], None] | None = None,
    clock: Callable[[], int] = now_ms,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Replay at once, and then at the multiples of an interval until the task is cancelled.

    The multiples are of Unix time by the machine's clock: "4h" is 00:00, 04:00, 08:00 and so on,
    UTC. A run that ends after the next was due is followed by one at once. A run that fails
    because the store or the archive is away, or because others move the same hours, is tried
    again: after 30 s, each time twice as long, ten minutes at most, and at the next multiple.

    Cancelled, it ends between two writes, with nothing half, like `replay`; the next schedule
    finishes the run.

    Args:
        every: The interval, such as "4h".
        metrics: Of any sources.
        open_store: Gives the store, not yet entered; called for each run.
        window: How far back hours are counted again; earlier ones are told of and left alone.
        workers: Processes; 0 computes in this one, None decides by the work and the machine.
        complete: Whether these are all metrics of their sources; see `replay`.
        max_writes_per_s: Totals written a second at most; None for no limit.
        engine: `rows` or `columns`; None takes the columnar one wherever it can.
        on_run: Called after each run.
        clock: ms UTC.
        sleep: Called with seconds.

    Raises:
        ValueError: The interval or the window is not a duration above 0.
        FastdataError: What trying again does not heal: an archive with a hole, a map function
            that raises, a declaration that does not fit the archive.
    """
    every_ms, window_ms = parse_duration(every), parse_duration(window)
    if not every_ms or not window_ms:
        raise ValueError("the interval and the window of a schedule must be above 0")
    pace = open_pace(max_writes_per_s)
    replayer = Replayer(
        archive, workers=workers, complete=complete, pace=pace, engine=engine, clock=clock
    )
    schedule = ScheduledReplay(metrics, replayer, window_ms)
    failures = 0
    while True:
        started = clock()
        try:
            async with open_store() as store:
                run = await schedule.run(store, started, _due(started, every_ms))
        except FastdataError as error:
            if not error.retriable and not isinstance(error, SpanConflictError):
                raise
            run = ScheduledRun(started, schedule.window_start(started), error=error)
        failures = failures + 1 if run.error else 0
        run = _planned(run, every_ms, failures, clock())
        if on_run is not None:
            on_run(run)
        while (left_ms := run.next - clock()) > 0:
            await sleep(min(left_ms / 1_000, _LONGEST_SLEEP_S))


def _planned(run: ScheduledRun, every_ms: int, failures: int, now: int) -> ScheduledRun:
    """The run with the time of the next one."""
    due = _due(run.started, every_ms)
    is_overrun = now >= due
    soonest = now
    if failures:
        soonest += min(_FIRST_PAUSE_MS << min(failures - 1, 10), _LONGEST_PAUSE_MS)
    at = soonest if is_overrun else min(due, soonest) if failures else due
    return replace(run, next=at, is_overrun=is_overrun)


def _due(started: int, every_ms: int) -> int:
    return floor_to(started, every_ms) + every_ms


def _stretches(hours: Iterable[int]) -> list[list[int]]:
    """The hours in order, apart where a day between them has none."""
    stretches: list[list[int]] = []
    for hour in sorted(hours):
        if not stretches or hour - stretches[-1][-1] > DAY_MS:
            stretches.append([])
        stretches[-1].append(hour)
    return stretches
