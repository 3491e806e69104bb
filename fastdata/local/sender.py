"""Sends events to Kafka, no faster than they are read there."""

import asyncio
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker

__all__ = ["Sender", "Value"]

Value = tuple[bytes | None, bytes]
"""Key and value of an event."""

_BATCH = 1_000
# Of the 5 MiB that the embedded broker keeps of a partition, were nothing compressed. It hands
# out one batch a request, so batches are made large by sending in bursts.
_MAX_BACKLOG_BYTES, _LOW_BACKLOG_BYTES = 3 << 20, 2 << 20
_OVERHEAD_BYTES = 12  # what a record has besides key and value, or more
_TIMEOUT_S = 30


class Sender:
    """Sends key and value pairs to one topic, by their key to a partition, as Java's clients do.

    Holds back when a partition's slowest reader is 3 MiB behind, until it is 2 MiB behind. A
    context manager.

    Args:
        holds_back: False for a broker that keeps everything until it is read.

    Attributes:
        sent: How many events were given to the client so far.
        acknowledged: Per partition, how many of them the broker has.
    """

    def __init__(self, broker: Broker, topic: str, *, holds_back: bool = True) -> None:
        self.sent = 0
        self.acknowledged: Counter[int] = Counter()
        self._topic = topic
        self._holds_back = holds_back
        self._is_held = False
        self._under_way_bytes = 0
        self._unread: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)
        self._unread_bytes: Counter[int] = Counter()
        self._error: KafkaError | None = None
        settings = {
            **broker.librdkafka(),
            "compression.type": "lz4",
            "enable.idempotence": not holds_back,  # of which a mock knows too little
            "linger.ms": 100,
            "log_level": 0,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 0,
        }
        self._producer = Producer(settings, logger=logging.getLogger(__name__))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._producer.purge()

    def note_read(self, offsets: Mapping[int, int]) -> None:
        """Take note of how far the slowest reader of each partition is."""
        for partition, offset in offsets.items():
            unread = self._unread[partition]
            while unread and unread[0][0] < offset:
                self._unread_bytes[partition] -= unread.popleft()[1]

    async def send(self, values: Iterable[Value], rate: float | None = None) -> None:
        """Send all, in order within a partition. They are taken as they are sent.

        Cancelled, it takes no more; `flush` sends what was taken.

        Args:
            rate: At most so many a second; None for as many as are read.

        Raises:
            BrokerError: The broker did not take all of them.
        """
        began = time.monotonic()
        place, is_done = 0, False
        left_over = iter(values)
        while not is_done:
            self._producer.poll(0)
            self._check()
            size = _BATCH if rate is None else int(rate * (time.monotonic() - began)) - place
            if size <= 0 or self._must_wait():
                await asyncio.sleep(0.02)
                continue
            before = self.sent
            # One after another: what was taken is sent, also when the next one cannot be read.
            for key, value in islice(left_over, min(size, _BATCH)):
                self._produce(key, value)
            place += self.sent - before
            is_done = self.sent - before < min(size, _BATCH)
            await asyncio.sleep(0)
        await self.flush()

    async def flush(self) -> None:
        """Wait until the broker has all that was given to the client.

        Raises:
            BrokerError: It did not take all of them.
        """
        deadline_s = time.monotonic() + _TIMEOUT_S
        while left := self.sent - self.acknowledged.total():
            self._producer.poll(0)
            self._check()
            if time.monotonic() > deadline_s:
                raise BrokerError(f"the broker did not take {left:,} events in {_TIMEOUT_S} s")
            await asyncio.sleep(0.02)

    def _produce(self, key: bytes | None, value: bytes) -> None:
        size_bytes = len(key or b"") + len(value) + _OVERHEAD_BYTES
        self._under_way_bytes += size_bytes
        self.sent += 1
        note = partial(self._note, size_bytes)
        try:
            self._producer.produce(self._topic, value, key, on_delivery=note)
        except KafkaException as error:
            self._error = error.args[0]
            self._check()

    def _must_wait(self) -> bool:
        backlog = max(self._unread_bytes.values(), default=0) if self._holds_back else 0
        backlog += self._under_way_bytes
        self._is_held = backlog > (_LOW_BACKLOG_BYTES if self._is_held else _MAX_BACKLOG_BYTES)
        return self._is_held

    def _note(self, size_bytes: int, error: KafkaError | None, message: Message) -> None:
        self._under_way_bytes -= size_bytes
        partition, offset = message.partition(), message.offset()
        if error is not None or partition is None or offset is None:
            self._error = self._error or error
            return
        self.acknowledged[partition] += 1
        if self._holds_back:
            self._unread[partition].append((offset, size_bytes))
            self._unread_bytes[partition] += size_bytes

    def _check(self) -> None:
        if self._error is not None:
            raise BrokerError(
                f"the broker did not take all events for {self._topic!r}: {self._error.str()}; "
                f"{self.acknowledged.total():,} of {self.sent:,} are there"
            )
