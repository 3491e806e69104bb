"""Faust's consumer, in chunks, and with the holes between its parts closed.

A message costs Faust some 100 us, whatever is in it, so records travel through it by the hundred.

Between Kafka and an agent Faust may lose records without a word: queues are cleared after a
seek, iterations break off when the flow stops. That is harmless for those who acknowledge each
record; we commit a position, so we must tell a hole of the log (a transaction marker, a
compacted record) from a hole that Faust made.
"""

import asyncio
import functools
import itertools
import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol, cast

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, EventT, Message
from faust.types.tuples import ConsumerMessage
from mode import ServiceT

from fastdata.errors import SettingsError
from fastdata.speed.membership import give_up_place
from fastdata.speed.state import Record

__all__ = [
    "AsFetched",
    "Chunk",
    "Fetched",
    "FoldingConsumer",
    "Holes",
    "Seeker",
    "index_of",
    "install",
    "records_of",
]

_CHUNK_RECORDS = 500
_MAX_HOLES = 100_000
_STOP_LIMIT_S = 10.0

logger = logging.getLogger(__name__)

# First missing offset; whether it lies at the head of a fetch: then retention may have made it.
Hole = tuple[int, bool]


class Holes(dict[TP, dict[int, Hole]]):
    """Per partition and offset, the hole of the log just before it."""

    def before(self, tp: TP, offset: int) -> Hole:
        """The hole before an offset; where none is known, Faust has lost what is missing."""
        return self.get(tp, {}).get(offset, (offset, True))

    def forget(self, tp: TP, offset: int) -> None:
        """Forget it; a seek in the consumer's thread may have forgotten all of them meanwhile."""
        self.get(tp, {}).pop(offset, None)


class Chunk(list[Record]):
    """Records of one partition, in the order of the log, that travel as one message of Faust.

    They are aiokafka's own, which have the parts of a `Record`: to copy each costs as much as to
    look a cell up. The offset of the message is that of the first.
    """


class Fetched:
    """Some records that were just fetched, until the partition is read from elsewhere.

    One fetch hands over all that was prefetched, and Faust delivers all of it before it fetches
    again: tens of thousands that nobody waits for any more.
    """

    def __init__(self, records: list[Any], tp: TP, seeks: Counter[TP]) -> None:
        self._records, self._tp, self._seeks = records, tp, seeks
        self._sought = seeks[tp]

    def __iter__(self) -> Iterator[Any]:
        return itertools.takewhile(lambda _: not self._is_elsewhere, self._records)

    def chunks(self) -> Iterator[Chunk]:
        """The same, as chunks."""
        for start in range(0, len(self._records), _CHUNK_RECORDS):
            if self._is_elsewhere:
                return
            yield Chunk(self._records[start : start + _CHUNK_RECORDS])

    @property
    def _is_elsewhere(self) -> bool:
        return self._seeks[self._tp] != self._sought


class AsFetched(faust.Schema[Any, Any]):
    """Hands messages on as they were fetched: a chunk is nothing that Faust could decode."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[Any]]:
        """See `faust.Schema`."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return create_event(None, message.value, None, message)

        return decode


class Seeker(Protocol):
    """Who decides where partitions of some topics are read from."""

    @property
    def topics(self) -> set[str]:
        """The topics that it decides about."""

    async def on_seek(self, consumer: "FoldingConsumer") -> None:
        """Called when tables have recovered, before the flow resumes."""

    async def on_commit(self) -> None:
        """Called when Faust commits, and at last when the consumer stops."""


class _FoldingThread(driver.AIOKafkaConsumerThread):
    consumer: "FoldingConsumer"

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust ties the isolation to its own transactions; without this the events of an
        # aborted transaction of a producer are counted.
        if not hasattr(consumer, "_isolation_level"):
            raise SettingsError("this version of aiokafka cannot be told to read committed only")
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_thread_stop(self) -> None:
        """Stop the consumer. At most 10 s, and whatever becomes of it.

        aiokafka cancels its requests and awaits them, and one that waits for a broker that is away
        is cancelled in earnest. That would end this thread before it says so, for which Faust waits
        for ever.
        """
        give_up_place(self._consumer)
        stopping = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait({stopping}, timeout=_STOP_LIMIT_S)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled() and (error := stopping.exception()) is not None:
            logger.warning("the consumer did not stop in order: %r", error)

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Any:
        if active_partitions is not None:  # None in an app that is a client only
            # Faust empties this set when a rebalance begins; to aiokafka an empty one means all.
            active_partitions = set(active_partitions)
            if not active_partitions:
                return {}
        before = self._positions(consumer)
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        if not self.consumer.flow_active:
            # Faust would drop these. Then a recovery that has just sought the start of a
            # changelog waits for ever for what was dropped.
            for tp in consumer.assignment() & records.keys():
                consumer.seek(tp, records[tp][0].offset)
            return {}
        kept: dict[TP, Iterable[Any]] = {**records}
        for tp, fetched in records.items():
            if tp.topic in self.consumer.seeker.topics:
                place = TP(tp.topic, tp.partition)
                self._note_holes(place, fetched, before.get(tp))
                kept[tp] = Fetched(fetched, place, self.consumer.seeks)
        return kept

    async def _seek_wait(self, consumer: AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        # Here, since no fetch can come between the two in this thread.
        for tp in partitions:
            self.consumer.forget(tp)
        await super()._seek_wait(consumer, partitions)

    def _positions(self, consumer: AIOKafkaConsumer) -> dict[TP, int]:
        assigned = consumer._subscription.subscription
        if assigned is None or assigned.assignment is None:
            return {}
        states = ((tp, assigned.assignment.state_value(tp)) for tp in assigned.assignment.tps)
        return {tp: state.position for tp, state in states if state and state.has_valid_position}

    def _note_holes(self, tp: TP, records: list[Any], position: int | None) -> None:
        """Remember the holes in what was fetched: they are in the log, not made by Faust."""
        first, last = records[0].offset, records[-1].offset
        holes = self.consumer.holes.setdefault(tp, {})
        if len(holes) > _MAX_HOLES:
            holes.clear()  # where no hole is known, what is missing is read again
        if position is not None and first > position:
            holes[first] = (position, True)
        if last - first + 1 != len(records):
            after = first
            for record in records:
                if record.offset != after:
                    holes[record.offset] = (after, False)
                after = record.offset + 1
        self.consumer.fetched[tp] = last + 1

    async def _committed(self, tps: list[TP]) -> Mapping[TP, int | None]:
        consumer = self._ensure_consumer()
        return {tp: await consumer.committed(TopicPartition(*tp)) for tp in tps}


class _ReadOffsets(dict[TP, int | None]):
    """Faust's read offsets, without a say over our topics.

    Faust drops what lies before its read offset, and sets that late: a record that was under
    way during a seek back would make it drop everything that is read again.
    """

    def __init__(self, topics: set[str]) -> None:
        super().__init__()
        self._topics = topics

    def __missing__(self, tp: TP) -> None:
        return None

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic in self._topics else super().__getitem__(tp)


class FoldingConsumer(driver.Consumer):
    """Faust's consumer for topics whose offsets belong to a speed layer.

    Attributes:
        holes: Per partition and offset, the hole of the log just before it.
        fetched: Per partition, the offset after the last record that left the fetcher.
        seeks: Per partition, how many times it was sought.
    """

    _thread: _FoldingThread

    def __init__(self, *args: Any, seeker: Seeker, **kwargs: Any) -> None:
        self.seeker = seeker
        self.holes = Holes()
        self.fetched: dict[TP, int] = {}
        self.seeks = Counter[TP]()
        self._fetching: asyncio.Task[Any] | None = None
        super().__init__(*args, **kwargs)
        self._read_offset = _ReadOffsets(seeker.topics)

    def _new_consumer_thread(self) -> _FoldingThread:
        return _FoldingThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        fetched: Any = await super()._getmany(active_partitions, timeout)
        readers = Counter(name for channel in self.app.topics for name in channel.topics)
        # Other agents of our topics get what Faust would give them.
        chunked = {topic for topic in self.seeker.topics if readers[topic] == 1}
        return {
            tp: records.chunks() if tp.topic in chunked else records
            for tp, records in fetched.items()
        }

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Chunk):
            return super()._to_message(tp, record)
        first = record[0]
        value = cast(bytes, record)  # nobody but `AsFetched` looks at it
        return ConsumerMessage(
            tp.topic, tp.partition, first.offset, 0.0, 0, None, None, value,
            None, tp=tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what agents of users have done, too."""
        await self.seeker.on_commit()
        return await super().commit(topics, start_new_transaction)

    async def perform_seek(self) -> None:
        """Seek all to the committed offsets, and ours to where their state says."""
        # The fetcher calls this too, while the flow is stopped for a rebalance; then the
        # recovery that follows the rebalance decides.
        is_recovered = asyncio.current_task() is not self._fetching
        await super().perform_seek()
        if is_recovered:
            await self.seeker.on_seek(self)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        self._fetching = asyncio.current_task()
        await super()._drain_messages(fetcher)

    def on_buffer_full(self, tp: TP) -> None:
        """Leave our partitions to the queue's own limit.

        Faust takes a partition with a full queue out of the fetch and may forget to take it
        in again after a rebalance. A full queue makes the fetcher wait anyway.
        """
        if tp.topic not in self.seeker.topics:
            super().on_buffer_full(tp)

    async def committed(self, tps: list[TP]) -> Mapping[TP, int | None]:
        """The group's offsets; None where it never committed."""
        committed = await self._thread.call_thread(self._thread._committed, tps)
        return cast(Mapping[TP, int | None], committed)

    async def offsets_since(self, tps: list[TP], time_ms: int) -> dict[TP, int]:
        """The first offset whose record is not older, of partitions that have such a record."""
        thread = self._thread
        times = {TopicPartition(*tp): time_ms for tp in tps}
        lookup = thread._ensure_consumer().offsets_for_times
        offsets = await thread.call_thread(lookup, times)
        return {TP(*tp): place.offset for tp, place in offsets.items() if place is not None}

    def reach(self, tp: TP) -> tuple[int, int, int] | None:
        """The next offset to fetch, the end of what may be fetched, and when that was so, ms UTC.

        None when they are not known.
        """
        assigned = self._thread._ensure_consumer()._subscription.subscription
        state = assigned and assigned.assignment and assigned.assignment.state_value(tp)
        if not state or not state.has_valid_position or state.highwater is None:
            return None
        stable = state.lso
        end = state.highwater if stable in {None, -1} else stable
        return state.position, end, state.timestamp

    def group_error(self) -> BaseException | None:
        """What has ended our part in the group for good; None while nothing has.

        aiokafka raises it at the next fetch, which never comes: Faust fetches nothing while it
        waits for partitions.
        """
        consumer = self._thread._consumer
        return getattr(consumer and consumer._coordinator, "_pending_exception", None)

    def stay(self) -> None:
        """Stay in the group although nothing is fetched, since a full queue makes the fetcher wait.

        aiokafka leaves when nobody has fetched for the poll interval, and joins again when
        somebody does; Faust fetches when it has joined. Call it again and again: a worker that
        makes no progress is the watchdog's business.
        """
        if (consumer := self._thread._consumer) is not None:
            consumer._subscription._last_fetch_ended = time.monotonic()

    def forget(self, tp: TP) -> None:
        """Forget and drop what was fetched of a partition, before it is read from elsewhere."""
        self.seeks[tp] += 1
        self.holes.pop(tp, None)
        self.fetched.pop(tp, None)


def records_of(message: Message) -> Sequence[Record]:
    """The records of a message: a chunk, or one alone where other agents read its topic, too."""
    value = cast(object, message.value)
    if isinstance(value, Chunk):
        return value
    sent_s = message.timestamp
    timestamp = None if sent_s is None else round(sent_s * 1000)
    headers = cast(list[tuple[str, bytes]], message.headers or ())
    return [Record(message.offset, timestamp, message.key, message.value, headers)]


def index_of(records: Sequence[Record], offset: int, start: int) -> int:
    """The index, `start` or later, of the first record that does not come before an offset."""
    return bisect_left(records, offset, start, key=attrgetter("offset"))


def install(app: faust.App, seeker: Seeker) -> None:
    """Make an app use our consumer. It must not have started yet.

    Raises:
        SettingsError: The app has started, or its transport is not `kafka://` by aiokafka.
    """
    if app._consumer is not None:
        raise SettingsError(f"attach() comes too late: the app {app.conf.id!r} has a consumer")
    transport = app.transport
    if not isinstance(transport, driver.Transport) or transport.Consumer is not driver.Consumer:
        raise SettingsError(
            f"the app {app.conf.id!r} has a transport of its own ({type(transport).__name__}); "
            "fastdata works with kafka:// and Faust's own consumer"
        )
    # On the object, not the class, and before the conductor asks for a consumer.
    transport.Consumer = functools.partial(FoldingConsumer, seeker=seeker)  # type: ignore
