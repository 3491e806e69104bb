"""Ready windows against the recounted events of their hours.

The rows of an hour have been compared with its totals by plain means. They are folded once more,
into whole states of days, and of these the windows are merged: nothing that batch keeps is read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, to_datetime
from fastdata.declare.metric import Metric, States
from fastdata.store.protocol import Head, ServingStore, Total
from fastdata.store.rollups import (
    OVERALL,
    Marks,
    has_overall,
    rollup_id,
    span_of_window,
    touched_hours,
)
from fastdata.verify.compare import FAR, Comparison, could_be, counted_events
from fastdata.verify.hours import VerifiedHour, spaced
from fastdata.verify.reports import SketchMisses, VerifiedMetric

__all__ = ["WindowVerifier"]

_DAY = Grain("day")
_LONGEST_MONTH = 31
_Window = tuple[int, int]


@dataclass(slots=True)
class WindowVerifier:
    """Compares the ready windows of one metric whose hours are all verified.

    Hours are to come in order. It holds the whole states of as many days as its longest window has.

    Attributes:
        report: Gets how many windows were compared, or not, and the findings.
    """

    metric: Metric
    store: ServingStore
    report: VerifiedMetric
    _days: dict[int, dict[str, States]] = field(default_factory=dict)
    _versions: dict[int, int] = field(default_factory=dict)
    _first: int | None = None
    _next: dict[Grain, int] = field(default_factory=dict)

    def add(self, hour: VerifiedHour) -> None:
        """Take a verified hour."""
        metric, rows = self.metric, hour.rows
        if rows is None or not metric.rollups:
            return
        self._versions[hour.head.span] = hour.head.version
        if self._first is None:
            self._first = hour.head.span
        day_of: dict[int, int] = {}
        for (window, dims), of_window in rows.items():
            day = day_of.get(window)
            if day is None:
                day = day_of[window] = metric.calendar.day_of(window)
            by_dims = self._days.setdefault(day, {})
            states = by_dims.get(dims)
            if states is None:
                states = by_dims[dims] = metric.zero(exact=True)
            for row in of_window:
                metric.add_values(states, row.values)

    async def compare(self, until: int, *, is_last: bool = False) -> None:
        """Compare the windows that end at or before an instant, and forget what no other needs.

        Args:
            until: ms UTC; no earlier hour is to come any more.
            is_last: Whether no later one is, either: then windows that end later are compared, too.

        Raises:
            StoreError: The store failed.
        """
        if self._first is None:
            return
        for grain in self.metric.rollups:
            first = self._next.get(grain, self._first)
            windows = self.metric.calendar.windows(grain, first, until) if first < until else ()
            ended = [window for window in windows if is_last or window[1] <= until]
            if ended:
                self._next[grain] = ended[-1][1]
                await self._compare(grain, [w for w in ended if self._has_verified(w)])
        longest = max((_LONGEST_MONTH, *(grain.rolling for grain in self.metric.rollups)))
        oldest = until - (longest + 2) * DAY_MS
        self._days = {day: states for day, states in self._days.items() if day >= oldest}
        self._versions = {hour: v for hour, v in self._versions.items() if hour >= oldest}

    def _has_verified(self, window: _Window) -> bool:
        return any(hour in self._versions for hour in touched_hours(*window))

    async def _compare(self, grain: Grain, windows: list[_Window]) -> None:
        """Compare those that are made of the versions that were verified."""
        if not windows:
            return
        id = rollup_id(self.metric.id, grain, self.metric.calendar.zone)
        spans = span_of_window(windows[0][1]), span_of_window(windows[-1][1])
        ready = await self.store.heads(id, spans[0], spans[1] + 1)
        hours = touched_hours(min(start for start, _ in windows), windows[-1][1])
        heads = await self.store.heads(self.metric.id, hours.start, hours.stop)
        marks = Marks(heads)
        for window in windows:
            head = ready.get(span_of_window(window[1]))
            # One that is made of other versions is shown to nobody.
            if head is None or head.version != marks.of(*window):
                continue
            if not self._is_verified(window, heads):
                self.report.windows_left += 1
                continue
            self.report.windows += 1
            await self._compare_window(id, grain, window, head)

    def _is_verified(self, window: _Window, heads: Mapping[int, Head]) -> bool:
        return all(
            self._versions.get(hour) == heads[hour].version
            for hour in touched_hours(*window)
            if hour in heads
        )

    async def _compare_window(self, id: str, grain: Grain, window: _Window, head: Head) -> None:
        span = span_of_window(window[1])
        # Only totals are looked at, so any id stands for those of unfolded events and of gaps.
        reading = await self.store.read(id, id, id, span, span + 1)
        if reading.heads.get(span) != head:  # merged anew meanwhile
            self.report.windows -= 1
            self.report.windows_left += 1
            return
        expected = self._merged(window)
        stored = {spaced(total.dims): total for total in reading.totals}
        comparison = Comparison(self.metric, span, "batch", SketchMisses())
        for dims in sorted(stored.keys() | expected.keys()):
            place = f"{grain} {_shown(window[0])} to {_shown(window[1])} {dims}"
            _compare_ready(comparison, stored.get(dims), expected.get(dims), place)
        self.report.window_findings += comparison.findings

    def _merged(self, window: _Window) -> dict[str, States]:
        """What the events of a window make, by dimensions."""
        metric = self.metric
        merged: dict[str, States] = {}
        for dims, states in self._states_of(window):
            metric.merge(merged.setdefault(dims, metric.zero(exact=True)), states)
        if merged and has_overall(metric.by, metric.selection.sets):
            overall = metric.zero(exact=True)
            for states in merged.values():
                metric.merge(overall, states)
            merged[OVERALL] = overall
        return merged

    def _states_of(self, window: _Window) -> Iterator[tuple[str, States]]:
        for day, _ in self.metric.calendar.windows(_DAY, *window):
            yield from self._days.get(day, {}).items()


def _compare_ready(
    comparison: Comparison, total: Total | None, expected: States | None, place: str
) -> None:
    """Check one row of a ready window."""
    comparison.checked += 1
    if expected is None:
        detail = "nothing is to be counted"
        comparison.note(place, None, "a ready total", counted_events(0), detail)
        return
    if total is None:
        detail = "a ready total is gone"
        comparison.note(place, None, "no ready total", "the events of its hours", detail)
        return
    if (states := comparison.load(total.state, place)) is None:
        return
    metric = comparison.metric
    detail = "the ready window is not what the events of its hours make"
    for name, aggregate, state, right in zip(
        metric.folded, metric.aggregates, states, expected, strict=True
    ):
        answer, recounted = aggregate.present(state), aggregate.present(right)
        if not could_be(answer, recounted, FAR):
            comparison.note(place, name, answer.value, recounted.value, detail)


def _shown(time_ms: int) -> str:
    return f"{to_datetime(time_ms):%Y-%m-%dT%H:%M}Z"
