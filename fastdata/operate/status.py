"""How far each layer is: read from the log, the archive and the serving store."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from fastdata.archive import ArchiveReader, ArchiveStorage, Snapshot
from fastdata.coordinates.dimensions import load_dims
from fastdata.coordinates.segments import segment_start
from fastdata.declare.catalog import Catalog
from fastdata.declare.source import Source
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import ArchiveError, BrokerError, CorruptStateError, StoreError
from fastdata.kafka.connection import Broker
from fastdata.store.protocol import NEVER, Gap, Head, Partial, Progress, Run, ServingStore
from fastdata.store.rules import DEAD_LETTERS_WINDOW

__all__ = ["LogReader", "PartitionStatus", "SourceStatus", "Status", "StatusReader"]

_END_OF_TIME = 1 << 62
_TIMEOUT_S = 5.0
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


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source.

    Attributes:
        unfolded: Events that the speed layer counted apart, by reason: `late` and `future`
            are left to batch, `repeat` had an id that was seen before, `dead:...` could
            not be read. Those that every metric's replay has counted are not among them.
        runs: The newest run of batch by metric.
    """

    source: str
    topic: str
    partitions: tuple[PartitionStatus, ...]
    gaps: tuple[Gap, ...]
    unfolded: dict[str, int]
    runs: dict[str, Run | None]


@dataclass(frozen=True, slots=True)
class Status:
    """All sources, and what could not be read."""

    sources: tuple[SourceStatus, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        sources = [
            asdict(source)
            | {"runs": {name: _run_as_dict(run) for name, run in source.runs.items()}}
            for source in self.sources
        ]
        return {"sources": sources, "problems": list(self.problems)}


class LogReader:
    """Offsets and append times of a Kafka log; joins no group. Calls block: use threads.

    A context manager.
    """

    def __init__(self, broker: Broker, timeout_s: float = _TIMEOUT_S) -> None:
        self._broker = broker
        self._timeout_s = timeout_s
        self._is_checked = False

    def __enter__(self) -> Self:
        config = {
            "group.id": "fastdata-status",  # demanded by the client; nothing joins or commits
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            **self._broker.librdkafka(),
        }
        try:
            self._consumer = Consumer(config, logger=logging.getLogger(__name__))
        except KafkaException as error:
            raise BrokerError(f"broker {self._broker}: {error.args[0].str()}") from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._consumer.close()

    async def check(self) -> None:
        """See that the broker lets us in, until it has once; a failed read would not tell why.

        Raises:
            BrokerError: It cannot be reached, or refuses.
        """
        if not self._is_checked:
            await self._broker.check(self._timeout_s)
            self._is_checked = True

    def ranges(self, topics: Sequence[str]) -> dict[str, dict[int, tuple[int, int]]]:
        """Per topic and partition the first offset and the one after the last.

        A topic that does not exist has no partitions.

        Raises:
            BrokerError: The broker cannot be reached.
        """
        try:
            existing = self._consumer.list_topics(timeout=self._timeout_s).topics
            return {
                topic: {p: self._range(topic, p) for p in existing[topic].partitions}
                for topic in topics
                if topic in existing
            }
        except KafkaException as error:
            raise self._error(error) from error

    def append_times(self, topic: str, offsets: Mapping[int, int]) -> Mapping[int, int | None]:
        """When the first record from each offset on was appended, ms UTC.

        None where there is none: the rest of the log is marks of transactions, and what was
        taken back. Without those that were not read in time.

        Raises:
            BrokerError: The broker cannot be reached.
        """
        times: dict[int, int | None] = {}
        deadline = time.monotonic() + self._timeout_s
        places = [TopicPartition(topic, p, o) for p, o in offsets.items()]
        try:
            self._consumer.assign(places)
            self._consumer.resume(places)  # a pause outlives its assignment
            while len(times) < len(offsets) and time.monotonic() < deadline:
                message = self._consumer.poll(0.2)
                if message is None or (partition := message.partition()) is None:
                    continue
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        times.setdefault(partition, None)
                elif partition not in times:
                    times[partition] = message.timestamp()[1]
                    self._consumer.pause([TopicPartition(topic, partition)])
            self._consumer.unassign()
        except KafkaException as error:
            raise self._error(error) from error
        return times

    def _range(self, topic: str, partition: int) -> tuple[int, int]:
        place = TopicPartition(topic, partition)
        start, end = self._consumer.get_watermark_offsets(place, timeout=self._timeout_s)
        return int(start), int(end)

    def _error(self, error: KafkaException) -> BrokerError:
        cause = error.args[0]
        text = cause.str() if isinstance(cause, KafkaError) else str(error)
        return BrokerError(f"the broker {self._broker} cannot be reached: {text}")


class StatusReader:
    """Reads the status again and again.

    What cannot be reached becomes a problem of the `Status`; the rest is read nevertheless.

    Args:
        store: Asked for nothing when it is None; its part of the status is empty.
        archive: The same.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        store: ServingStore | None,
        archive: ArchiveStorage | None,
        log: LogReader,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._log = log
        self._archives = {
            name: ArchiveReader(archive, source)
            for name, source in catalog.sources.items()
            if archive is not None
        }
        self._problems: dict[str, None] = {}

    async def read(self, now_ms: int, *, is_brief: bool = False) -> Status:
        """The status now.

        Args:
            now_ms: What lags are measured against, ms UTC.
            is_brief: Without runs, gaps and what was not folded, which takes longer to read.
        """
        self._problems = {}
        topics = [source.topic for source in self._catalog.sources.values()]
        logs = await self._attempt(self._ranges(topics), {})
        sources = [
            await self._source(source, logs.get(source.topic, {}), now_ms, is_brief)
            for source in self._catalog.sources.values()
        ]
        return Status(tuple(sources), tuple(self._problems))

    async def _ranges(self, topics: Sequence[str]) -> dict[str, dict[int, tuple[int, int]]]:
        await self._log.check()
        return await asyncio.to_thread(self._log.ranges, topics)

    async def _source(
        self, source: Source, log: Mapping[int, tuple[int, int]], now_ms: int, is_brief: bool
    ) -> SourceStatus:
        store, runs = None if is_brief else self._store, dict[str, Run | None]()
        gaps: Sequence[Gap] = ()
        unfolded: dict[str, int] = {}
        if store is not None:
            runs = await self._attempt(self._runs(source, store), runs)
            gaps = await self._attempt(store.gaps(source.topic), gaps)
            unfolded = await self._attempt(self._unfolded(source, store), unfolded)
        partitions = await self._partitions(source, log, runs, now_ms)
        return SourceStatus(
            source.name, source.topic, tuple(partitions), tuple(gaps), unfolded, runs
        )

    async def _partitions(
        self,
        source: Source,
        log: Mapping[int, tuple[int, int]],
        runs: Mapping[str, Run | None],
        now_ms: int,
    ) -> list[PartitionStatus]:
        snapshot, progress = None, dict[int, Progress]()
        if (archive := self._archives.get(source.name)) is not None:
            snapshot = await self._attempt(archive.snapshot(), None)
        if self._store is not None:
            rows = await self._attempt(self._store.progress(source.topic), ())
            progress = {row.partition: row for row in rows}
        folded = {p: row.next_offset for p, row in progress.items()}
        archived = snapshot.durable if snapshot else {}
        to_fold = await self._lags(source.topic, log, folded, now_ms)
        to_archive = await self._lags(source.topic, log, archived, now_ms) if snapshot else {}
        partitions = []
        for p in sorted({*log, *folded, *archived}):
            start, end = log.get(p, (None, None))
            lag, lag_s = to_fold.get(p, (None, None))
            archive_lag, archive_lag_s = to_archive.get(p, (None, None))
            partitions.append(
                PartitionStatus(
                    partition=p,
                    log_start=start,
                    log_end=end,
                    folded=folded.get(p, 0),
                    archived=archived.get(p, 0) if snapshot else None,
                    closed=_closed(source, p, snapshot),
                    covered=_covered(source, p, runs),
                    lag=lag,
                    lag_s=lag_s,
                    read_age_s=_read_age_s(progress.get(p), now_ms),
                    archive_lag=archive_lag,
                    archive_lag_s=archive_lag_s,
                )
            )
        return partitions

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

    async def _unfolded(self, source: Source, store: ServingStore) -> dict[str, int]:
        metric, counts = unfolded_of(source), Counter[str]()
        heads = [
            await store.heads(of_source.id, 0, _END_OF_TIME)
            for of_source in self._catalog.of_source(source)
        ]
        for partial in await store.partials(metric.id, 0, _END_OF_TIME):
            if heads and all(_is_counted(partial, of_metric) for of_metric in heads):
                continue
            (count,) = metric.load(partial.state)
            value = metric.aggregates[0].present(count).value
            reason = str(load_dims(partial.dims)[0])
            counts[reason] += value if isinstance(value, int) else 0
        return dict(sorted(counts.items()))

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
