"""The work of a replay: metrics of one source, brought to one coverage together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.batch.job import Engine, Job, JobResult, Piece
from fastdata.batch.plan import Group, Plan, index_hours, make_groups, plan_spans
from fastdata.batch.processes import FoldingPool
from fastdata.batch.publish import Publisher, patiently
from fastdata.batch.reports import MetricReport, Progress
from fastdata.batch.rollups.hours import KeptHours
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import segment_of
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import SpanConflictError
from fastdata.failpoints import reach
from fastdata.store.pace import Pace
from fastdata.store.protocol import Head, Run, ServingStore

__all__ = ["Meter", "Task", "Work"]

# Bounds the memory of a worker process; larger groups read an object less often.
_GROUP_EVENTS: dict[Engine, int] = {"rows": 25_000, "columns": 200_000}
_PASSES = 5


@dataclass(slots=True)
class Task:
    """One metric of a replay.

    Attributes:
        spans: In order; maybe none.
        run: The open run; None until there is something to do.
        earlier: An unfinished run that is not resumed.
        heads: What readers have, as far as the plan knows.
        kept: The hours that are kept; None for a metric without rollups.
    """

    metric: Metric
    spans: Sequence[int]
    run: Run | None
    earlier: Run | None
    report: MetricReport
    plan: Plan
    heads: Mapping[int, Head] = field(default_factory=dict)
    kept: KeptHours | None = None

    @property
    def range(self) -> tuple[int, int]:
        """The spans' `[start, end)`, ms UTC."""
        return (self.spans[0], self.spans[-1] + HOUR_MS) if self.spans else (0, 0)

    @property
    def is_superseding(self) -> bool:
        """Whether all that the earlier unfinished run was for is done by this one."""
        if self.earlier is None or self.plan.coverage.is_behind(self.earlier.coverage):
            return False
        start, end = self.range
        return start <= self.earlier.start and self.earlier.end <= end


class Meter:
    """Adds up the progress of all works."""

    def __init__(
        self, works: Sequence["Work"], on_progress: Callable[[Progress], None] | None
    ) -> None:
        plans = [task.plan for work in works for task in work.tasks]
        self.groups: dict[Engine, list[int]] = {}
        for work in works:
            events = [sum(group.spans.values()) for group in work.groups()]
            self.groups.setdefault(work.engine, []).extend(events)
        self.total_events = sum(map(sum, self.groups.values()))
        self._total_spans = sum(
            len(plan.recompute) + len(plan.relabel) + len(plan.empty) for plan in plans
        )
        self._on_progress = on_progress
        self._events = self._spans = 0

    def add(self, events: int, spans: int) -> None:
        """Tell of events and spans that are published."""
        self._events += events
        self._spans += spans
        if self._on_progress is not None:
            self._on_progress(
                Progress(self._events, self.total_events, self._spans, self._total_spans)
            )


class Work:
    """Metrics of one source that end at one coverage, so that they are folded together.

    Attributes:
        coverage: Where they end.
        objects: Those of the archive up to there.
        hours: What these hold.
        engine: What folds them.
    """

    def __init__(
        self,
        source: Source,
        store: ServingStore,
        reader: ArchiveReader,
        snapshot: Snapshot,
        *,
        engine: Engine = "rows",
        force: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self.tasks: list[Task] = []
        self.coverage = snapshot.coverage
        self.objects = snapshot.objects()
        self.hours = index_hours(self.objects, source.segment_size)
        self._source = source
        self._store = store
        self._reader = reader
        self.engine = engine
        self._force = force
        self._pace = pace

    async def look(self) -> None:
        """Plan from what readers have now."""
        for task in self.tasks:
            heads = await patiently(partial(self._store.heads, task.metric.id, *task.range))
            version = task.run.number if task.run else None
            missing = await task.kept.missing(task.spans) if task.kept else ()
            task.heads = heads
            task.plan = plan_spans(
                task.spans,
                self.hours,
                heads,
                self.coverage,
                force=self._force,
                forced_version=version,
                missing=missing,
            )

    def groups(self) -> list[Group]:
        """What is to be computed."""
        spans = {span for task in self.tasks for span in task.plan.computed}
        return make_groups(spans, self.hours, _GROUP_EVENTS[self.engine])

    async def run(self, computer: FoldingPool, meter: Meter) -> None:
        """Do what is planned, until nothing is left to do; then close the runs.

        Raises:
            SpanConflictError: Other runs kept moving the same spans.
        """
        for _ in range(_PASSES):
            if not self._is_busy():
                break
            await self._open()
            await self._recompute(computer, meter)
            await self._relabel(meter)
            await self.look()
        if self._is_busy():
            raise SpanConflictError(
                f"other runs keep moving the spans of source {self._source.name!r}; what is "
                "published stays: wait until they are done and finish with --resume"
            )
        await self._close()

    def _is_busy(self) -> bool:
        return any(task.plan.has_work or task.plan.keep for task in self.tasks)

    async def _open(self) -> None:
        for task in self.tasks:
            if task.run is None and task.plan.has_work:
                open_run = partial(self._store.open_run, task.metric.id, *task.range, self.coverage)
                task.run = await patiently(open_run)
                reach("batch.after_open_run")

    async def _recompute(self, computer: FoldingPool, meter: Meter) -> None:
        metrics = [task.metric for task in self.tasks]
        async with aclosing(computer.results(metrics, self._jobs())) as results:
            async for group, folded in results:
                spans = 0
                for index, task in enumerate(self.tasks):
                    spans += await self._replace(index, task, group, folded)
                del folded  # Before the next one is here.
                meter.add(sum(group.spans.values()), spans)

    async def _jobs(self) -> AsyncGenerator[tuple[Group, Job]]:
        wanted = [task.plan.computed for task in self.tasks]
        for group in self.groups():
            for task in self.tasks:
                task.report.objects += len(group.objects)
            users = {
                span: tuple(index for index, spans in enumerate(wanted) if span in spans)
                for span in group.spans
            }
            # No name here: the records are the consumer's alone.
            pieces = map(self._piece, group.objects)
            yield group, Job(group.spans, users, await asyncio.gather(*pieces), self.engine)

    async def _piece(self, index: int) -> Piece:
        entry = self.objects[index]
        place = entry.partition, segment_of(entry.first, self._source.segment_size), entry.schema
        if self.engine == "columns":
            return Piece(*place, data=await patiently(partial(self._reader.read_whole, entry)))
        return Piece(*place, await patiently(partial(self._reader.read, entry)))

    async def _replace(self, index: int, task: Task, group: Group, folded: JobResult) -> int:
        await self._keep(index, task, folded)
        totals = {
            span: folded.totals[index, span]
            for span in group.spans
            if (index, span) in folded.totals and span not in task.plan.keep
        }
        if task.run is None or not totals:
            return 0
        moved = await Publisher(self._store, task.run, self._pace).replace(totals, task.heads)
        report = task.report
        report.recomputed += len(moved)
        report.events += sum(group.spans[span] for span in moved)
        report.duplicates += sum(folded.duplicates.get(span, 0) for span in moved)
        report.totals += sum(len(totals[span]) for span in moved)
        return len(moved)

    async def _keep(self, index: int, task: Task, folded: JobResult) -> None:
        """Before readers see the totals: then longer windows can be merged as soon as they do."""
        hours = {span: rows for (n, span), rows in folded.hours.items() if n == index}
        if task.kept is not None and hours:
            task.report.kept += await task.kept.write(hours)
            reach("batch.after_kept_hours")

    async def sweep(self) -> None:
        """Delete what was kept of hours that have other events now."""
        for task in self.tasks:
            if task.kept is not None:
                await task.kept.sweep(task.plan.ahead)

    async def _relabel(self, meter: Meter) -> None:
        for task in self.tasks:
            if task.run is not None:
                moved = await Publisher(self._store, task.run).confirm(task.plan, task.heads)
                task.report.relabelled += len(moved)
                meter.add(0, len(moved))

    async def _close(self) -> None:
        for task in self.tasks:
            if task.run is not None:
                await patiently(partial(self._store.close_run, task.run.number))
            if task.is_superseding and task.earlier is not None:
                # It died or will find nothing left to do; open, it keeps its rows for ever.
                await patiently(partial(self._store.close_run, task.earlier.number))
