"""Ready windows against the recounted events of their hours.

The rows of an hour have been compared with its totals by plain means. They are folded once more,
into whole states of days, and of these the windows are merged: nothing that batch keeps is read.
A window has a row for all that its events make, but for rolling days, where readers merge of days
what is not there: a row must be there only if a day of it is not among the small ones.
"""

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from functools import cache

from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, to_iso
from fastdata.declare.metric import Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.presented import NO_ESTIMATES, load_estimates
from fastdata.store.protocol import Head, ServingStore
from fastdata.store.rollups import (
    DAY,
    OVERALL,
    Marks,
    has_overall,
    kept_of,
    rollup_id,
    span_of_window,
    touched_hours,
)
from fastdata.verify.compare import FAR, Comparison, could_be, counted_events
from fastdata.verify.hours import VerifiedHour, spaced
from fastdata.verify.reports import SketchMisses, VerifiedMetric

__all__ = ["WindowVerifier"]

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
    _large: dict[int, Set[str]] = field(default_factory=dict)
    _versions: dict[int, int] = field(default_factory=dict)
    _next: dict[Grain, int] = field(default_factory=dict)

    def add(self, hour: VerifiedHour) -> None:
        """Take a verified hour."""
        metric, rows = self.metric, hour.rows
        if rows is None or not metric.rollups:
            return
        self._versions[hour.head.span] = hour.head.version
        if not self._next:
            # Days come first: of rolling days it is looked at what is kept of them.
            grains = (kept.grain for kept in kept_of(metric.rollups))
            self._next = dict.fromkeys(grains, hour.head.span)
        day_of = cache(metric.calendar.day_of)
        for (window, dims), of_window in rows.items():
            by_dims = self._days.setdefault(day_of(window), {})
            if dims not in by_dims:
                by_dims[dims] = metric.zero(exact=True)
            for row in of_window:
                metric.add_values(by_dims[dims], row.values)

    async def compare(self, until: int, *, is_last: bool = False) -> None:
        """Compare the windows that end at or before an instant, and forget what no other needs.

        Args:
            until: ms UTC; no earlier hour is to come any more.
            is_last: Whether no later one is, either: then windows that end later are compared, too.

        Raises:
            StoreError: The store failed.
        """
        for grain, first in self._next.items():
            windows = self.metric.calendar.windows(grain, first, until) if first < until else ()
            ended = [window for window in windows if is_last or window[1] <= until]
            if ended:
                self._next[grain] = ended[-1][1]
            hours = self._versions.keys()
            if verified := [w for w in ended if not hours.isdisjoint(touched_hours(*w))]:
                await self._compare(grain, verified)
        longest = max((_LONGEST_MONTH, *(grain.rolling for grain in self._next)))
        oldest = until - (longest + 2) * DAY_MS
        self._days = {day: states for day, states in self._days.items() if day >= oldest}
        self._large = {day: dims for day, dims in self._large.items() if day >= oldest}
        self._versions = {hour: v for hour, v in self._versions.items() if hour >= oldest}

    async def _compare(self, grain: Grain, windows: list[_Window]) -> None:
        """Compare those that are made of the versions that were verified."""
        ids = [
            rollup_id(self.metric.id, grain, self.metric.calendar.zone, kept.is_small)
            for kept in kept_of(self.metric.rollups)
            if kept.grain == grain
        ]
        spans = span_of_window(windows[0][1]), span_of_window(windows[-1][1])
        ready = {id: await self.store.heads(id, spans[0], spans[1] + 1) for id in ids}
        hours = touched_hours(min(start for start, _ in windows), windows[-1][1])
        heads = await self.store.heads(self.metric.id, hours.start, hours.stop)
        marks = Marks(heads)
        for window in windows:
            span, mark = span_of_window(window[1]), marks.of(*window)
            parts = {id: of_id[span] for id, of_id in ready.items() if span in of_id}
            # One that is made of other versions is shown to nobody. Of a day there may be no small
            # states apart: then all are in one place.
            if ids[-1] not in parts or any(head.version != mark for head in parts.values()):
                continue
            if self._is_verified(window, heads) and await self._compare_window(
                grain, window, parts
            ):
                self.report.windows += 1
            else:
                self.report.windows_left += 1

    def _is_verified(self, window: _Window, heads: Mapping[int, Head]) -> bool:
        return all(
            self._versions.get(hour) == heads[hour].version
            for hour in touched_hours(*window)
            if hour in heads
        )

    async def _compare_window(
        self, grain: Grain, window: _Window, parts: Mapping[str, Head]
    ) -> bool:
        """Compare what is kept of a window under some ids; False when it was merged anew."""
        span = span_of_window(window[1])
        days = [day for day, _ in self.metric.calendar.windows(DAY, *window)]
        stored: list[dict[str, bytes]] = []
        for id, head in parts.items():
            # Only totals are looked at, so any id stands for those of unfolded events and of gaps.
            reading = await self.store.read(id, id, id, span, span + 1)
            if reading.heads.get(span) != head:
                return False
            stored.append({spaced(total.dims): total.state for total in reading.totals})
        there = {dims for part in stored for dims in part}
        large = there.union(*(self._large.get(day, ()) for day in days))
        expected = self._merged(days, large if grain.rolling > 1 else None)
        comparison = Comparison(self.metric, span, "batch", SketchMisses())
        for dims in sorted(there | expected.keys()):
            start, end = (to_iso(edge, "minutes") for edge in window)
            place = f"{grain} {start} to {end} {dims}"
            blobs = [part[dims] for part in stored if dims in part]
            _compare_row(comparison, grain, blobs, expected.get(dims), place)
            # Once all rows were in one place; since then the small ones are written beside it.
            if len(blobs) > 1 and not expected.keys() <= stored[-1].keys():
                detail = "it is among the small states of the day and among the others"
                comparison.note(place, None, "a ready total, twice", "one", detail)
        if len(stored) > 1:
            small, others = stored
            self._large[window[0]] = others.keys() - small.keys()
        self.report.window_findings += comparison.findings
        return True

    def _merged(self, days: list[int], wanted: Set[str] | None) -> Mapping[str, States]:
        """What the events of some days make, by dimensions; None for all of these."""
        metric = self.metric
        merged: dict[str, States] = {}
        for of_day in map(self._of_day, days):
            for dims in of_day if wanted is None else of_day.keys() & wanted:
                metric.merge(merged.setdefault(dims, metric.zero(exact=True)), of_day[dims])
        return merged

    def _of_day(self, day: int) -> Mapping[str, States]:
        """What the events of a day make, of which no hour is to come any more."""
        metric, states = self.metric, self._days.get(day, {})
        if states and OVERALL not in states and has_overall(metric.by, metric.selection.sets):
            overall = metric.zero(exact=True)
            for of_dims in states.values():
                metric.merge(overall, of_dims)
            states[OVERALL] = overall
        return states


def _compare_row(
    comparison: Comparison,
    grain: Grain,
    blobs: Collection[bytes],
    expected: States | None,
    place: str,
) -> None:
    """Check one row of a ready window.

    Args:
        blobs: All that is kept of it.
    """
    comparison.checked += 1
    if expected is None:
        detail = "nothing is to be counted"
        comparison.note(place, None, "a ready total", counted_events(0), detail)
        return
    if not blobs:
        detail = "a ready total is gone"
        comparison.note(place, None, "no ready total", "the events of its hours", detail)
        return
    metric = comparison.metric
    recounted = metric.estimate(expected)
    detail = "the ready window is not what the events of its hours make"
    for blob in blobs:
        if grain.rolling > 1 and blob == NO_ESTIMATES:
            continue
        try:
            is_state = grain.rolling == 1
            answers = metric.estimate(metric.load(blob)) if is_state else load_estimates(blob)
        except CorruptStateError as error:
            comparison.note_unreadable(place, error)
            continue
        for name, answer, right in zip(metric.folded, answers, recounted, strict=True):
            if not could_be(answer, right, FAR):
                comparison.note(place, name, answer.value, right.value, detail)
