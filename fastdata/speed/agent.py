"""The Faust agent of one source: hands each event to the speed layer, in the order of the log."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.types import TP, StreamT
from faust.types.tuples import Message

from fastdata.coordinates.epochs import FIRST_EPOCH
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import BrokerError, MapError, SchemaNeededError
from fastdata.events.registry import Registry
from fastdata.speed.effort import Effort
from fastdata.speed.layer import SpeedLayer
from fastdata.speed.skipping import first_to_fold
from fastdata.speed.state import Record
from fastdata.speed.table import ChangelogTable
from fastdata.speed.transport import AsFetched, FoldingConsumer, index_of, records_of
from fastdata.speed.watchdog import Sign

__all__ = ["SourceAgent"]

Fail = Callable[[str, BaseException], None]

_QUEUE_MESSAGES, _RUN_RECORDS = 8, 50
_STRETCH_S = 0.02
_REREAD_EVERY_S = 5.0
_REVOKE_DEADLINE_S = 5.0
_FINISH_DEADLINE_S = 15.0  # half of what the watchdog gives a shutdown
_DELIVERY_LIMIT_S = _FLUSH_LIMIT_S = 60.0

logger = logging.getLogger(__name__)


class SourceAgent:
    """What a worker runs for one source. One event loop only.

    A partition is live from the moment that its state has been opened, in one generation of
    the group. Events of any other time are left alone, for they come again.

    Args:
        fail: Ends the process; called with what failed, and the error. When the map function has
            raised, the agent has let go of its partitions, and the process may go on.

    Attributes:
        failure: Why nothing is folded any more; it is tried again when the group has changed.
        effort: What was done since the start.
    """

    def __init__(self, app: faust.App, source: Source, fail: Fail) -> None:
        self.source = source
        self.metrics: list[Metric] = []
        self.name = f"fastdata-{source.name}"
        self.table = ChangelogTable(app, self.name, before_close=self.finish, fail=fail)
        self.layer: SpeedLayer | None = None
        self.registry: Registry | None = None
        self.epoch = FIRST_EPOCH
        self.failure: MapError | None = None
        self.effort = Effort()
        self._app = app
        self._fail = fail
        self._lock = asyncio.Lock()
        self._live: dict[int, int] = {}  # partition -> generation
        self._is_settled = False  # since Faust resumed the flow after the last `open`
        self._reread_at: dict[int, float] = {}  # partition -> monotonic seconds
        self._waits = 0  # for a schema
        self._is_flushing = False
        app.tables.add(self.table)
        # Without acks it is out of Faust's own bookkeeping of offsets.
        topic = app.topic(source.topic, schema=AsFetched(), acks=False)
        topic.maxsize = _QUEUE_MESSAGES  # app.topic() drops the argument
        app.agent(topic, name=self.name, concurrency=1)(self._run)

    @property
    def _consumer(self) -> FoldingConsumer:
        return cast(FoldingConsumer, self._app.consumer)

    def _tp(self, partition: int) -> TP:
        return TP(self.source.topic, partition)

    async def _run(self, stream: StreamT[Any]) -> None:
        if (layer := self.layer) is None:
            return  # cannot be: the service starts before all agents
        try:
            async for event in stream.events():
                try:
                    await self._take(layer, event.message)
                except MapError as error:
                    self._stop_alone(layer, error)
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge the event and go on
            self._fail(f"folding {self.source.topic}", error)

    def _stop_alone(self, layer: SpeedLayer, error: MapError) -> None:
        """Let go of all partitions, and flush nothing: an event may be in a cell by half.

        They stay assigned, and paused. After the next rebalance, or start, whoever has them opens
        them again and reads on from where they were committed.
        """
        self.failure = error
        self._consumer.pause_partitions({self._tp(p) for p in self._live})
        self._live.clear()
        layer.close(list(layer.partitions))
        self._fail(f"folding {self.source.topic}", error)

    async def _take(self, layer: SpeedLayer, message: Message) -> None:
        """Fold records, once their schemas are here; read again what is missing before them."""
        records, done = records_of(message), 0
        while done < len(records):
            start = done
            try:
                done = self._fold_next(layer, message, records, start)
                if done == start:
                    if not await self._mend(layer, message, records[start]):
                        return  # what is read again brings the others along
                    done += 1
            except SchemaNeededError as needed:
                if self.registry is None:
                    raise
                # The partition may be another's when the schema is here.
                self._waits += 1
                await self.registry.learn(needed.schema_id)
            if layer.is_full:
                await self.flush()
            else:
                await asyncio.sleep(0)  # nothing else would run while the queue is full

    def _fold_next(
        self, layer: SpeedLayer, message: Message, records: Sequence[Record], start: int
    ) -> int:
        """Fold records from an index on, for some 20 ms or until the layer is full; where it ends.

        That is `start` if records are missing before it: one after the position is next only if the
        log has nothing in between. Records of another generation come again.
        """
        tp, generation = message.tp, self._app.consumer_generation_id
        if message.generation_id != generation or self._live.get(tp.partition) != generation:
            return len(records)
        began_s, owned = time.monotonic(), layer.partitions[self.epoch.number(tp.partition)]
        first = index_of(records, owned.position, start)
        try:
            return self._fold_stretch(layer, tp, records, first, began_s + _STRETCH_S)
        finally:
            self.effort.note_fold(index_of(records, owned.position, first) - first, began_s)

    def _fold_stretch(
        self, layer: SpeedLayer, tp: TP, records: Sequence[Record], start: int, deadline: float
    ) -> int:
        number = self.epoch.number(tp.partition)
        owned, limit = layer.partitions[number], layer.dirty_limit(number)
        index, is_over = start, False
        while index < len(records) and not is_over:
            record = records[index]
            if record.offset > owned.position:
                hole, is_head = self._consumer.holes.before(tp, record.offset)
                if hole > owned.position or is_head:
                    return index
                layer.fold(number, record)
                self._consumer.holes.forget(tp, record.offset)
                index += 1
            else:
                room = max(1, min(limit - owned.cells.dirty, _RUN_RECORDS))
                index = layer.fold_run(number, records, index, index + room)
            is_over = owned.cells.dirty >= limit or time.monotonic() > deadline
        return index

    async def _mend(self, layer: SpeedLayer, message: Message, record: Record) -> bool:
        """Fold a record after a hole, or read again what is missing; whether it is folded."""
        if not self._is_settled:
            return False  # `settle` will seek anyway
        tp, offset = message.tp, record.offset
        owned = layer.partitions[number := self.epoch.number(tp.partition)]
        if self._consumer.holes.before(tp, offset)[0] <= owned.position:
            # Nobody but the log made this hole, unless retention has passed us by.
            log_start = await self._log_start(tp)
            if log_start is not None and log_start <= owned.position:
                # The partition may have gone, or come again, while the broker was asked.
                if is_ours := layer.partitions.get(number) is owned:
                    layer.fold(number, record)
                    self.effort.events += 1
                self._consumer.holes.forget(tp, offset)
                return is_ours
        self._consumer.holes.forget(tp, offset)
        await self.reread(tp.partition)
        return False

    async def _log_start(self, tp: TP) -> int | None:
        try:
            return (await self._consumer.earliest_offsets(tp))[tp]
        except KafkaError:
            if self._is_moving:
                return None
            raise

    @property
    def _is_moving(self) -> bool:
        """Whether the group is changing, or the app is stopping: partitions are not ours then."""
        return self._app.should_stop or not self._consumer.flow_active

    async def _seek(self, positions: dict[TP, int]) -> None:
        try:
            await self._consumer.seek_wait(positions)
        except KafkaError:
            if not self._is_moving:
                raise

    async def settle(self) -> None:
        """Read on from where the states are, now that the flow has resumed.

        Faust clears all queues when it resumes the flow, after the seek of `open`: what was
        delivered in between is gone, and nobody would miss it before the next event.

        Raises:
            KafkaError: The seek failed, and not because the group changes.
        """
        self._is_settled = True
        if self.layer is not None and self._live:
            opened, number = self.layer.partitions, self.epoch.number
            await self._seek({self._tp(p): opened[number(p)].read_from for p in self._live})

    async def reread(self, partition: int) -> None:
        """Read a live partition again from where its state is, at most once in 5 s.

        For events that Faust has lost on their way. What is delivered twice is not folded twice.

        Raises:
            FastdataError: The state could not be flushed or a gap not be recorded.
        """
        now = time.monotonic()
        if now - self._reread_at.get(partition, -_REREAD_EVERY_S) < _REREAD_EVERY_S:
            return
        self._reread_at[partition] = now
        layer, tp, generation = self.layer, self._tp(partition), self._live.get(partition)
        log_start = await self._log_start(tp)
        async with self._lock:
            if layer is None or log_start is None or generation is None:
                return
            if self._live.get(partition) != generation:
                return  # revoked while the broker was asked
            offset = layer.partitions[self.epoch.number(partition)].read_from
            logger.warning("%s/%d is read again from offset %d", *tp, offset)
            if log_start > offset:
                offset = await self._open_again(layer, partition, log_start)
            await self._seek({tp: offset})

    async def _open_again(self, layer: SpeedLayer, partition: int, log_start: int) -> int:
        """Go on where the log begins now: retention has passed a worker that was too slow."""
        await layer.flush()
        number, generation = self.epoch.number(partition), self._live.pop(partition)
        position = layer.partitions[number].position
        layer.close([number])
        reach = self._consumer.reach(self._tp(partition)) or (log_start, log_start)
        first = self.epoch.begin.get(partition, 0)
        position = await layer.open(number, position, log_start, max(reach), first=first)
        self._live[partition] = generation
        return position

    async def flush(self) -> None:
        """Make durable what is folded. May block; a caller that is cancelled does not stop it."""
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        if self.layer is None:
            return
        try:
            async with self._lock:
                self._is_flushing, began_s = True, self.effort.begin_flush()
                await self.layer.flush()
                self.effort.note_flush(began_s)
        except Exception as error:  # noqa: BLE001 - what was dirty is not known any more
            self._fail(f"flushing {self.name}", error)
        finally:
            self._is_flushing = False

    async def commit(self, positions: Mapping[int, int]) -> bool:
        """Commit next offsets of partitions that are still live; False when the group refuses."""
        generation = self._app.consumer_generation_id
        assigned = self._consumer.assignment()
        offsets = {
            self._tp(p): offset
            for p, offset in ((self.epoch.partition(n), offset) for n, offset in positions.items())
            if self._live.get(p) == generation and self._tp(p) in assigned
        }
        return bool(offsets) and await self._consumer._commit(offsets)

    async def clean_up(self) -> None:
        """Drop what batch has covered.

        Raises:
            FastdataError: Store or table failed; the process must end.
        """
        if self.layer is not None:
            await self.layer.clean_up()

    async def open(self, consumer: FoldingConsumer) -> None:
        """Open all assigned partitions and seek to where their states are. May block.

        To be called when the tables have recovered, and before the flow resumes.

        Raises:
            FastdataError: A state cannot be read, or a gap not be recorded.
            KafkaError: The broker did not answer, or the group changes again.
        """
        generation = self._app.consumer_generation_id
        tps = sorted(tp for tp in consumer.assignment() if tp.topic == self.source.topic)
        if (layer := self.layer) is None or not tps:
            return
        logs = {tp.partition: TP(self.table.changelog_topic_name, tp.partition) for tp in tps}
        starts = await consumer.earliest_offsets(*tps, *logs.values())
        ends = await consumer.highwaters(*tps, *logs.values())
        starts = await first_to_fold(consumer, self.source, starts, ends)
        committed = await consumer.committed(tps)
        reports = await layer.store.progress(self.source.topic)
        begun = {report.partition for report in reports if report.next_offset}
        async with self._lock:  # a flush of the generation before may still be under way
            if self._app.consumer_generation_id != generation:
                return  # the group has changed meanwhile, and calls again
            self._live = {}  # until all are open, whatever is delivered is left alone
            layer.close(list(layer.partitions))
            seeks = {}
            for tp in tps:
                log = logs[tp.partition]
                self.table.begin(tp.partition, ends[log])
                number = self.epoch.number(tp.partition)
                # The group's offset may be of the epoch before, or a translation of it.
                is_begun = self.epoch.first == 0 or number in begun
                seeks[tp] = await layer.open(
                    number,
                    committed[tp] if is_begun else None,
                    starts[tp],
                    ends[tp],
                    is_intact=self.table.is_intact(tp.partition, starts[log], ends[log]),
                    first=self.epoch.begin.get(tp.partition, 0),
                )
            self._is_settled, self.failure = False, None
            self._live = dict.fromkeys(logs, generation)
            await consumer.seek_wait(seeks)

    async def revoke(self, revoked: set[TP]) -> None:
        """Flush what will belong to others, for at most 5 s, and let it go.

        What is not flushed in time is folded again by its next owner.
        """
        gone = [tp.partition for tp in revoked if tp.topic == self.source.topic]
        if self.layer is None or not gone:
            return
        flushing = asyncio.ensure_future(self._flush())
        await asyncio.wait({flushing}, timeout=_REVOKE_DEADLINE_S)
        if not flushing.done():
            logger.warning("%s: partitions go before their flush is done", self.name)
        self.layer.close(map(self.epoch.number, gone))
        for partition in gone:
            self._live.pop(partition, None)

    async def finish(self) -> None:
        """Flush the tail, for at most 15 s, and let everything go: the app stops."""
        if self.layer is not None:
            try:
                await asyncio.wait_for(self.flush(), _FINISH_DEADLINE_S)
            except TimeoutError:
                waiting = f"broker or store did not take it within {_FINISH_DEADLINE_S:.0f} s"
                self._fail(f"the last flush of {self.name}", BrokerError(waiting))
            self.layer.close(list(self.layer.partitions))
            self._live.clear()

    def signs(self) -> Iterator[Sign]:
        """Signs of life, for the watchdog. Also tells the layer how long the log is."""
        flush = self.effort.flushes if self._is_flushing else None
        yield Sign(f"the flush of {self.name}", flush, _FLUSH_LIMIT_S)
        for partition in list(self._live):
            progress = (lag := self._lag(partition)) and (*lag, self._waits)
            yield Sign(self.sign_of(partition), progress, _DELIVERY_LIMIT_S)

    def sign_of(self, partition: int) -> str:
        """The name of the sign of one partition."""
        return f"{self.source.topic}/{partition}"

    @property
    def live(self) -> list[int]:
        """The partitions that are folded at present."""
        return list(self._live)

    def _lag(self, partition: int) -> tuple[int, int] | None:
        """Position and reach of a partition that is behind; None when it is not."""
        layer, tp = self.layer, self._tp(partition)
        number = self.epoch.number(partition)
        if layer is None or (owned := layer.partitions.get(number)) is None:
            return None
        if (reach := self._consumer.reach(tp)) is None:
            return None
        read_to, end, seen = reach
        # The log may end with markers of transactions, which nobody folds.
        is_behind = owned.position < self._consumer.fetched.get(tp, 0) or read_to < end
        layer.see_end(number, end if is_behind else min(end, owned.position), seen)
        return (owned.position, read_to) if is_behind else None
