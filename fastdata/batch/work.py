"""The work of a replay: metrics of one source, brought to one coverage together."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.batch.job import Engine, Job, JobResult, Piece
from fastdata.batch.plan import Contents, Group, Plan, make_groups, plan_spans
from fastdata.batch.processes import FoldingPool
from fastdata.batch.publish import confirm_spans, patiently, replace_spans
from fastdata.batch.reports import MetricReport, ReplayProgress
from fastdata.batch.rollups.roll_up import count_stale, roll_up
from fastdata.batch.rollups.storage import KeptHours
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import segment_of
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import SpanConflictError
from fastdata.failpoints import reach
from fastdata.store.pace import Pace
from fastdata.store.protocol import Run, ServingStore

__all__ = ["Meter", "Task", "Work"]

# Bounds the memory of a worker process, but for a span that has more events: it is not split.
# Larger groups read an object less often.
_GROUP_EVENTS: dict[Engine, int] = {"rows": 25_000, "columns": 200_000}
_PASSES = 5


@dataclass(slots=True)
class Task:
    """One metric of a replay: what is left to do, and what is done.

    Attributes:
        spans: In order; maybe none.
        run: The open run; None until there is something to do.
        earlier: An unfinished run that is not resumed.
        kept: The hours that are kept.
        report: What is done; it grows.
        plan: What is left to do, by what readers had a moment ago.
    """

    metric: Metric
    spans: Sequence[int]
    run: Run | None
    earlier: Run | None
    kept: KeptHours
    report: MetricReport
    plan: Plan = field(init=False)

    @property
    def range(self) -> tuple[int, int]:
        """The spans' `[start, end)`, ms UTC."""
        return _range(self.spans)

    @property
    def is_superseding(self) -> bool:
        """Whether all that the earlier unfinished run was for is done by this one."""
        if self.earlier is None or self.plan.coverage.is_behind(self.earlier.coverage):
            return False
        start, end = self.range
        return start <= self.earlier.start and self.earlier.end <= end

    def finish(self, dry_run: bool) -> MetricReport:
        """The report of what is done, or in a dry run of what would be."""
        report, plan = self.report, self.plan
        report.run = self.run.number if self.run else None
        report.ahead = len(plan.ahead)
        if dry_run:
            report.recomputed = len(plan.recompute)
            report.relabelled = len(plan.relabel) + len(plan.empty)
            report.kept = len(self.kept.wanted(plan.computed))
        moved = report.recomputed + report.relabelled
        report.unchanged = len(self.spans) - report.ahead - moved
        return report


class Meter:
    """Adds up the progress of all works, and tells it.

    Attributes:
        group_events: How many events each group holds, by the engine.
    """

    def __init__(
        self, works: Sequence["Work"], on_progress: Callable[[ReplayProgress], None] | None
    ) -> None:
        self.group_events: dict[Engine, list[int]] = {}
        for work in works:
            events = [group.events for group in work.groups()]
            self.group_events.setdefault(work.engine, []).extend(events)
        self._total_events = sum(map(sum, self.group_events.values()))
        self._total_spans = sum(task.plan.moves for work in works for task in work.tasks)
        self._on_progress = on_progress
        self._events = self._spans = self._rollups = self._total_rollups = 0

    def add(self, events: int, spans: int) -> None:
        """Tell of events that are folded, and of spans that are published."""
        self._events += events
        self._spans += spans
        self._tell()

    def add_rollups(self, windows: int, total: int) -> None:
        """Tell of windows that are looked at, and of more of them that will be."""
        self._rollups += windows
        self._total_rollups += total
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(
                ReplayProgress(
                    self._events, self._total_events, self._spans, self._total_spans,
                    self._rollups, self._total_rollups,
                )
            )  # fmt: skip


@dataclass(eq=False, slots=True)
class Work:
    """Metrics of one source that end at one coverage, so that they are folded together.

    Not for concurrent use.

    Attributes:
        store: Open.
        snapshot: Of the archive, up to where the metrics shall end.
        engine: What folds them.
        force: Compute anew what is up to date, too.
        pace: Waited for before totals are written; None for no limit.
        contents: What the archive holds up to there.
    """

    source: Source
    store: ServingStore
    reader: ArchiveReader
    snapshot: Snapshot
    engine: Engine
    force: bool
    pace: Pace | None
    contents: Contents = field(init=False)
    tasks: list[Task] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        snapshot, size = self.snapshot, self.source.segment_size
        self.contents = Contents.of(snapshot.coverage, snapshot.objects(), size)

    async def add(
        self, metric: Metric, spans: Sequence[int], run: Run | None, earlier: Run | None
    ) -> None:
        """Plan one more metric, by what readers have now.

        Args:
            spans: In order; maybe none.
            run: One to resume.
            earlier: An unfinished one that is not resumed.

        Raises:
            ArchiveUnavailableError: The archive's store did not answer for some seconds.
            StoreUnavailableError: The serving store did not answer for some seconds.
        """
        kept = await KeptHours.listed(
            self.reader.storage, metric, self.contents, spans,
            is_newest=run is None, again=self.force,
        )  # fmt: skip
        snapshot, size = self.snapshot, self.source.segment_size
        report = MetricReport(
            metric.name, metric.id, snapshot.coverage, *_range(spans), rejects=snapshot.rejects,
            timeless=snapshot.timeless, segment_size=size, lost=snapshot.lost,
        )  # fmt: skip
        task = Task(metric, spans, run, earlier, kept, report)
        task.plan = await self._plan(task)
        self.tasks.append(task)

    def groups(self) -> list[Group]:
        """What is to be folded."""
        spans = {span for task in self.tasks for span in task.plan.computed}
        return make_groups(spans, self.contents.hours, _GROUP_EVENTS[self.engine])

    async def run(self, pool: FoldingPool, meter: Meter) -> None:
        """Do what is planned, and plan again, until nothing is left to do; then close the runs.

        Raises:
            SpanConflictError: Other runs kept moving the same spans.
            FastdataError: What `replay` raises of archive, store and map function.
        """
        for _ in range(_PASSES):
            if not self._is_busy():
                break
            await self._open_runs()
            await self._fold_and_replace(pool, meter)
            await self._confirm(meter)
            for task in self.tasks:
                task.plan = await self._plan(task)
        if self._is_busy():
            raise SpanConflictError(
                f"other runs keep moving the spans of source {self.source.name!r}; what is "
                "published stays: wait until they are done and finish with --resume"
            )
        await self._close_runs()

    async def roll_up(self, dry_run: bool, meter: Meter) -> None:
        """Make longer windows of metrics with rollups ready, or tell how many would not be.

        Args:
            dry_run: Only tell.
            meter: Told of windows.

        Raises:
            FastdataError: What `replay` raises of archive and store.
        """
        for task in self.tasks:
            if not task.metric.rollups or not task.spans:
                continue
            report, plan = task.report, task.plan
            if dry_run:
                moving = {*plan.recompute, *plan.empty}
                report.rollups = await count_stale(task.metric, *task.range, self.store, moving)
                continue
            report.rollups, report.rollups_left = await roll_up(
                task.metric, *task.range, store=self.store, storage=self.reader.storage,
                contents=self.contents, again=self.force, pace=self.pace,
                on_progress=meter.add_rollups,
            )  # fmt: skip

    async def sweep(self) -> None:
        """Delete what was kept of hours that have other events now.

        Raises:
            ArchiveUnavailableError: The archive's store did not answer for some seconds.
        """
        for task in self.tasks:
            await task.kept.sweep(task.plan.ahead)

    async def _plan(self, task: Task) -> Plan:
        heads = await patiently(self.store.heads, task.metric.id, *task.range)
        return plan_spans(
            task.spans,
            self.contents,
            heads,
            force=self.force,
            forced_version=task.run.number if task.run else None,
            missing=task.kept.missing,
        )

    def _is_busy(self) -> bool:
        return any(task.plan.moves or task.plan.keep for task in self.tasks)

    async def _open_runs(self) -> None:
        for task in self.tasks:
            if task.run is None and task.plan.moves:
                within = *task.range, self.contents.coverage
                task.run = await patiently(self.store.open_run, task.metric.id, *within)
                reach("batch.after_open_run")

    async def _fold_and_replace(self, pool: FoldingPool, meter: Meter) -> None:
        metrics = [task.metric for task in self.tasks]
        async with aclosing(pool.results(metrics, self._jobs())) as results:
            async for group, result in results:
                moved = 0
                for index, task in enumerate(self.tasks):
                    # Before readers see totals: then longer windows can be merged once they do.
                    await self._keep(index, task, result)
                    moved += await self._replace(index, task, group, result)
                del result  # Before the next one is here.
                meter.add(group.events, moved)

    async def _jobs(self) -> AsyncGenerator[tuple[Group, Job]]:
        computed = [task.plan.computed for task in self.tasks]
        for group in self.groups():
            size = sum(self.contents.objects[index].size for index in group.objects)
            for task in self.tasks:
                task.report.objects += len(group.objects)
                task.report.object_bytes += size
            wanted = {
                span: tuple(index for index, spans in enumerate(computed) if span in spans)
                for span in group.spans
            }
            # No name here: the records are the consumer's alone.
            pieces = map(self._piece, group.objects)
            yield group, Job(group.spans, wanted, await asyncio.gather(*pieces), self.engine)

    async def _piece(self, index: int) -> Piece:
        entry = self.contents.objects[index]
        segment = segment_of(entry.first, self.source.segment_size)
        is_open = not self.contents.coverage.covers(entry.partition, segment)
        place = entry.partition, segment, entry.schema
        if self.engine == "columns":
            data = await patiently(self.reader.read_whole, entry)
            return Piece(*place, data=data, is_open=is_open)
        return Piece(*place, await patiently(self.reader.read, entry), is_open=is_open)

    async def _keep(self, index: int, task: Task, result: JobResult) -> None:
        hours = {span: rows for (number, span), rows in result.hours.items() if number == index}
        if hours:
            task.report.kept += await task.kept.write(hours)
            reach("batch.after_kept_hours")

    async def _replace(self, index: int, task: Task, group: Group, result: JobResult) -> int:
        """Publish the totals of a group for one metric; how many of its spans readers now see."""
        totals = {
            span: result.totals[index, span]
            for span in group.spans
            if (index, span) in result.totals and span not in task.plan.keep
        }
        if task.run is None or not totals:
            return 0
        hours = {span: result.hour_totals[index, span] for span in totals}
        moved = await replace_spans(self.store, task.run, task.plan, totals, hours, self.pace)
        report = task.report
        report.recomputed += len(moved)
        report.events += sum(group.spans[span] for span in moved)
        report.duplicates += sum(result.duplicates.get(span, 0) for span in moved)
        report.totals += sum(len(totals[span]) for span in moved)
        return len(moved)

    async def _confirm(self, meter: Meter) -> None:
        for task in self.tasks:
            if task.run is not None:
                moved = await confirm_spans(self.store, task.run, task.plan)
                task.report.relabelled += len(moved)
                meter.add(0, len(moved))

    async def _close_runs(self) -> None:
        for task in self.tasks:
            if task.run is not None:
                await patiently(self.store.close_run, task.run.number)
            if task.is_superseding and task.earlier is not None:
                # It died or will find nothing left to do; open, it keeps its rows for ever.
                await patiently(self.store.close_run, task.earlier.number)


def _range(spans: Sequence[int]) -> tuple[int, int]:
    return (spans[0], spans[-1] + HOUR_MS) if spans else (0, 0)
