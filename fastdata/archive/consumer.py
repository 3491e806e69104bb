"""The archive's own consumer group: Kafka records to `PartitionArchive`."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from fastdata import failpoints
from fastdata.archive.epochs import check_log, check_newest, open_epoch
from fastdata.archive.records import ArchivedRecord
from fastdata.archive.storage import ArchiveStorage
from fastdata.archive.writer import PartitionArchive
from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.declare.source import Source
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveHoleError,
    ArchiveUnavailableError,
    BrokerError,
    CorruptStateError,
    EpochError,
    FastdataError,
    MissingTopicError,
    SchemaNeededError,
    SettingsError,
)
from fastdata.events.decoder import NO_TIMESTAMP, Decoder
from fastdata.events.registry import Registry
from fastdata.kafka.connection import Broker, client_id, watch_servers
from fastdata.kafka.identity import identify
from fastdata.kafka.topics import check_topic

__all__ = ["ArchiveProgress", "run_archive"]

_log = logging.getLogger(__name__)
_MAX_RECORDS = 4000
_POLL_MS = 200
_TIMEOUT_S = 10
_METADATA_AGE_MS = 10_000  # after which added partitions are seen, and shared out
_REPEAT_S = 60
_DRAIN_S = 30
_T = TypeVar("_T")
_ALONE = (ArchiveHoleError, ArchiveConflictError, CorruptStateError, EpochError, MissingTopicError)
_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2)


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
    broker: Broker,
    stop: asyncio.Event,
    tile_bytes: int = 4 << 20,
    tile_age_s: float = 10.0,
    accept_loss: bool | Collection[str] = False,
    drain: bool = False,
    application_id: str = "fastdata",
    on_progress: Callable[[ArchiveProgress], None] | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> None:
    """Archive the topics of some sources until `stop` is set; then make all durable and leave.

    At least once from the log, exactly once in the archive. A store that has answered is waited
    for while it fails, for as long as it takes: nothing is lost. Each source has a consumer group
    of its own, `<application_id>-archive-<source>`, so that several processes share the
    partitions. A source whose archive needs a person fails alone: that is said again and again
    while the others go on, and raised at the end, or when none is left.

    Args:
        sources: Two of one topic must agree in `time`, `segment_size` and `format`.
        accept_loss: Of all sources, or of those with these names.
        drain: Read what the logs have when `stop` is set, too, for 30 s at most.
        on_progress: Called after each round of each source.
        on_failure: Called with the name of a source that has failed alone.

    Raises:
        SettingsError: Two sources of one topic do not agree.
        MissingTopicError: A topic is not there.
        BrokerError: The broker cannot be reached, or refuses.
        ArchiveHoleError: Events were deleted from the log before they were archived.
        ArchiveConflictError: The archive is that of another topic or declaration.
        CorruptStateError: The manifest does not verify.
        EpochError: A topic is another log than the one that was archived.
        ArchiveUnavailableError: The store failed from the start, or at the end, for some seconds.
        ArchiveRefusedError: The store refuses.
    """
    chosen = _one_per_topic(sources)
    await broker.check()
    watching = asyncio.create_task(watch_servers(**broker.aiokafka()))
    company = _Company(len(chosen), stop, on_failure)
    try:
        async with asyncio.TaskGroup() as group:
            for source in chosen:
                open_partition = partial(
                    PartitionArchive, storage, source, Decoder(source, registry),
                    tile_bytes=tile_bytes, tile_age_s=tile_age_s,
                    accept_loss=accept_loss if isinstance(accept_loss, bool)
                    else source.name in accept_loss,
                )  # fmt: skip
                run = _SourceArchive(
                    source, f"{application_id}-archive-{source.name}", broker, registry, storage,
                    open_partition, on_progress, drain,
                )  # fmt: skip
                group.create_task(company.run(run))
    except* FastdataError as errors:
        first = errors.exceptions[0]
        raise first from first.__cause__
    finally:
        watching.cancel()
    if company.failures:
        raise company.failures[0]


def _one_per_topic(sources: Sequence[Source]) -> list[Source]:
    topics: dict[str, Source] = {}
    for source in sorted(sources, key=lambda s: s.name):
        first = topics.setdefault(source.topic, source)
        fixed = [(s.time, s.segment_size, s.format) for s in (first, source)]
        if fixed[0] != fixed[1]:
            raise SettingsError(
                f"sources {first.name!r} and {source.name!r} share the topic {source.topic!r}, and "
                "with it its archive; give them the same time, segment_size and format"
            )
    return list(topics.values())


@dataclass(eq=False)
class _SourceArchive(ConsumerRebalanceListener):  # type: ignore[misc]
    source: Source
    group_id: str
    broker: Broker
    registry: Registry
    storage: ArchiveStorage
    open_partition: Callable[[int], PartitionArchive]
    on_progress: Callable[[ArchiveProgress], None] | None
    drain: bool
    archives: dict[TopicPartition, PartitionArchive] = field(default_factory=dict)
    assigned: set[TopicPartition] = field(default_factory=set)
    records: int = 0
    consumer: AIOKafkaConsumer = field(init=False)
    epoch: Epoch = field(init=False)
    stop: asyncio.Event = field(init=False)
    has_answered: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        self.stop = stop
        self.consumer = AIOKafkaConsumer(
            group_id=self.group_id,
            client_id=client_id("archive"),
            enable_auto_commit=False,
            # A jump over deleted events would look like a hole of the log.
            auto_offset_reset="none",
            isolation_level="read_committed",
            metadata_max_age_ms=_METADATA_AGE_MS,
            **self.broker.aiokafka(),
        )
        try:
            await check_topic(self.broker, self.source.topic)
            await self.consumer.start()
            self.epoch = await self._patiently(self._open_epoch)
            self.consumer.subscribe([self.source.topic], listener=self)
            while not stop.is_set():
                await self._round()
            if self.drain:
                await self._read_to_end()
            await self._flush(force=True)
        except BrokerError:
            raise
        except (KafkaError, OSError) as error:
            raise BrokerError(
                f"the archive of {self.source.name!r} cannot work with the broker {self.broker}: "
                f"{error!r}; check FASTDATA_BROKER and that it runs; nothing is lost"
            ) from error
        finally:
            await self.consumer.stop()

    async def _identify(self) -> LogIdentity | None:
        return await identify(self.consumer._client, self.source.topic)

    async def _open_epoch(self) -> Epoch:
        return await open_epoch(self.storage, self.source.topic, await self._identify())

    async def _round(self) -> None:
        """Read some records and write what is due."""
        await self._open_assigned()
        try:
            records = await self.consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError):
            self.archives.clear()  # opening them seeks, and tells what was deleted
            return
        needed = set()
        for tp, archive in list(self.archives.items()):
            try:
                for r in records.get(tp, ()):
                    stamp = NO_TIMESTAMP if r.timestamp is None else r.timestamp
                    archive.append(ArchivedRecord(r.offset, stamp, r.key, r.value, r.headers))
                    self.records += 1
            except SchemaNeededError as error:
                needed.add(error.schema_id)
                self.consumer.seek(tp, archive.position)  # the next round reads on from there
            else:
                archive.advance(await self.consumer.position(tp))
        await self._flush()
        self._report()
        await asyncio.gather(*map(self.registry.learn, needed))

    async def _read_to_end(self) -> None:
        deadline_s = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline_s:
            ends = await self.consumer.end_offsets(list(self.archives))
            at = {tp: archive.position for tp, archive in self.archives.items()}
            if ends and all(at.get(tp, -1) >= end for tp, end in ends.items()):
                return
            await self._round()
        _log.warning("the end of %s was not reached within %d s", self.source.name, _DRAIN_S)

    async def _open_assigned(self) -> None:
        for tp in self.assigned - self.archives.keys():
            archive = self.open_partition(self.epoch.number(tp.partition))
            starts = await self.consumer.beginning_offsets([tp])
            ends = await self.consumer.end_offsets([tp])
            first = self.epoch.begin.get(tp.partition, 0)
            position = await self._patiently(partial(archive.open, starts[tp], first))
            if position > ends[tp]:
                raise ArchiveConflictError(
                    f"the archive of {tp.topic}, partition {tp.partition}, ends at {position}, "
                    f"after the log's end {ends[tp]}: the topic was created anew or truncated; "
                    "use another archive for it"
                )
            if tp in self.assigned:  # still
                self.consumer.seek(tp, position)
                self.archives[tp] = archive

    async def _flush(self, *, force: bool = False) -> None:
        commits = {}
        if any(archive.is_due(force=force) for archive in self.archives.values()):
            # What was read before the broker said so is of the log that it should be.
            check_log(self.source.topic, self.epoch, await self._identify())
            await self._patiently(
                partial(check_newest, self.storage, self.source.topic, self.epoch)
            )
        for tp, archive in list(self.archives.items()):
            before = archive.durable
            durable = await self._patiently(partial(archive.flush, force=force))
            if durable > before:
                commits[tp] = durable
        if not commits:
            return
        try:
            await asyncio.wait_for(self.consumer.commit(commits), _TIMEOUT_S)
        except (CommitFailedError, IllegalStateError, TimeoutError) as error:
            # The manifest says where to go on; the group's offsets only tell others.
            _log.warning("the archive of %s could not commit: %r", self.source.name, error)
            return
        failpoints.reach("archive.after_commit")

    def _report(self) -> None:
        if self.on_progress is not None:
            ends = {tp.partition: self.consumer.highwater(tp) for tp in self.archives}
            self.on_progress(
                ArchiveProgress(
                    self.source.name,
                    {tp.partition: archive.durable for tp, archive in self.archives.items()},
                    {tp.partition: archive.position for tp, archive in self.archives.items()},
                    {partition: end for partition, end in ends.items() if end is not None},
                    self.records,
                )
            )

    async def _patiently(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """Do it again while the store fails: for some seconds, or if it has worked, for ever."""
        tries = 0
        while True:
            try:
                result = await action()
            except ArchiveUnavailableError as error:
                is_patient = self.has_answered and not self.stop.is_set()
                if tries >= len(_PAUSES_S) and not is_patient:
                    raise
                _log.warning("%s", error)
                await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1
            else:
                self.has_answered = True
                return result

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Drop all: whoever has them next goes on where their manifests end."""
        self.assigned.clear()
        self.archives.clear()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """They are opened in the next round, where an error stops the archive."""
        self.assigned = set(assigned)


@dataclass(eq=False)
class _Company:
    """Sources of one process, each of which may fail alone."""

    size: int
    stop: asyncio.Event
    on_failure: Callable[[str], None] | None
    failures: list[FastdataError] = field(default_factory=list)

    async def run(self, archive: _SourceArchive) -> None:
        """Archive one source; when that needs a person, say so each minute until all stop."""
        try:
            await archive.run(self.stop)
        except _ALONE as error:
            self.failures.append(error)
            if len(self.failures) == self.size:
                raise
            if self.on_failure is not None:
                self.on_failure(archive.source.name)
            while not self.stop.is_set():
                _log.error("%s is not archived any more: %s", archive.source.name, error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), _REPEAT_S)
