"""Which log each source is and was; and the beginning of another epoch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from fastdata.archive import ArchiveReader, ArchiveStorage, add_epoch, load_epochs
from fastdata.coordinates.epochs import Epoch, LogIdentity, epoch_of
from fastdata.declare.source import Source
from fastdata.errors import BrokerError, EpochError
from fastdata.kafka.connection import Broker
from fastdata.kafka.identity import identify
from fastdata.store.protocol import Progress, ServingStore

__all__ = ["COMMITTED", "EARLIEST", "LATEST", "Begin", "EpochReport", "Epochs"]

EARLIEST, LATEST, COMMITTED = "earliest", "latest", "committed"

Begin = str | int
"""`earliest`, `latest`, `committed`, or a time of the log, ms UTC."""


@dataclass(frozen=True, slots=True)
class EpochReport:
    """The epochs of a source.

    Attributes:
        epochs: All, the oldest first.
        log: What the broker says now; None when it has no such topic.
        begun: Whether the newest epoch was begun by this call, or would be.
        unarchived: Of the epoch that ends, per partition of Kafka, how many events the speed layer
            has folded that are not in the archive: they stay in answers, and are never exact.
    """

    source: str
    topic: str
    epochs: tuple[Epoch, ...]
    log: LogIdentity | None
    begun: bool = False
    unarchived: Mapping[int, int] | None = None

    @property
    def is_current(self) -> bool:
        """Whether the log is that of the newest epoch, or there was none."""
        return self.log is not None and not (self.epochs and self.log.is_other(self.epochs[-1].log))

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "source": self.source,
            "topic": self.topic,
            "is_current": self.is_current,
            "begun": self.begun,
            "log": self.log and {"cluster": self.log.cluster, "topic_id": self.log.topic},
            "epochs": [
                {
                    "cluster": epoch.log.cluster,
                    "topic_id": epoch.log.topic,
                    "first_partition": epoch.first,
                    "begin": {str(p): offset for p, offset in sorted(epoch.begin.items())},
                }
                for epoch in self.epochs
            ],
            "unarchived": {str(p): count for p, count in (self.unarchived or {}).items()},
        }


@dataclass(frozen=True, slots=True)
class Epochs:
    """Reads and begins epochs.

    Attributes:
        store: None where there is none yet.
        application_id: Whose archiver committed, for `committed`.
    """

    broker: Broker
    storage: ArchiveStorage
    store: ServingStore | None
    application_id: str

    async def read(self, source: Source) -> EpochReport:
        """The epochs of a source, and what the broker says.

        Raises:
            BrokerError: It does not answer.
            EpochError: Archive and store have counted other logs under the same numbers.
            ArchiveUnavailableError: The archive does not.
            StoreUnavailableError: The store does not.
        """
        async with _Log(self.broker, source.topic, self._group(source)) as log:
            identity = await log.identify()
        return EpochReport(source.name, source.topic, await self._epochs(source), identity)

    async def begin(
        self, source: Source, begin: Begin | None, *, dry_run: bool = False
    ) -> EpochReport:
        """Begin the epoch of the log that the broker has now. Idempotent.

        Args:
            begin: Where it begins; None: at the start of a topic that was made again, and of
                another cluster nowhere.

        Raises:
            EpochError: There is no such topic, or nobody says where to begin; or as `read`.
            BrokerError: The broker does not answer.
            ArchiveConflictError: Somebody else begins one at this moment.
        """
        epochs = await self._epochs(source)
        async with _Log(self.broker, source.topic, self._group(source)) as log:
            report = EpochReport(source.name, source.topic, epochs, await log.identify())
            if report.log is None:
                raise EpochError(f"there is no topic {source.topic!r} at {self.broker}")
            if report.is_current or not epochs:
                return report
            newest = epochs[-1]
            if begin is None and newest.log.cluster != report.log.cluster:
                raise EpochError(
                    f"topic {source.topic!r} is now in cluster {report.log.cluster}, which may "
                    "have events that were counted in the one before: say where the new epoch "
                    "begins, with --from earliest, latest, committed or the time of the move"
                )
            archived = (await ArchiveReader(self.storage, source).snapshot()).durable
            begun = {newest.partition(number) for number, end in archived.items() if end}
            offsets = await log.offsets(EARLIEST if begin is None else begin, begun)
        folded = {
            report.partition: report.next_offset
            for report in await self._reports(source)
            if report.partition >= newest.first
        }
        numbers = max([newest.first, *archived, *folded]) - newest.first + 1
        epoch = Epoch(report.log, newest.next_first(numbers), offsets)
        if not dry_run:
            stored = await load_epochs(self.storage, source.topic)
            for number, former in enumerate(epochs[len(stored) :], len(stored)):
                await add_epoch(self.storage, source.topic, number, former)
            await add_epoch(self.storage, source.topic, len(epochs), epoch)
        missing = {
            newest.partition(number): offset - archived.get(number, 0)
            for number, offset in sorted(folded.items())
            if offset > archived.get(number, 0)
        }
        return replace(report, epochs=(*epochs, epoch), begun=True, unarchived=missing)

    def _group(self, source: Source) -> str:
        return f"{self.application_id}-archive-{source.name}"

    async def _reports(self, source: Source) -> list[Progress]:
        return list(await self.store.progress(source.topic)) if self.store else []

    async def _epochs(self, source: Source) -> tuple[Epoch, ...]:
        """Those of the archive; where it has none, what the store says."""
        reports = [report for report in await self._reports(source) if report.epoch]
        if epochs := await load_epochs(self.storage, source.topic):
            for report in reports:
                epoch, log = epoch_of(epochs, report.partition), LogIdentity.load(report.epoch)
                if epoch is not None and log.is_other(epoch.log):
                    raise EpochError(
                        f"the store has events of another log of {source.topic!r}, {log.shown}, "
                        f"than the archive, {epoch.log.shown}: check FASTDATA_STORE and "
                        "FASTDATA_ARCHIVE. If both are right, the archive was begun too late, with "
                        "a log that is not the first: begin another archive"
                    )
            return epochs
        return (Epoch(LogIdentity.load(reports[0].epoch)),) if reports else ()


class _Log:
    """The topic as a member of a group sees it, who reads and commits nothing."""

    def __init__(self, broker: Broker, topic: str, group: str) -> None:
        self._broker, self._topic, self._group = broker, topic, group
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        await self._broker.check()
        self._consumer = AIOKafkaConsumer(
            group_id=self._group, enable_auto_commit=False, **self._broker.aiokafka()
        )
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            await self._consumer.stop()
            raise BrokerError(f"the broker {self._broker} cannot be used: {error!r}") from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._consumer.stop()

    async def identify(self) -> LogIdentity | None:
        return await identify(self._consumer._client, self._topic)

    async def offsets(self, begin: Begin, archived: Collection[int]) -> dict[int, int]:
        """Where each partition begins; of one that begins with its log there is no entry.

        Args:
            archived: Of the others nothing was, so that nobody has committed anything of them.
        """
        try:
            numbers = await self._consumer._client._wait_on_metadata(self._topic)
            places = [TopicPartition(self._topic, partition) for partition in numbers]
            offsets = await self._find(places, begin, archived)
        except (KafkaError, OSError) as error:
            raise BrokerError(f"the broker {self._broker} did not answer: {error!r}") from error
        return {place.partition: offset for place, offset in sorted(offsets.items()) if offset}

    async def _find(
        self, places: list[TopicPartition], begin: Begin, archived: Collection[int]
    ) -> Mapping[Any, int]:
        if begin == EARLIEST:
            return cast(Mapping[Any, int], await self._consumer.beginning_offsets(places))
        ends: dict[Any, int] = await self._consumer.end_offsets(places)
        if begin == LATEST:
            return ends
        if begin == COMMITTED:
            self._consumer.assign(places)
            offsets = {place: await self._consumer.committed(place) or 0 for place in places}
            if missing := [
                p.partition for p, at in offsets.items() if not at and p.partition in archived
            ]:
                raise EpochError(
                    f"the group {self._group!r} has committed nothing of topic {self._topic!r}, "
                    f"partition {missing[0]}, in this cluster: give a time, earliest or latest"
                )
            return offsets
        records = await self._consumer.offsets_for_times(dict.fromkeys(places, begin))
        return {place: at.offset if at else ends[place] for place, at in records.items()}
