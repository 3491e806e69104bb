"""A replay: exact totals of a range from the archive, published span by span.

1. A *snapshot* of the archive says where the replay ends: it counts the segments that are whole as
   totals, and what there is of the open ones as tips.
2. A *plan* for each metric, of the snapshot and of what readers have: which spans are counted from
   the archive, which only get the newer coverage, and which are left alone (`plan`).
3. The metrics of one source that end at one coverage are a *work*, which reads each object once for
   all of them. It has *jobs* folded in processes, a group of neighboring spans each (`work`,
   `processes`; by one of two engines, which give the same).
4. The totals of a group are written beside the old, and the heads of its spans moved (`publish`).
   What somebody else has moved meanwhile is planned again.
5. Longer windows of metrics with rollups are merged (`rollups`).
6. What neither the new versions nor those before them need is dropped.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from itertools import groupby

from fastdata.archive.epochs import load_epochs
from fastdata.archive.reader import ArchiveReader, Snapshot
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.engine import choose_engine
from fastdata.batch.job import Engine
from fastdata.batch.plan import Contents, choose_spans
from fastdata.batch.processes import FoldingPool, choose_workers
from fastdata.batch.publish import patiently
from fastdata.batch.recording import recording
from fastdata.batch.reports import ReplayProgress, ReplayReport
from fastdata.batch.work import Meter, Task, Work
from fastdata.coordinates.epochs import LogIdentity, epoch_of
from fastdata.coordinates.instants import HOUR_MS, ceil_to, floor_to, now_ms
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import EpochError, ReplayError
from fastdata.failpoints import reach
from fastdata.store.pace import Pace
from fastdata.store.protocol import Run, ServingStore

__all__ = ["Replayer", "Request", "open_pace", "replay"]


@dataclass(frozen=True, slots=True)
class Request:
    """What shall be made exact, and how; see `replay`.

    Attributes:
        dense_until: ms UTC; a schedule sets it to the last hour that has certainly ended. Before it
            each hour gets a head, also one without events; from it on only hours with events do,
            and where there are none, nothing is done. None: each hour of the range gets one.
    """

    start: int | None = None
    end: int | None = None
    dense_until: int | None = None
    resume: bool = False
    force: bool = False
    next: int | None = None

    def is_of(self, run: Run) -> bool:
        """Whether a run is of this range."""
        return (self.start is None or floor_to(self.start, HOUR_MS) == run.start) and (
            self.end is None or ceil_to(self.end, HOUR_MS) == run.end
        )


async def replay(
    metrics: Sequence[Metric],
    *,
    store: ServingStore,
    archive: ArchiveStorage,
    start: int | None = None,
    end: int | None = None,
    dry_run: bool = False,
    resume: bool = False,
    force: bool = False,
    workers: int | None = None,
    complete: bool = False,
    max_writes_per_s: float | None = None,
    engine: Engine | None = None,
    on_progress: Callable[[ReplayProgress], None] | None = None,
) -> ReplayReport:
    """Make the answers of metrics over `[start, end)` exact, from what is archived.

    Atomic per span: readers see the version before or the new one, and never one that has
    counted less. Idempotent: again, it finds nothing to do. Interrupted anywhere, it can be
    started again, with `resume` or without.

        async with open_store("sqlite:///fastdata.db") as store:
            archive = open_archive_storage("archive")
            report = await replay([departures], store=store, archive=archive)

    Args:
        metrics: Of any sources.
        store: Open.
        archive: Where the events of the sources are archived.
        start: ms UTC, widened to the hour; None: the first day with archived events.
        end: ms UTC, exclusive, widened to the hour; None: the last day with archived events.
        dry_run: Only say what would be done.
        resume: Finish the newest run of each metric, at its coverage, if it is unfinished and of
            that range; without `start` and `end`, of any. What has none begins a new one, and what
            had ended within a segment that is closed by now.
        force: Count again what is up to date, too.
        workers: Processes; 0 computes in this one, None decides by the work and the machine.
        complete: `metrics` are all there are of their sources, so that what the speed layer
            noted as not folded may be dropped, too, once it is counted.
        max_writes_per_s: Totals written a second at most; None for no limit.
        engine: `rows` or `columns`; None takes the columnar one wherever it can. Both give the
            same totals.
        on_progress: Called after each group of spans, and with each longer window.

    Returns:
        What was done for each metric, or in a dry run would be.

    Raises:
        EpochError: The store has another log of a source than the archive.
        ReplayError: The range is empty, the archive does not fit the run to resume or the
            declaration, or a worker process died.
        SpanConflictError: Other runs kept moving the same spans.
        ArchiveError: The archive cannot be read, has a hole, or is of another declaration.
        CorruptStateError: An object or entry of the archive does not verify.
        MapError: A map function raised.
        StoreUnavailableError: The store did not answer for some seconds.
        CommitUnknownError: The same, and the last write may have been done.
    """
    pace = open_pace(max_writes_per_s)
    replayer = Replayer(archive, workers=workers, complete=complete, pace=pace, engine=engine)
    request = Request(start, end, resume=resume, force=force)
    return await replayer.run(metrics, request, store, dry_run=dry_run, on_progress=on_progress)


def open_pace(max_writes_per_s: float | None) -> Pace | None:
    """The limit of a replay; None for none.

    Raises:
        ReplayError: It is not above 0.
    """
    if max_writes_per_s is None:
        return None
    if not max_writes_per_s > 0:
        raise ReplayError(
            f"a replay cannot write {max_writes_per_s} rows a second: give a number above 0, or "
            "none for no limit"
        )
    return Pace(max_writes_per_s)


@dataclass(eq=False, slots=True)
class Replayer:
    """Does replays over one archive, of which it reads each entry of the manifest once.

    Not for concurrent use.

    Attributes:
        workers: Processes; 0 computes in this one, None decides by the work and the machine.
        complete: Whether the metrics of each replay are all there are of their sources.
        pace: Waited for before totals are written; None for no limit.
        engine: None takes the columnar one wherever it can.
        clock: ms UTC.
        contents: By source, what the archive held when a replay last began.
    """

    archive: ArchiveStorage
    _: KW_ONLY
    workers: int | None = None
    complete: bool = False
    pace: Pace | None = None
    engine: Engine | None = None
    clock: Callable[[], int] = now_ms
    contents: dict[Source, Contents] = field(default_factory=dict, init=False)
    _readers: dict[Source, ArchiveReader] = field(default_factory=dict, init=False)

    async def run(
        self,
        metrics: Sequence[Metric],
        request: Request,
        store: ServingStore,
        *,
        dry_run: bool = False,
        on_progress: Callable[[ReplayProgress], None] | None = None,
    ) -> ReplayReport:
        """Do one replay, with the promises, arguments and errors of the function `replay`.

        Raises:
            EpochError: The store has another log of a source than the archive.
            ReplayError: The range is empty, the archive does not fit the run to resume or the
                declaration, or a worker process died.
        """
        works: list[Work] = []
        kept = recording(store, metrics, works, request.next, self.clock)
        async with nullcontext() if dry_run else kept:
            return await self._replay(works, metrics, request, store, dry_run, on_progress)

    async def _replay(
        self,
        works: list[Work],
        metrics: Sequence[Metric],
        request: Request,
        store: ServingStore,
        dry_run: bool,
        on_progress: Callable[[ReplayProgress], None] | None,
    ) -> ReplayReport:
        """Do one replay, and put its works into the list."""
        started = time.perf_counter()
        by_source: dict[Source, list[Metric]] = {}
        for metric in metrics:
            by_source.setdefault(metric.source, []).append(metric)
        for source, of_source in by_source.items():
            works += await self._plan(source, of_source, store, request)
        meter = Meter(works, None if dry_run else on_progress)
        if not dry_run:
            meter.add(0, 0)
            with FoldingPool(choose_workers(self.workers, meter.group_events)) as pool:
                for work in works:
                    await work.run(pool, meter)
        for work in works:
            await work.roll_up(dry_run, meter)
        if not dry_run:
            await self._clean_up(works, store)
        reports = tuple(task.finish(dry_run) for work in works for task in work.tasks)
        return ReplayReport(reports, dry_run, time.perf_counter() - started)

    async def _plan(
        self, source: Source, metrics: Sequence[Metric], store: ServingStore, request: Request
    ) -> list[Work]:
        """One work for each engine and coverage: the archive's, and those of resumed runs."""
        newest, reader = await self._snapshot(source, store), self._readers[source]
        schemas = {entry.schema for entry in newest.objects()}
        works: dict[tuple[str, Engine], Work] = {}
        for metric in metrics:
            last = await patiently(store.last_run, metric.id)
            unfinished = None if last is None or last.is_done else last
            is_resumed = unfinished and request.resume and request.is_of(unfinished)
            snapshot = _as_of(newest, unfinished) if unfinished and is_resumed else None
            # The tiles that it began with may be gone: what it left is then done by a new one.
            run, earlier = (unfinished, None) if snapshot else (None, unfinished)
            snapshot = snapshot or newest
            engine = choose_engine(self.engine, metric, schemas)
            key = snapshot.coverage.dump(), engine
            if key not in works:
                force, pace = request.force, self.pace
                works[key] = Work(source, store, reader, snapshot, engine, force, pace)
            contents = works[key].contents
            if run is None:
                self.contents[source] = contents
            limits = (run.start, run.end) if run else (request.start, request.end)
            spans = choose_spans(contents.hours, *limits, request.dense_until)
            await works[key].add(metric, spans, run, earlier)
        return list(works.values())

    async def _snapshot(self, source: Source, store: ServingStore) -> Snapshot:
        """What the archive of a source holds now, in whole segments; of the log of the store."""
        epochs = await patiently(load_epochs, self.archive, source.topic)
        for report in await store.progress(source.topic):
            epoch, log = epoch_of(epochs, report.partition), LogIdentity.load(report.epoch)
            if epoch is not None and log.is_other(epoch.log):
                raise EpochError(
                    f"the store has events of another log of {source.topic!r}, {log.shown}, than "
                    f"the archive, {epoch.log.shown}: check FASTDATA_STORE and FASTDATA_ARCHIVE; "
                    "where both are right, see `fastdata epoch`"
                )
        reader = self._readers.setdefault(source, ArchiveReader(self.archive, source))
        return await patiently(reader.index_again, await patiently(reader.snapshot))

    async def _clean_up(self, works: Sequence[Work], store: ServingStore) -> None:
        tasks = [task for work in works for task in work.tasks]
        if any(task.run for task in tasks):
            reach("batch.before_clean_up")
            for _, of_source in groupby(tasks, lambda task: task.metric.source):
                await _clean_up(store, list(of_source), self.complete)
        for work in works:
            await work.sweep()


def _as_of(snapshot: Snapshot, run: Run) -> Snapshot | None:
    try:
        return snapshot.at(run.coverage)
    except ValueError as error:
        raise ReplayError(
            f"cannot resume the run {run.number} of {run.metric}: {error}; is this the archive "
            "that it began with?"
        ) from error


async def _clean_up(store: ServingStore, tasks: Sequence[Task], complete: bool) -> None:
    """Drop what neither the newest version of a span needs nor the one before.

    Args:
        tasks: Those of one source.
        complete: Whether they are all metrics of it, so that what the speed layer has not folded
            of it may go, too.
    """
    for task in tasks:
        if task.spans:
            await patiently(store.clean_up, task.metric.id, *task.range)
    if complete:
        unfolded = unfolded_of(tasks[0].metric.source).id
        for start, end in _agreed(tasks):
            # Any metric would do: where they agree, the heads of one judge for all.
            await patiently(store.clean_up, tasks[0].metric.id, start, end, unfolded)


def _agreed(tasks: Sequence[Task]) -> list[tuple[int, int]]:
    """The intervals where all metrics have the same coverage to go back to, by their newest heads.

    Below it, the counts of what was not folded are needed by none of them, also after an undo.
    """

    def is_agreed(span: int) -> bool:
        heads = (task.plan.heads.get(span) for task in tasks)
        previous = [head.previous[1].segments if head and head.previous else None for head in heads]
        return previous[0] is not None and all(other == previous[0] for other in previous)

    stretches: list[tuple[int, int]] = []
    for span in filter(is_agreed, tasks[0].spans):
        if stretches and stretches[-1][1] == span:
            stretches[-1] = (stretches[-1][0], span + HOUR_MS)
        else:
            stretches.append((span, span + HOUR_MS))
    return stretches
