"""A verification: speed against batch, and both against a plain recount of the archive."""

import copy
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.dimensions import is_tip
from fastdata.coordinates.instants import HOUR_MS, ceil_to, floor_to, to_datetime
from fastdata.coordinates.segments import segment_of
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import VerifyError
from fastdata.store import rules
from fastdata.store.protocol import Head, Partial, Reading, Run, ServingStore
from fastdata.verify.archive import ArchiveContents, counted_in
from fastdata.verify.causes import KnownCauses, SpeedComparison
from fastdata.verify.compare import Comparison, compare_batch
from fastdata.verify.errors_metric import since, store_errors
from fastdata.verify.plain import is_known
from fastdata.verify.recount import (
    GroupKey,
    PlainEvent,
    PlainRows,
    SegmentKey,
    group,
    mark_repeats,
    read_events,
)
from fastdata.verify.reports import SpanReport, SpeedStatus, VerifiedMetric, VerifyReport

__all__ = ["verify"]

_EVER = (-(1 << 52), 1 << 52)
_TRIES = 5
_GROUP_EVENTS = 50_000  # held in memory


async def verify(
    metrics: Sequence[Metric],
    *,
    store: ServingStore,
    archive: ArchiveStorage,
    start: int | None = None,
    end: int | None = None,
    sample: int | None = None,
    seed: str = "",
    store_result: bool = False,
) -> VerifyReport:
    """Compare what both layers say of closed spans with a plain recount.

    A span is closed when a replay has counted it. Its totals are compared with all events that
    its version counts. The speed layer is compared on the segments that its newest version
    added: their partials are never cleaned up before the next version.

    Args:
        metrics: Of any sources.
        start: ms UTC, widened to the hour; None: from the first closed span.
        end: ms UTC, exclusive, widened to the hour; None: to the last closed span.
        sample: How many spans of each source; first those whose newest version added events.
            None: all.
        seed: Any text; the same one chooses the same spans, while no replay runs.
        store_result: Whether to store the errors of the speed layer; see `errors_of`.

    Raises:
        VerifyError: The range is empty, the archive cannot be recounted, or replays kept moving a
            span.
        ArchiveError: The archive cannot be read, has a hole, or is of another declaration.
        CorruptStateError: An entry of the archive does not verify.
        MapError: A value is not of its declared type.
        StoreError: The store failed; what `StoreUnavailableError` ends may be called again.
    """
    began = time.perf_counter()
    if start is not None and end is not None and end <= start:
        raise VerifyError(
            f"the range is empty: its end {to_datetime(end):%Y-%m-%d %H:%M} is not after its start "
            f"{to_datetime(start):%Y-%m-%d %H:%M}"
        )
    limits = (
        _EVER[0] if start is None else floor_to(start, HOUR_MS),
        _EVER[1] if end is None else ceil_to(end, HOUR_MS),
    )
    by_source: dict[Source, list[Metric]] = {}
    for metric in metrics:
        by_source.setdefault(metric.source, []).append(metric)
    reports: dict[Metric, VerifiedMetric] = {}
    for source, declared in by_source.items():
        verification = _SourceVerification(source, declared, store, archive)
        reports |= await verification.run(limits, sample, seed, store_result)
    seconds = time.perf_counter() - began
    return VerifyReport(tuple(reports[m] for m in metrics), store_result, seconds)


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
class _SourceVerification:
    """Verifies the metrics of one source, whose archive is read once for all of them."""

    source: Source
    metrics: Sequence[Metric]
    store: ServingStore
    archive: ArchiveStorage
    _folded: dict[str, bool] = field(default_factory=dict)
    _runs: dict[str, Run | None] = field(default_factory=dict)
    _archived: ArchiveContents = field(init=False)

    async def run(
        self, limits: tuple[int, int], sample: int | None, seed: str, store_result: bool
    ) -> dict[Metric, VerifiedMetric]:
        # In this order: the archive only grows, so it holds what the heads have counted.
        heads = {m: await self.store.heads(m.id, *limits) for m in self.metrics}
        self._archived = await ArchiveContents.read(self.archive, self.source, self.store)
        reports = {m: _report(m, len(heads[m])) for m in self.metrics}
        views: dict[Metric, dict[int, Head]] = {m: {} for m in self.metrics}
        for spans in self._groups(self._choose(heads, sample, seed)):
            hours = self._archived.hours
            objects = {entry.name: entry for span in spans for entry in hours.get(span, ())}
            by_span = await read_events(self.archive, self.source, objects.values(), spans)
            for span, events in by_span.items():
                for metric in self.metrics:
                    if (head := heads[metric].get(span)) is not None:
                        view = await self._view(metric, span)
                        report = await self._verify(metric, head, view, events, reports[metric])
                        reports[metric].spans.append(report)
                        views[metric][span] = view.head
        for metric, verified in reports.items():
            if store_result:
                compared = {span.span: span for span in verified.spans if span.speed in _STORED}
                await store_errors(self.store, metric, compared, views[metric])
        return reports

    def _choose(
        self, heads: Mapping[Metric, Mapping[int, Head]], sample: int | None, seed: str
    ) -> list[int]:
        """The spans to verify, in order: all, or a sample that depends on the seed alone."""
        spans = {span for by_span in heads.values() for span in by_span}
        if sample is None:
            return sorted(spans)
        all_heads = [head for by_span in heads.values() for head in by_span.values()]
        new = {head.span for head in all_heads if self._has_new(head)}

        def rank(span: int) -> tuple[bool, bytes]:
            return span not in new, hashlib.sha256(f"{seed} {span}".encode()).digest()

        return sorted(sorted(spans & self._archived.hours.keys(), key=rank)[:sample])

    def _groups(self, spans: Iterable[int]) -> Iterator[list[int]]:
        """Hours that are read together, for an object may hold many."""

        def events(span: int) -> int:
            return sum(entry.hours[span] for entry in self._archived.hours.get(span, ()))

        return rules.portions(spans, _GROUP_EVENTS, events)

    def _has_new(self, head: Head) -> bool:
        return any(
            _is_new(head, entry.partition, segment_of(entry.first, self.source.segment_size))
            for entry in self._archived.hours.get(head.span, ())
        )

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

    async def _verify(
        self,
        metric: Metric,
        planned: Head,
        view: _View,
        events: Sequence[PlainEvent],
        verified: VerifiedMetric,
    ) -> SpanReport:
        """Compare both layers in one span.

        Args:
            planned: The head from before the archive was looked at.
            events: All archived ones of the span.
            verified: Gets the sketches that were compared.
        """
        span, coverage, size = planned.span, view.head.coverage, self.source.segment_size
        archived = self._archived.coverage
        if archived.is_behind(coverage):
            if view.head != planned:
                return SpanReport(span, speed="moved on")
            raise VerifyError(
                f"the archive covers {archived.dump()}, and batch has counted {coverage.dump()} "
                f"of {metric.id}: is this the archive of that store?"
            )
        counted = mark_repeats(events, coverage, since(view.head), size)
        groups = group(metric, counted)
        report = SpanReport(span, events=len(counted))
        batch = Comparison(metric, span, "batch", verified.sketches)
        totals = _totals(view.reading)
        compare_batch(batch, totals, _once(groups.values()))
        report.findings += batch.findings
        new = {segment: rows for segment, rows in groups.items() if _is_new(view.head, *segment)}
        report.new = sum(_is_new(view.head, e.partition, e.offset // size) for e in counted)
        report.speed = await self._comparable(metric, view, bool(new))
        if report.speed != "compared":
            return report
        speed, partials = Comparison(metric, span, "speed", verified.sketches), _partials(view)
        # A copy, which is dropped if it turns out that no worker ever folded this definition.
        compared = copy.deepcopy(report)
        SpeedComparison(speed, compared, self._causes(metric, view)).run(partials, new)
        if speed.findings and not partials and not await self._is_folded(metric, view.reading):
            report.speed = "never folded"
            return report
        return compared

    async def _comparable(self, metric: Metric, view: _View, has_new: bool) -> SpeedStatus:
        """Whether the speed layer can be compared in a span, or why not."""
        head, partials = view.head, _partials(view)
        if not has_new and not partials:
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
            is_folded = has_gap or await self.store.has_partials(metric.id)
            self._folded[metric.id] = is_folded
        return self._folded[metric.id]

    def _causes(self, metric: Metric, view: _View) -> KnownCauses:
        left_out: dict[SegmentKey, Counter[str]] = {}
        for partial in view.unfolded:
            (reason,) = json.loads(partial.dims)
            if not reason.startswith("dead:"):
                causes = left_out.setdefault((partial.partition, partial.segment), Counter())
                causes[reason] += counted_in(unfolded_of(self.source), partial)
        skipped = [
            (gap.partition, gap.start, gap.end, "definition" if gap.topic == metric.id else "gap")
            for gap in view.reading.gaps
        ]
        next_offsets = {p.partition: p.next_offset for p in view.reading.progress}
        archived = self._archived
        return KnownCauses(skipped, next_offsets, left_out, archived.unread, archived.lost)


_STORED: tuple[SpeedStatus, ...] = ("compared", "nothing new")


def _is_new(head: Head, partition: int, segment: int) -> bool:
    """Whether the current version was the first to count the segment."""
    is_counted = head.coverage.covers(partition, segment)
    return is_counted and not since(head).covers(partition, segment)


def _report(metric: Metric, closed: int) -> VerifiedMetric:
    unknown = [name for name, measure in metric.folded.items() if not is_known(measure)]
    return VerifiedMetric(metric.name, metric.id, closed, tuple(unknown))


def _once(segments: Iterable[Mapping[GroupKey, PlainRows]]) -> dict[GroupKey, PlainRows]:
    """The rows that count, of all segments together."""
    rows: dict[GroupKey, PlainRows] = {}
    for groups in segments:
        for key, group_rows in groups.items():
            if counted := [row for row in group_rows if not row.event.is_repeat]:
                rows.setdefault(key, []).extend(counted)
    return rows


def _partials(view: _View) -> dict[SegmentKey, dict[GroupKey, bytes]]:
    """The partials of the segments that are compared."""
    segments: dict[SegmentKey, dict[GroupKey, bytes]] = {}
    for partial in view.partials:
        if _is_new(view.head, partial.partition, partial.segment):
            groups = segments.setdefault((partial.partition, partial.segment), {})
            groups[_key(partial.window, partial.dims)] = partial.state
    return segments


def _totals(reading: Reading) -> dict[GroupKey, bytes]:
    """What is counted of closed segments."""
    return {
        _key(total.window, total.dims): total.state
        for total in reading.totals
        if not is_tip(total.dims)
    }


def _key(window: int, dims: str) -> GroupKey:
    return window, json.dumps(json.loads(dims))
