"""One hour of one metric: totals, tips and partials against the recounted events."""

import copy
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fastdata.coordinates.dimensions import is_tip, split_tip
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.declare.unfolded import counted_in, unfolded_of
from fastdata.errors import VerifyError
from fastdata.store.hours import Hours
from fastdata.store.protocol import Head, Partial, Reading, Run, ServingStore
from fastdata.verify.archive import ArchiveContents
from fastdata.verify.causes import KnownCauses, SpeedComparison
from fastdata.verify.compare import Comparison, compare_hours, compare_tips, compare_totals
from fastdata.verify.errors_metric import since
from fastdata.verify.recount import (
    GroupKey,
    PlainEvent,
    PlainRows,
    SegmentKey,
    group,
    mark_repeats,
    tip_events,
)
from fastdata.verify.reports import SketchMisses, SpanReport, SpeedStatus

__all__ = ["HourVerifier", "VerifiedHour", "new_segments", "spaced"]

_TRIES = 5


@dataclass(frozen=True, slots=True)
class VerifiedHour:
    """What became of one hour of a metric.

    Attributes:
        head: That it was verified against.
        rows: Of the events that its totals count, each once; None when it was not verified.
    """

    head: Head
    report: SpanReport
    rows: Mapping[GroupKey, PlainRows] | None


@dataclass(frozen=True, slots=True)
class _View:
    """What the store had of one metric and span at one moment.

    Attributes:
        reading: Of the span; it has only the partials that its head does not cover.
        partials: All of the span that are stored, covered or not.
        unfolded: The same of what the speed layer left out.
    """

    head: Head
    reading: Reading
    partials: Sequence[Partial]
    unfolded: Sequence[Partial]


@dataclass(slots=True)
class HourVerifier:
    """Compares both layers in hours of one source.

    Attributes:
        archived: What the archive holds; newer than the heads that were planned on.
    """

    source: Source
    store: ServingStore
    archived: ArchiveContents
    _folded: dict[str, bool] = field(default_factory=dict)
    _runs: dict[str, Run | None] = field(default_factory=dict)

    async def verify(
        self, metric: Metric, planned: Head, events: Sequence[PlainEvent], sketches: SketchMisses
    ) -> VerifiedHour:
        """Compare both layers in one hour.

        Args:
            planned: The head from before the archive was looked at.
            events: All archived ones of the hour.
            sketches: Gets the sketches that were compared.

        Raises:
            VerifyError: Replays kept moving the hour, or the archive is not that of the store.
            MapError: A value is not of its declared type.
            StoreError: The store failed.
        """
        view = await self._view(metric, planned.span)
        span, coverage, size = planned.span, view.head.coverage, self.source.segment_size
        if (archived := self.archived.coverage).is_behind(coverage):
            if view.head != planned:
                return VerifiedHour(view.head, SpanReport(span, speed="moved on"), None)
            raise VerifyError(
                f"the archive covers {archived.dump()}, and batch has counted {coverage.dump()} "
                f"of {metric.id}: is this the archive of that store?"
            )
        counted = mark_repeats(events, coverage, since(view.head), size)
        groups = group(metric, counted)
        report = SpanReport(span, events=len(counted))
        batch = Comparison(metric, span, "batch", sketches)
        (totals, tips), rows = _stored(view.reading), _once(groups.values())
        compare_totals(batch, totals, rows)
        report.totals = batch.checked
        await self._compare_hours(metric, view, batch, rows)
        report.hours = batch.checked - report.totals
        read_on = tip_events(events, counted, coverage, size)
        report.tip_events = len(read_on)
        compare_tips(batch, tips, group(metric, read_on))
        report.tips = batch.checked - report.totals - report.hours
        report.findings += batch.findings
        report = await self._compare_speed(metric, view, counted, groups, report, sketches)
        return VerifiedHour(view.head, report, rows)

    async def _view(self, metric: Metric, span: int) -> _View:
        """Read all of a span, again if a replay moved its head and cleaned up meanwhile."""
        unfolded, topic = unfolded_of(self.source).id, self.source.topic
        limits = span, span + HOUR_MS
        for _ in range(_TRIES):
            before = (await self.store.heads(metric.id, *limits)).get(span)
            partials = await self.store.partials(metric.id, *limits)
            left_out = await self.store.partials(unfolded, *limits)
            reading = await self.store.read(metric.id, unfolded, topic, *limits)
            head = reading.heads.get(span)
            if head is not None and head == before:
                return _View(head, reading, partials, left_out)
        raise VerifyError(
            f"replays keep moving the span {span} of {metric.id}: verify when they are done"
        )

    async def _compare_hours(
        self, metric: Metric, view: _View, batch: Comparison, rows: Mapping[GroupKey, PlainRows]
    ) -> None:
        """Compare the totals of the whole hour, of the grouping sets that have some."""
        span, unfolded = view.head.span, unfolded_of(self.source).id
        limits = span, span + HOUR_MS
        for number, names in enumerate(metric.sets):
            begin = metric.dims_prefix(names)
            reading = await self.store.read(
                metric.id, unfolded, self.source.topic, *limits,
                dims=(begin,), hours=Hours([limits], begin),
            )  # fmt: skip
            hours, minutes = (
                {key: state for key, state in totals.items() if _is_of(metric, key, number)}
                for totals in (_stored(reading)[0], _stored(view.reading)[0])
            )
            # Where there are none, it has those of minutes; what has moved on is not of these rows.
            if hours != minutes and reading.heads.get(span) == view.head:
                counted = {key: row for key, row in rows.items() if _is_of(metric, key, number)}
                compare_hours(batch, span, hours, counted)

    async def _compare_speed(
        self,
        metric: Metric,
        view: _View,
        counted: Sequence[PlainEvent],
        groups: Mapping[SegmentKey, Mapping[GroupKey, PlainRows]],
        report: SpanReport,
        sketches: SketchMisses,
    ) -> SpanReport:
        size = self.source.segment_size
        events = Counter((event.partition, event.offset // size) for event in counted)
        new = new_segments(view.head, events)
        report.new = sum(events[segment] for segment in new)
        partials = _partials(view)
        rows = {segment: of_segment for segment, of_segment in groups.items() if segment in new}
        report.speed = await self._comparable(metric, view, bool(rows or partials))
        if report.speed != "compared":
            return report
        # A copy, which is dropped if it turns out that no worker ever folded this definition.
        compared = copy.deepcopy(report)
        speed = Comparison(metric, report.span, "speed", sketches)
        SpeedComparison(speed, compared, self._causes(metric, view)).run(partials, rows)
        if speed.findings and not partials and not await self._is_folded(metric, view.reading):
            report.speed = "never folded"
            return report
        compared.partials = speed.checked
        return compared

    async def _comparable(self, metric: Metric, view: _View, has_new: bool) -> SpeedStatus:
        """Whether the speed layer can be compared in a span, or why not."""
        head = view.head
        if not has_new:
            return "nothing new"
        if not view.reading.progress:
            return "no worker"
        if metric.id not in self._runs:
            self._runs[metric.id] = await self.store.last_run(metric.id)
        run = self._runs[metric.id]
        # An undone head has none before it: clean-up may have dropped what it counted.
        if head.previous is None and run and head.coverage.is_behind(run.coverage):
            return "undone"
        return "compared"

    async def _is_folded(self, metric: Metric, reading: Reading) -> bool:
        """Whether any worker has ever known this definition."""
        if metric.id not in self._folded:
            # A worker that meets a new metric records what it has not folded of it as a gap.
            has_gap = any(gap.topic == metric.id for gap in reading.gaps)
            self._folded[metric.id] = has_gap or await self.store.has_partials(metric.id)
        return self._folded[metric.id]

    def _causes(self, metric: Metric, view: _View) -> KnownCauses:
        left_out: dict[SegmentKey, Counter[str]] = {}
        unfolded = unfolded_of(self.source)
        for partial in view.unfolded:
            (reason,) = json.loads(partial.dims)
            if not reason.startswith("dead:"):
                causes = left_out.setdefault((partial.partition, partial.segment), Counter())
                causes[reason] += counted_in(unfolded, partial.state)
        skipped = [
            (gap.partition, gap.start, gap.end, "definition" if gap.topic == metric.id else "gap")
            for gap in view.reading.gaps
        ]
        next_offsets = {p.partition: p.next_offset for p in view.reading.progress}
        archived = self.archived
        return KnownCauses(skipped, next_offsets, left_out, archived.unread, archived.lost)


def new_segments(head: Head, segments: Iterable[SegmentKey]) -> Collection[SegmentKey]:
    """Of some segments those that the current version was the first to count."""
    coverage, before = head.coverage, since(head)
    return {key for key in segments if coverage.covers(*key) and not before.covers(*key)}


# Few dimensions come in very many windows, partitions and segments.
@lru_cache(maxsize=1 << 16)
def spaced(dims: str) -> str:
    """Stored dimensions as a recount writes them."""
    return json.dumps(json.loads(dims))


def _once(segments: Iterable[Mapping[GroupKey, PlainRows]]) -> dict[GroupKey, PlainRows]:
    """The rows that count, of all segments together."""
    rows: dict[GroupKey, PlainRows] = {}
    for groups in segments:
        for key, group_rows in groups.items():
            if counted := [row for row in group_rows if not row.event.is_repeat]:
                rows.setdefault(key, []).extend(counted)
    return rows


def _is_of(metric: Metric, key: GroupKey, number: int) -> bool:
    """Whether a row is of a grouping set."""
    return metric.read_dims(key[1])[0] == number


def _partials(view: _View) -> dict[SegmentKey, dict[GroupKey, bytes]]:
    """The partials of the segments that are compared."""
    by_segment: dict[SegmentKey, list[Partial]] = {}
    for partial in view.partials:
        by_segment.setdefault((partial.partition, partial.segment), []).append(partial)
    return {
        key: {(partial.window, spaced(partial.dims)): partial.state for partial in by_segment[key]}
        for key in new_segments(view.head, by_segment)
    }


def _stored(reading: Reading) -> tuple[dict[GroupKey, bytes], dict[tuple[int, GroupKey], bytes]]:
    """What is counted of closed segments, and of open ones by partition."""
    totals: dict[GroupKey, bytes] = {}
    tips: dict[tuple[int, GroupKey], bytes] = {}
    for total in reading.totals:
        if is_tip(total.dims):
            dims, partition = split_tip(total.dims)
            tips[partition, (total.window, spaced(dims))] = total.state
        else:
            totals[total.window, spaced(total.dims)] = total.state
    return totals, tips
