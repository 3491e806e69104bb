"""A verification: speed against batch, and both against a plain recount of the archive."""

import copy
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.instants import HOUR_MS, ceil_to, floor_to, to_datetime
from fastdata.coordinates.segments import Coverage, segment_of
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import VerifyError
from fastdata.store.protocol import Head, Partial, Reading, Run, ServingStore
from fastdata.verify.archive import Archived, counted_in
from fastdata.verify.causes import Known, compare_speed
from fastdata.verify.compare import Comparison, compare_batch
from fastdata.verify.errors_metric import store_errors
from fastdata.verify.plain import is_known
from fastdata.verify.recount import Cell, CellKey, Event, Place, group, mark_repeats, read_events
from fastdata.verify.reports import MetricReport, SpanReport, Speed, VerifyReport

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
            None: all. The same ones for the same `seed`, while no replay runs.
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
    reports: dict[Metric, MetricReport] = {}
    for source, own in by_source.items():
        work = _Work(source, own, store, archive)
        reports |= await work.run(limits, sample, seed, store_result)
    seconds = time.perf_counter() - began
    return VerifyReport(tuple(reports[m] for m in metrics), store_result, seconds)


@dataclass(frozen=True, slots=True)
class _View:
    """What the store had of one metric and span at one moment.

    Attributes:
        since: The coverage of the version before: what it covers may be cleaned up already.
    """

    head: Head
    reading: Reading
    partials: Sequence[Partial]
    unfolded: Sequence[Partial]

    @property
    def since(self) -> Coverage:
        return self.head.previous[1] if self.head.previous else Coverage()

    def is_new(self, partition: int, segment: int) -> bool:
        """Whether the current version was the first to count the segment."""
        is_counted = self.head.coverage.covers(partition, segment)
        return is_counted and not self.since.covers(partition, segment)


class _Work:
    """The metrics of one source."""

    def __init__(
        self,
        source: Source,
        metrics: Sequence[Metric],
        store: ServingStore,
        archive: ArchiveStorage,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._store = store
        self._archive = archive
        self._folded: dict[str, bool] = {}
        self._runs: dict[str, Run | None] = {}
        self._archived: Archived

    async def run(
        self, limits: tuple[int, int], sample: int | None, seed: str, store_result: bool
    ) -> dict[Metric, MetricReport]:
        # In this order: the archive only grows, so it holds what the heads have counted.
        heads = {m: await self._store.heads(m.id, *limits) for m in self._metrics}
        self._archived = await Archived.look(self._archive, self._source, self._store)
        reports = {m: _report(m, len(heads[m])) for m in self._metrics}
        views: dict[Metric, dict[int, Head]] = {m: {} for m in self._metrics}
        for spans in self._groups(self._choose(heads, sample, seed)):
            hours = self._archived.hours
            objects = {each.name: each for span in spans for each in hours.get(span, ())}
            read = await read_events(self._archive, self._source, objects.values(), spans)
            for span, events in read.items():
                for metric in self._metrics:
                    if (head := heads[metric].get(span)) is not None:
                        view = await self._view(metric, span)
                        found = await self._verify(metric, head, view, events, reports[metric])
                        reports[metric].spans.append(found)
                        views[metric][span] = view.head
        for metric, report in reports.items():
            if store_result:
                compared = {s.span: s for s in report.spans if s.speed in _STORED}
                await store_errors(self._store, metric, compared, views[metric])
        return reports

    def _choose(
        self, heads: Mapping[Metric, Mapping[int, Head]], sample: int | None, seed: str
    ) -> list[int]:
        spans = {span for own in heads.values() for span in own}
        if sample is None:
            return sorted(spans)
        new = {span for own in heads.values() for span, head in own.items() if self._has_new(head)}

        def rank(span: int) -> tuple[bool, bytes]:
            return span not in new, hashlib.sha256(f"{seed} {span}".encode()).digest()

        return sorted(sorted(spans & self._archived.hours.keys(), key=rank)[:sample])

    def _groups(self, spans: Iterable[int]) -> list[list[int]]:
        """Hours that are read together, for an object may hold many."""
        groups: list[list[int]] = []
        room = 0
        for span in spans:
            events = sum(each.hours[span] for each in self._archived.hours.get(span, ()))
            if not groups or events > room:
                groups.append([])
                room = _GROUP_EVENTS
            groups[-1].append(span)
            room -= events
        return groups

    def _has_new(self, head: Head) -> bool:
        since = head.previous[1] if head.previous else Coverage()
        size = self._source.segment_size
        return any(
            head.coverage.covers(entry.partition, segment_of(entry.first, size))
            and not since.covers(entry.partition, segment_of(entry.first, size))
            for entry in self._archived.hours.get(head.span, ())
        )

    async def _view(self, metric: Metric, span: int) -> _View:
        """One view; a replay may move the head and clean up between two calls."""
        unfolded, topic = unfolded_of(self._source).id, self._source.topic
        limits = span, span + HOUR_MS
        for _ in range(_TRIES):
            before = (await self._store.heads(metric.id, *limits)).get(span)
            partials = await self._store.partials(metric.id, *limits)
            left_out = await self._store.partials(unfolded, *limits)
            reading = await self._store.read(metric.id, unfolded, topic, *limits)
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
        events: Sequence[Event],
        of: MetricReport,
    ) -> SpanReport:
        span, coverage, size = planned.span, view.head.coverage, self._source.segment_size
        archived = self._archived.coverage
        if archived.is_behind(coverage):
            if view.head != planned:
                return SpanReport(span, speed="moved on")
            raise VerifyError(
                f"the archive covers {archived.dump()}, and batch has counted {coverage.dump()} "
                f"of {metric.id}: is this the archive of that store?"
            )
        counted = mark_repeats(events, coverage, view.since, size)
        places = group(metric, counted)
        report = SpanReport(span, events=len(counted))
        batch = Comparison(metric, span, "batch", of.doubts)
        totals = {_key(total.window, total.dims): total.state for total in view.reading.totals}
        compare_batch(batch, totals, _once(places.values()))
        report.findings += batch.findings
        new = {place: cells for place, cells in places.items() if view.is_new(*place)}
        report.new = sum(view.is_new(e.partition, e.offset // size) for e in counted)
        report.speed = await self._comparable(metric, view, bool(new))
        if report.speed != "compared":
            return report
        speed, compared = Comparison(metric, span, "speed", of.doubts), copy.deepcopy(report)
        partials = _partials(view)
        compare_speed(speed, compared, self._known(metric, view), partials, new)
        if speed.findings and not partials and not await self._is_folded(metric, view.reading):
            report.speed = "never folded"
            return report
        return compared

    async def _comparable(self, metric: Metric, view: _View, has_new: bool) -> Speed:
        head, partials = view.head, _partials(view)
        if not has_new and not partials:
            return "nothing new"
        if not view.reading.progress:
            return "no worker"
        if metric.id not in self._runs:
            self._runs[metric.id] = await self._store.last_run(metric.id)
        run = self._runs[metric.id]
        if head.previous is None and run and head.coverage.is_behind(run.coverage):
            return "undone"
        return "compared"

    async def _is_folded(self, metric: Metric, reading: Reading) -> bool:
        """Whether any worker has ever known this definition."""
        if metric.id not in self._folded:
            is_begun = any(gap.topic == metric.id for gap in reading.gaps)
            found = is_begun or await self._store.has_partials(metric.id)
            self._folded[metric.id] = found
        return self._folded[metric.id]

    def _known(self, metric: Metric, view: _View) -> Known:
        left_out: dict[Place, Counter[str]] = {}
        for partial in view.unfolded:
            (reason,) = json.loads(partial.dims)
            if not reason.startswith("dead:"):
                causes = left_out.setdefault((partial.partition, partial.segment), Counter())
                causes[reason] += counted_in(unfolded_of(self._source), partial)
        skipped = [
            (gap.partition, gap.start, gap.end, "definition" if gap.topic == metric.id else "gap")
            for gap in view.reading.gaps
        ]
        next_offsets = {p.partition: p.next_offset for p in view.reading.progress}
        archived = self._archived
        return Known(skipped, next_offsets, left_out, archived.unread, archived.lost)


_STORED: tuple[Speed, ...] = ("compared", "nothing new")


def _report(metric: Metric, closed: int) -> MetricReport:
    unknown = [name for name, measure in metric.folded.items() if not is_known(measure)]
    return MetricReport(metric.name, metric.id, closed, tuple(unknown))


def _once(places: Iterable[Mapping[CellKey, Cell]]) -> dict[CellKey, Cell]:
    """The rows that count, of all segments together."""
    rows: dict[CellKey, Cell] = {}
    for cells in places:
        for key, cell in cells.items():
            if counted := [row for row in cell if not row.event.is_repeat]:
                rows.setdefault(key, []).extend(counted)
    return rows


def _partials(view: _View) -> dict[Place, dict[CellKey, bytes]]:
    """The partials of the segments that are compared."""
    found: dict[Place, dict[CellKey, bytes]] = {}
    for partial in view.partials:
        if view.is_new(partial.partition, partial.segment):
            cells = found.setdefault((partial.partition, partial.segment), {})
            cells[_key(partial.window, partial.dims)] = partial.state
    return found


def _key(window: int, dims: str) -> CellKey:
    return window, json.dumps(json.loads(dims))
