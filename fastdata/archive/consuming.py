"""The archive's own consumer group: Kafka records to `PartitionArchive`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from fastdata import failpoints
from fastdata.archive.storage import ArchiveStorage
from fastdata.archive.writing import PartitionArchive, Record
from fastdata.decoding import Decoder
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveUnavailableError,
    BrokerError,
    FastdataError,
    SettingsError,
)
from fastdata.schemas import Registry
from fastdata.source import Source

__all__ = ["ArchiveProgress", "run_archive"]

_log = logging.getLogger(__name__)
_MAX_RECORDS = 4000
_POLL_MS = 200
_COMMIT_TIMEOUT_S = 10
_RETRIES = 5


@dataclass(frozen=True, slots=True)
class ArchiveProgress:
    """How far the archiver of one source is.

    Attributes:
        durable: Per assigned partition, the first offset that is not durable.
        position: Per assigned partition, the next offset to read.
        end: Per assigned partition, the log's end as far as known.
        records: Read since the start, rejects among them.
    """

    source: str
    durable: dict[int, int]
    position: dict[int, int]
    end: dict[int, int]
    records: int


async def run_archive(
    sources: Sequence[Source],
    registry: Registry,
    storage: ArchiveStorage,
    *,
    broker: str,
    stop: asyncio.Event,
    tile_bytes: int = 4 << 20,
    tile_age_s: float = 10.0,
    accept_loss: bool = False,
    on_progress: Callable[[ArchiveProgress], None] | None = None,
) -> None:
    """Archive the topics of some sources until `stop` is set; then make all durable and leave.

    At least once from the log, exactly once in the archive. Each source has a consumer group
    of its own, `fastdata-archive-<source>`, so that several processes share the partitions.

    Args:
        sources: Two of one topic must agree in `time` and `segment_size`.
        broker: Addresses, `host:port` with commas between.
        on_progress: Called after each round of each source.

    Raises:
        SettingsError: Two sources of one topic do not agree.
        BrokerError: The broker cannot be reached, or refuses.
        ArchiveHoleError: Events were deleted from the log before they were archived.
        ArchiveConflictError: The archive is that of another topic or declaration.
        CorruptStateError: The manifest does not verify.
        ArchiveUnavailableError: The store failed again and again.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for source in _one_per_topic(sources):

                def open_partition(number: int, source: Source = source) -> PartitionArchive:
                    return PartitionArchive(
                        storage, source, Decoder(source, registry), number,
                        tile_bytes=tile_bytes, tile_age_s=tile_age_s, accept_loss=accept_loss,
                    )  # fmt: skip

                run = _SourceArchive(source, broker, open_partition, on_progress)
                group.create_task(run.run(stop))
    except* FastdataError as errors:
        first = errors.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from first.__cause__


def _one_per_topic(sources: Sequence[Source]) -> list[Source]:
    topics: dict[str, Source] = {}
    for source in sorted(sources, key=lambda each: each.name):
        first = topics.setdefault(source.topic, source)
        if (first.time, first.segment_size) != (source.time, source.segment_size):
            raise SettingsError(
                f"sources {first.name!r} and {source.name!r} share the topic {source.topic!r}, and "
                "with it its archive; give them the same time and segment_size"
            )
    return list(topics.values())


@dataclass(eq=False)
class _SourceArchive(ConsumerRebalanceListener):  # type: ignore[misc]
    source: Source
    broker: str
    open_partition: Callable[[int], PartitionArchive]
    on_progress: Callable[[ArchiveProgress], None] | None
    archives: dict[TopicPartition, PartitionArchive] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    records: int = 0
    failure: FastdataError | None = None
    has_joined: bool = False
    consumer: AIOKafkaConsumer = field(init=False)

    async def run(self, stop: asyncio.Event) -> None:
        """Archive until `stop`; join the group anew when the broker refuses something."""
        failures = 0
        while not stop.is_set():
            before = self.records
            try:
                await self._member(stop)
            except BrokerError as error:
                failures = 1 if self.records > before else failures + 1
                if failures > _RETRIES or not self.has_joined:
                    raise
                _log.warning("%s; joining the group again", error)
                self.archives.clear()
                self.committed.clear()
                await asyncio.sleep(_pause_s(failures))

    async def _member(self, stop: asyncio.Event) -> None:
        async with self._consumer() as consumer:
            self.has_joined = True
            self.consumer = consumer
            consumer.subscribe([self.source.topic], listener=self)
            while not stop.is_set():
                await self._round()
                if self.failure:
                    raise self.failure
            async with self.busy:
                await self._flush(force=True)

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        # No reset of offsets: a jump over deleted events would look like a hole of the log.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.broker,
            group_id=f"fastdata-archive-{self.source.name}",
            client_id="fastdata-archive",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            yield consumer
        except (KafkaError, OSError) as error:
            if isinstance(error, FastdataError):
                raise
            raise BrokerError(
                f"the archive of {self.source.name!r} cannot work with the broker {self.broker}: "
                f"{error!r}; check FASTDATA_BROKER and that it runs; nothing is lost"
            ) from error
        finally:
            await consumer.stop()

    async def _round(self) -> None:
        """Read some records and write what is due."""
        async with self.busy:
            await self._open_assigned()
        try:
            some = await self.consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        except NoOffsetForPartitionError:
            return  # assigned this moment; it is opened, and sought, in the next round
        except OffsetOutOfRangeError as error:
            for tp in error.args[0]:
                self.archives.pop(tp, None)  # opening it tells what was deleted
            return
        async with self.busy:
            for tp, records in some.items():
                if (archive := self.archives.get(tp)) is not None:
                    self._append(archive, records)
                    self.records += len(records)
            await self._advance()
            await self._flush()
        self._report()

    def _append(self, archive: PartitionArchive, records: Sequence[object]) -> None:
        append = archive.append
        for r in records:
            append(Record(r.offset, r.timestamp, r.key, r.value, r.headers))  # type: ignore[attr-defined]

    async def _advance(self) -> None:
        for tp, archive in self.archives.items():
            try:
                archive.advance(await self.consumer.position(tp))
            except IllegalStateError:
                continue  # no longer assigned; the listener will drop it

    async def _open_assigned(self) -> None:
        assigned = self.consumer.assignment()
        for tp in [tp for tp in self.archives if tp not in assigned]:
            self._drop(tp)
        for tp in assigned - self.archives.keys():
            archive = self.open_partition(tp.partition)
            starts = await self.consumer.beginning_offsets([tp])
            ends = await self.consumer.end_offsets([tp])
            position = await _patiently(partial(archive.open, starts[tp]))
            if position > ends[tp]:
                raise ArchiveConflictError(
                    f"the archive of {tp.topic}, partition {tp.partition}, ends at {position}, "
                    f"after the log's end {ends[tp]}: the topic was created anew or truncated; "
                    "use another archive for it"
                )
            try:
                self.consumer.seek(tp, position)
            except IllegalStateError:
                continue  # lost again meanwhile
            self.archives[tp] = archive

    async def _flush(self, *, force: bool = False) -> None:
        commits = {}
        for tp, archive in self.archives.items():
            durable = await _patiently(partial(archive.flush, force=force))
            if durable > self.committed.get(tp, 0):
                commits[tp] = durable
        if not commits:
            return
        try:
            await asyncio.wait_for(self.consumer.commit(commits), _COMMIT_TIMEOUT_S)
        except (CommitFailedError, IllegalStateError, TimeoutError) as error:
            # The manifest says where to go on; the group's offsets only tell others.
            _log.warning("the archive of %s could not commit: %r", self.source.name, error)
            return
        failpoints.reach("archive.after_commit")
        self.committed.update(commits)

    def _report(self) -> None:
        if self.on_progress is None:
            return
        assigned = self.archives.keys() & self.consumer.assignment()
        ends = {tp.partition: self.consumer.highwater(tp) for tp in assigned}
        self.on_progress(
            ArchiveProgress(
                self.source.name,
                {tp.partition: archive.durable for tp, archive in self.archives.items()},
                {tp.partition: archive.position for tp, archive in self.archives.items()},
                {partition: end for partition, end in ends.items() if end is not None},
                self.records,
            )
        )

    def _drop(self, tp: TopicPartition) -> None:
        self.archives.pop(tp, None)
        self.committed.pop(tp, None)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        async with self.busy:
            try:
                await self._flush(force=True)
            except FastdataError as error:
                self.failure = error  # aiokafka would log it and go on
            for tp in list(self.archives):
                self._drop(tp)

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Nothing: they are opened in the next round, where an error stops the archive."""


async def _patiently(action: Callable[[], Awaitable[int]]) -> int:
    """Do it again while the store fails, for some seconds."""
    for attempt in range(_RETRIES):
        try:
            return await action()
        except ArchiveUnavailableError as error:
            _log.warning("%s", error)
            await asyncio.sleep(_pause_s(attempt))
    return await action()


def _pause_s(attempt: int) -> float:
    return 0.2 * float(2**attempt)
