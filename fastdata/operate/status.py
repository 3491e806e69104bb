"""How far each layer is: read from the log, the archive and the serving store."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from fastdata.archive import ArchiveReader, ArchiveStorage, Snapshot, load_epochs
from fastdata.coordinates.dimensions import load_dims
from fastdata.coordinates.epochs import epoch_start
from fastdata.coordinates.instants import to_iso
from fastdata.coordinates.segments import segment_start
from fastdata.declare.catalog import Catalog
from fastdata.declare.source import Source
from fastdata.declare.unfolded import counted_in, unfolded_of
from fastdata.errors import ArchiveError, BrokerError, CorruptStateError, StoreError
from fastdata.operate.alerts import AlertStatus, read_alerts
from fastdata.operate.log_reader import LogReader, Member
from fastdata.store.earlier import EarlierDefinition, find_earlier
from fastdata.store.past_runs import PastRun, past_runs
from fastdata.store.protocol import NEVER, Gap, Head, Partial, Progress, Run, ServingStore
from fastdata.store.rules import DEAD_LETTERS_WINDOW, living

__all__ = ["PartitionStatus", "SourceStatus", "Status", "StatusReader"]

_END_OF_TIME = 1 << 62
_TIMEOUT_S = 5.0
_UNKNOWN = (None, None)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """Offsets of one partition; each is the first that is *not* there yet, None when unknown.

    Attributes:
        log_start: The oldest offset that Kafka still has.
        log_end: Where the next event will be appended.
        folded: By the speed layer, durably.
        archived: Durable in the archive, tiles included.
        closed: In closed segments of the archive, which batch may count.
        covered: Counted by the newest finished run of every metric.
        lag: Events that are in the log and not folded.
        lag_s: Seconds since the oldest of them was appended to the log; 0 when there is none.
        read_age_s: Seconds since the moment up to which all that was appended is folded. A worker
            that is alive moves it without events, too; None when none has read the partition yet.
        archive_lag: Events that are in the log and not in the archive.
        archive_lag_s: Seconds since the oldest of these was appended; 0 when there is none.
        covered_age_s: Seconds since the oldest event that is in the log and not covered was
            appended; 0 when there is none.
        worker: Who folds it at present; None when nobody does, or it is not known.
        archiver: Who archives it.
    """

    partition: int
    log_start: int | None
    log_end: int | None
    folded: int | None
    archived: int | None
    closed: int | None
    covered: int | None
    lag: int | None
    lag_s: float | None
    read_age_s: float | None
    archive_lag: int | None
    archive_lag_s: float | None
    covered_age_s: float | None = None
    worker: Member | None = None
    archiver: Member | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source.

    Attributes:
        unfolded: Events that the speed layer counted apart, by reason: `late` and `future`
            are left to batch, `repeat` had an id that was seen before, `dead:...` could
            not be read. Those that every metric's replay has counted are not among them.
        dead_before: Of the dead letters in `unfolded`, by the same reasons, those of an earlier
            epoch of the log: their topic may be gone with it, as with an embedded broker.
        runs: The newest run of batch by metric.
        read_until: All that was written to the log before, by its own time, is folded, ms UTC: what
            answers say. None when that is not known of every partition.
        read_lag_s: How long ago that was, in seconds.
        past_runs: What was done by metric, the newest first; empty in a brief status.
        earlier: By metric that was never replayed, an earlier definition of it that was.
    """

    source: str
    topic: str
    partitions: tuple[PartitionStatus, ...]
    gaps: tuple[Gap, ...]
    unfolded: dict[str, int]
    runs: dict[str, Run | None]
    read_until: int | None = None
    read_lag_s: float | None = None
    dead_before: dict[str, int] = field(default_factory=dict)
    past_runs: dict[str, list[PastRun]] = field(default_factory=dict)
    earlier: dict[str, EarlierDefinition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """All sources and alerts, and what could not be read; a brief one has no alerts."""

    sources: tuple[SourceStatus, ...]
    problems: tuple[str, ...]
    alerts: tuple[AlertStatus, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        sources = [
            asdict(source)
            | {"read_until": None if source.read_until is None else to_iso(source.read_until)}
            | {"runs": {name: _run_as_dict(run) for name, run in source.runs.items()}}
            | {"past_runs": {n: [r.as_dict() for r in rs] for n, rs in source.past_runs.items()}}
            | {"earlier": {name: other.as_dict() for name, other in source.earlier.items()}}
            for source in self.sources
        ]
        alerts = [alert.as_dict() for alert in self.alerts]
        return {"sources": sources, "alerts": alerts, "problems": list(self.problems)}


class StatusReader:
    """Reads the status again and again.

    What cannot be reached becomes a problem of the `Status`; the rest is read nevertheless.

    Args:
        store: Asked for nothing when it is None; its part of the status is empty.
        archive: The same.
        application_id: That of the consumer groups; without it nobody is asked for their members.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        store: ServingStore | None,
        archive: ArchiveStorage | None,
        log: LogReader,
        application_id: str = "",
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._log = log
        self._application_id = application_id
        self._archives = {
            name: ArchiveReader(archive, source)
            for name, source in catalog.sources.items()
            if archive is not None
        }
        self._problems: dict[str, None] = {}

    async def read(self, now_ms: int, *, is_brief: bool = False, with_runs: bool = False) -> Status:
        """The status now.

        Args:
            now_ms: What lags are measured against, ms UTC.
            is_brief: Without gaps, members and what was not folded, which takes longer to read.
            with_runs: With them even if it is brief.
        """
        self._problems = {}
        topics = [source.topic for source in self._catalog.sources.values()]
        logs = await self._attempt(self._ranges(topics), {})
        sources = [
            await self._source(source, logs.get(source.topic, {}), now_ms, is_brief, with_runs)
            for source in self._catalog.sources.values()
        ]
        alerts: Sequence[AlertStatus] = ()
        if self._store is not None and not is_brief:
            reading = read_alerts(self._store, self._catalog.alerts.values())
            alerts = await self._attempt(reading, alerts)
        return Status(tuple(sources), tuple(self._problems), tuple(alerts))

    async def _ranges(self, topics: Sequence[str]) -> dict[str, dict[int, tuple[int, int]]]:
        await self._log.check()
        return await asyncio.to_thread(self._log.ranges, topics)

    async def _source(
        self,
        source: Source,
        log: Mapping[int, tuple[int, int]],
        now_ms: int,
        is_brief: bool,
        with_runs: bool,
    ) -> SourceStatus:
        store, runs = None if is_brief else self._store, dict[str, Run | None]()
        gaps: Sequence[Gap] = ()
        unfolded, dead_before = dict[str, int](), dict[str, int]()
        past: dict[str, list[PastRun]] = {}
        earlier: dict[str, EarlierDefinition] = {}
        if self._store is not None and (with_runs or not is_brief):
            runs = await self._attempt(self._runs(source, self._store), runs)
        rows = await self._reports(source)
        first = await self._first_number(source, rows)
        if store is not None:
            gaps = await self._attempt(store.gaps(source.topic), gaps)
            counted = self._unfolded(source, store, first)
            unfolded, dead_before = await self._attempt(counted, (unfolded, dead_before))
            past = await self._attempt(self._past_runs(source, store), past)
            earlier = await self._attempt(self._earlier(source, store, runs), earlier)
        partitions, read = await self._partitions(source, log, runs, rows, first, now_ms)
        if not is_brief and self._application_id:
            partitions = await self._with_members(source, partitions)
        return SourceStatus(
            source=source.name,
            topic=source.topic,
            partitions=tuple(partitions),
            gaps=tuple(gaps),
            unfolded=unfolded,
            runs=runs,
            read_until=read,
            read_lag_s=None if read is None else max(0, now_ms - read) / 1000,
            dead_before=dead_before,
            past_runs=past,
            earlier=earlier,
        )

    async def _reports(self, source: Source) -> list[Progress]:
        """What workers say of the partitions of the newest epoch that they know."""
        if self._store is None:
            return []
        return living(await self._attempt(self._store.progress(source.topic), ()))

    async def _partitions(
        self,
        source: Source,
        log: Mapping[int, tuple[int, int]],
        runs: Mapping[str, Run | None],
        rows: Sequence[Progress],
        first: int,
        now_ms: int,
    ) -> tuple[list[PartitionStatus], int | None]:
        """The partitions of the present epoch, by Kafka's numbers, and up to when all are read."""
        snapshot = None
        if (archive := self._archives.get(source.name)) is not None:
            snapshot = await self._attempt(archive.snapshot(), None)
        progress = {row.partition - first: row for row in rows if row.partition >= first}
        folded = {p: row.next_offset for p, row in progress.items()}
        durable = snapshot.durable.items() if snapshot else ()
        archived = {n - first: offset for n, offset in durable if n >= first}
        to_fold = await self._lags(source.topic, log, folded, now_ms)
        to_archive = await self._lags(source.topic, log, archived, now_ms) if snapshot else {}
        covered = {p: _covered(source, first + p, runs) for p in {*log, *folded, *archived}}
        to_cover = await self._lags(source.topic, log, covered, now_ms) if runs else {}
        partitions = [
            PartitionStatus(
                partition=p,
                log_start=log.get(p, _UNKNOWN)[0],
                log_end=log.get(p, _UNKNOWN)[1],
                folded=folded.get(p, 0),
                archived=archived.get(p, 0) if snapshot else None,
                closed=_closed(source, first + p, snapshot),
                covered=covered[p],
                lag=to_fold.get(p, _UNKNOWN)[0],
                lag_s=to_fold.get(p, _UNKNOWN)[1],
                read_age_s=_read_age_s(progress.get(p), now_ms),
                archive_lag=to_archive.get(p, _UNKNOWN)[0],
                archive_lag_s=to_archive.get(p, _UNKNOWN)[1],
                covered_age_s=to_cover.get(p, _UNKNOWN)[1],
            )
            for p in sorted(covered)
        ]
        return partitions, _read_until(progress, [partition.partition for partition in partitions])

    async def _with_members(
        self, source: Source, partitions: list[PartitionStatus]
    ) -> list[PartitionStatus]:
        groups = self._application_id, f"{self._application_id}-archive-{source.name}"
        asked = (asyncio.to_thread(self._log.members, group) for group in groups)
        workers, archivers = await asyncio.gather(*asked)
        places = ((partition, (source.topic, partition.partition)) for partition in partitions)
        return [
            replace(partition, worker=workers.get(place), archiver=archivers.get(place))
            for partition, place in places
        ]

    async def _first_number(self, source: Source, rows: Sequence[Progress]) -> int:
        """The number of partition 0 in the present epoch."""
        if (archive := self._archives.get(source.name)) is not None:
            epochs = await self._attempt(load_epochs(archive.storage, source.topic), ())
            if epochs:
                return epochs[-1].first
        return epoch_start(min((row.partition for row in rows), default=0))

    async def _lags(
        self,
        topic: str,
        log: Mapping[int, tuple[int, int]],
        reached: Mapping[int, int],
        now_ms: int,
    ) -> dict[int, tuple[int, float | None]]:
        """Per partition, the events from where a layer is on, and the age of the oldest in s."""
        next_ = {p: max(reached.get(p, 0), start) for p, (start, _) in log.items()}
        behind = {p: offset for p, offset in next_.items() if offset < log[p][1]}
        times: Mapping[int, int | None] = {}
        if behind:
            reading = asyncio.to_thread(self._log.append_times, topic, behind)
            times = await self._attempt(reading, times)
            behind = {p: offset for p, offset in behind.items() if times.get(p, 0) is not None}
        return {
            p: (end - behind.get(p, end), _age_s(p, behind, times, now_ms))
            for p, (_, end) in log.items()
        }

    async def _runs(self, source: Source, store: ServingStore) -> dict[str, Run | None]:
        metrics = self._catalog.of_source(source)
        return {metric.name: await store.last_run(metric.id) for metric in metrics}

    async def _past_runs(self, source: Source, store: ServingStore) -> dict[str, list[PastRun]]:
        metrics = self._catalog.of_source(source)
        return {metric.name: await past_runs(store, metric.id) for metric in metrics}

    async def _earlier(
        self, source: Source, store: ServingStore, runs: Mapping[str, Run | None]
    ) -> dict[str, EarlierDefinition]:
        earlier = {}
        for metric in self._catalog.of_source(source):
            if runs.get(metric.name) is None:
                earlier[metric.name] = await find_earlier(store, metric.name, metric.id)
        return {name: other for name, other in earlier.items() if other}

    async def _unfolded(
        self, source: Source, store: ServingStore, first: int
    ) -> tuple[dict[str, int], dict[str, int]]:
        """What was left out by reason; and, of that, dead letters of partitions before `first`."""
        metric, counts, before = unfolded_of(source), Counter[str](), Counter[str]()
        heads = [
            await store.heads(of_source.id, 0, _END_OF_TIME)
            for of_source in self._catalog.of_source(source)
        ]
        for partial in await store.partials(metric.id, 0, _END_OF_TIME):
            if heads and all(_is_counted(partial, of_metric) for of_metric in heads):
                continue
            reason, events = str(load_dims(partial.dims)[0]), counted_in(metric, partial.state)
            counts[reason] += events
            if reason.startswith("dead:") and partial.partition < first:
                before[reason] += events
        return dict(sorted(counts.items())), dict(sorted(before.items()))

    async def _attempt(self, reading: Awaitable[_T], otherwise: _T) -> _T:
        try:
            return await reading
        except (BrokerError, StoreError, ArchiveError, CorruptStateError) as error:
            self._problems[str(error)] = None
            return otherwise


def _closed(source: Source, partition: int, snapshot: Snapshot | None) -> int | None:
    if snapshot is None:
        return None
    return segment_start(snapshot.coverage.get(partition), source.segment_size)


def _covered(source: Source, partition: int, runs: Mapping[str, Run | None]) -> int:
    size = source.segment_size
    return min(
        (run.coverage.end(partition, size) if run and run.is_done else 0 for run in runs.values()),
        default=0,
    )


def _read_until(progress: Mapping[int, Progress], partitions: Sequence[int]) -> int | None:
    moments = {partition: report.read_until for partition, report in progress.items()}
    least = min((moments.get(partition, NEVER) for partition in partitions), default=NEVER)
    return None if least == NEVER else least


def _is_counted(partial: Partial, heads: Mapping[int, Head]) -> bool:
    """Whether the version that readers see has counted all events that a partial tells of."""
    # The hour that dead letters share tells nothing of when they were.
    if partial.window == DEAD_LETTERS_WINDOW or (head := heads.get(partial.window)) is None:
        return False
    coverage, p = head.coverage, partial.partition
    return coverage.covers(p, partial.segment) or coverage.has_read(p, partial.stamp)


def _read_age_s(progress: Progress | None, now_ms: int) -> float | None:
    if progress is None or progress.read_until == NEVER:
        return None
    return max(0, now_ms - progress.read_until) / 1000


def _age_s(
    partition: int, behind: Mapping[int, int], times: Mapping[int, int | None], now_ms: int
) -> float | None:
    if partition not in behind:
        return 0.0
    appended = times.get(partition)
    return None if appended is None else max(0, now_ms - appended) / 1000


def _run_as_dict(run: Run | None) -> dict[str, object] | None:
    if run is None:
        return None
    return {**asdict(run), "coverage": {str(p): s for p, s in run.coverage.segments.items()}}
