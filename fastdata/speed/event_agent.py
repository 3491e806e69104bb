"""Agents of users: each gets the decoded events of one source, in the order of the log.

Its position is the event after the last one that its function was done with, and what the group
commits: nobody else in the app reads the topic. So each event comes at least once.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.types import TP, StreamT
from faust.types.tuples import Message

from fastdata.declare.source import Source
from fastdata.errors import (
    AgentError,
    BadEventError,
    FastdataError,
    MapError,
    SchemaNeededError,
)
from fastdata.events.decoder import NO_TIMESTAMP, Decoder, Event
from fastdata.events.registry import Registry
from fastdata.speed.remembering import PartitionMemory, first_of_past
from fastdata.speed.state import DeadLetter, DeadLetters, Record
from fastdata.speed.transport import AsFetched, FoldingConsumer, records_of
from fastdata.speed.watchdog import Sign

__all__ = ["AgentEvent", "EventAgent", "EventFunction"]

_QUEUE_MESSAGES = 100
_REREAD_EVERY_S = 5.0
_REREAD_AFTER_S = 20.0
_EVENT_LIMIT_S = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One event, and where it stands in the log. `event["amount"]` is one of its fields.

    Attributes:
        fields: By name, as the source's map function left them.
        time: Event time, ms UTC.
        id: The event's own id; None when the source declares none or it is null.
        key: Of the record.
        timestamp: Of the record, ms UTC, and not the event's time; -1 when it has none.
        memory: The function's own, of the partition; see `fastdata.agent`.
        is_past: Whether it was done before, and comes to be remembered alone.
    """

    fields: dict[str, Any]
    time: int
    id: str | int | None
    key: bytes | None
    partition: int
    offset: int
    timestamp: int
    memory: dict[Any, Any]
    is_past: bool

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


EventFunction = Callable[[AsyncIterator[AgentEvent]], Awaitable[None]]


class EventAgent:
    """What an app runs for one function of a user. One event loop only.

    Args:
        function: Gets the events. What it raises ends the process: Faust would go on without the
            event.
        fail: Ends the process; called with what failed, and the error.
        remember_ms: How much of the past of a partition it gets, before it goes on.

    Attributes:
        decoder: Set before it starts, as are the next two.
    """

    decoder: Decoder
    registry: Registry
    letters: DeadLetters

    def __init__(
        self,
        app: faust.App,
        source: Source,
        function: EventFunction,
        fail: Callable[[str, BaseException], None],
        remember_ms: int = 0,
    ) -> None:
        self.source = source
        self.name = f"{source.name}-{getattr(function, '__name__', 'agent')}"
        self._app = app
        self._function = function
        self._fail = fail
        self._remember_ms = remember_ms
        self._positions: dict[int, int] = {}
        self._first_new: dict[int, int] = {}  # what lies before is past
        self._memories: dict[int, PartitionMemory] = {}
        self._committed: dict[int, int] = {}
        self._generation = -1
        self._reread_at: dict[int, float] = {}  # partition -> monotonic seconds
        self._place = ""  # of the event in hand
        topic = app.topic(source.topic, schema=AsFetched(), acks=False)
        topic.maxsize = _QUEUE_MESSAGES  # app.topic() drops the argument
        app.agent(topic, name=self.name, concurrency=1)(self._run)

    @property
    def _consumer(self) -> FoldingConsumer:
        return cast(FoldingConsumer, self._app.consumer)

    async def open(self, consumer: FoldingConsumer) -> None:
        """Take all assigned partitions, and seek to where the group has come, or to their past.

        Raises:
            KafkaError: The broker did not answer, or the group changes again.
        """
        generation = self._app.consumer_generation_id
        tps = sorted(tp for tp in consumer.assignment() if tp.topic == self.source.topic)
        committed = await consumer.committed(tps)
        starts, ends = await consumer.earliest_offsets(*tps), await consumer.highwaters(*tps)
        places = dict[TP, int]()
        for tp in tps:
            offset = committed[tp]
            if offset is not None and not starts[tp] <= offset <= ends[tp]:
                logger.warning(
                    "%s: %s/%d was read to offset %d, and has %d to %d: it goes on with the first",
                    self.name, *tp, offset, starts[tp], ends[tp],
                )  # fmt: skip
                offset = None
            places[tp] = starts[tp] if offset is None else offset
        positions = await self._past_of(consumer, places)
        if self._app.consumer_generation_id != generation:
            return  # the group has changed meanwhile, and calls again
        self._generation, self._committed = generation, {}
        self._first_new = {tp.partition: place for tp, place in places.items()}
        self._positions = {tp.partition: position for tp, position in positions.items()}
        self._memories = {
            p: self._memories[p] if self._knows(p, position) else PartitionMemory(end=position)
            for p, position in self._positions.items()
        }
        await self.settle()

    async def _past_of(self, consumer: FoldingConsumer, places: dict[TP, int]) -> dict[TP, int]:
        """From where each partition is read so that the function knows its past at its place."""
        new = {tp: o for tp, o in places.items() if not self._knows(tp.partition, o)}
        if not self._remember_ms or not new:
            return places
        return places | await first_of_past(consumer, new, self._remember_ms)

    def _knows(self, partition: int, place: int) -> bool:
        """Whether the function knows all before a place, since nobody has done any meanwhile."""
        return partition in self._memories and self._memories[partition].end == place

    async def settle(self) -> None:
        """Read on from the positions; see `SourceAgent.settle`.

        Raises:
            KafkaError: The seek failed, and not because the group changes.
        """
        topic = self.source.topic
        with self._unless_moving():
            await self._consumer.seek_wait({TP(topic, p): o for p, o in self._positions.items()})

    @contextmanager
    def _unless_moving(self) -> Iterator[None]:
        """Let the broker's errors pass while the group changes, or the app stops."""
        try:
            yield
        except KafkaError:
            if not self._app.should_stop and self._consumer.flow_active:
                raise

    def revoke(self, revoked: set[TP]) -> None:
        """Let partitions go: what is done of their events from now on is not committed."""
        for tp in revoked:
            if tp.topic == self.source.topic:
                self._positions.pop(tp.partition, None)

    async def commit(self) -> None:
        """Commit what was done since it was committed last."""
        topic, consumer = self.source.topic, self._consumer
        if self._generation != self._app.consumer_generation_id:
            return
        done = {
            p: o
            for p, o in self._positions.items()
            if self._committed.get(p) != o and o >= self._first_new[p]
        }
        offsets = {
            TP(topic, p): o for p, o in done.items() if TP(topic, p) in consumer.assignment()
        }
        if offsets and await consumer._commit(offsets):
            self._committed |= done

    def signs(self) -> Iterator[Sign]:
        """Signs of life, for the watchdog: events wait, and none is done for a minute."""
        # Before the first time that it is opened, the consumer may not have started.
        for tp in self._consumer.assignment() if self._generation >= 0 else ():
            if tp.topic == self.source.topic and tp.partition not in self._positions:
                waiting = None if self._app.rebalancing else "not open"
                yield Sign(self._sign_of(tp.partition), waiting, _EVENT_LIMIT_S)
        for partition, position in self._positions.items():
            reach = self._consumer.reach(tp := TP(self.source.topic, partition))
            fetched = self._consumer.fetched.get(tp, 0)
            is_behind = position < fetched or (reach is not None and reach[0] < reach[1])
            progress = (position, reach and reach[0]) if is_behind else None
            yield Sign(self._sign_of(partition), progress, _EVENT_LIMIT_S)

    def _sign_of(self, partition: int) -> str:
        return f"{self.name} in {self.source.topic}/{partition}"

    async def reread(self, age_s: Callable[[str], float]) -> None:
        """Read again what Faust has lost behind the last event that came.

        Args:
            age_s: For how many seconds a sign of life, by its name, has shown no progress.
        """
        for partition in list(self._positions):
            if age_s(self._sign_of(partition)) > _REREAD_AFTER_S:
                await self._read_again(partition)

    async def _read_again(self, partition: int) -> None:
        """Read on from a position, or from where the log begins now; at most once in 5 s."""
        now, generation = time.monotonic(), self._generation
        if now - self._reread_at.get(partition, -_REREAD_EVERY_S) < _REREAD_EVERY_S:
            return
        self._reread_at[partition] = now
        tp = TP(self.source.topic, partition)
        with self._unless_moving():
            log_start = (await self._consumer.earliest_offsets(tp))[tp]
            position = self._positions.get(partition)
            if position is None or self._generation != generation:
                return  # it has gone, or `open` has sought meanwhile
            if log_start > position:
                logger.warning(
                    "%s: Kafka has deleted offsets %d to %d of %s/%d before they were read",
                    self.name, position, log_start - 1, *tp,
                )  # fmt: skip
                self._positions[partition] = log_start
            await self._consumer.seek_wait({tp: self._positions[partition]})

    async def _run(self, stream: StreamT[Any]) -> None:
        self._is_over = False
        try:
            await self._function(self._events(stream))
            if not self._is_over and not self._app.should_stop:
                raise AgentError(f"it returned after {self._place}; let it go on to the end")
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge the event and go on
            failure: FastdataError
            if isinstance(error, FastdataError) and not isinstance(error, MapError):
                failure = error
            else:
                failure = AgentError(f"{type(error).__name__}: {error}; mend it and start again")
                failure.__cause__ = error
            self._fail(f"agent {self.name} at {self._place}", failure)

    async def _events(self, stream: StreamT[Any]) -> AsyncIterator[AgentEvent]:
        async for event in stream.events():
            message = event.message
            for record in records_of(message):
                if not self._is_ours(message):
                    break
                if record.offset < self._positions[message.tp.partition]:
                    continue
                if self._is_torn_before(message.tp, record.offset):
                    await self._read_again(message.tp.partition)
                    break  # what is read again brings the others along
                partition = message.tp.partition
                self._place = f"{self.source.topic}/{partition}, offset {record.offset}"
                memory = self._memories[partition]
                is_past = record.offset < self._first_new[partition]
                decoded = await self._decode(partition, record, is_past=is_past)
                if not self._is_ours(message):
                    break
                if decoded is not None and decoded.fields is not None:
                    sent = NO_TIMESTAMP if record.timestamp is None else record.timestamp
                    memory.end = -1
                    yield AgentEvent(
                        decoded.fields, decoded.time, decoded.id, record.key, partition,
                        record.offset, sent, memory.kept, is_past,
                    )  # fmt: skip
                if self._is_ours(message):  # it may be another's by now, who gets it again
                    memory.end = self._positions[partition] = record.offset + 1
        self._is_over = True

    def _is_ours(self, message: Message) -> bool:
        generation = self._app.consumer_generation_id
        is_live = message.generation_id == generation == self._generation
        return is_live and message.tp.partition in self._positions

    def _is_torn_before(self, tp: TP, offset: int) -> bool:
        """Whether Faust has lost what comes before an offset that lies not before the position.

        What the log itself has not, as markers of transactions, is missing without harm.
        """
        position = self._positions[tp.partition]
        return offset > position and self._consumer.holes.before(tp, offset)[0] > position

    async def _decode(self, partition: int, record: Record, *, is_past: bool) -> Event | None:
        """The event of a record; None when it cannot be read, and lies among the dead letters."""
        sent = NO_TIMESTAMP if record.timestamp is None else record.timestamp
        while True:
            try:
                return self.decoder.decode(record.value, sent)
            except SchemaNeededError as needed:
                await self.registry.learn(needed.schema_id)
            except BadEventError as error:
                why = error.stage, error.reason, error.detail
                if not is_past:
                    letter = DeadLetter(self.source.topic, partition, record, *why)
                    await self.letters.send([letter])
                return None
