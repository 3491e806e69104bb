"""Records that are sent to one topic: at least once, and only so many ahead."""

import asyncio
from collections import deque
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker
from fastdata.kafka.topics import check_topic

__all__ = ["MAX_WAITING", "RecordSender"]

MAX_WAITING = 10_000
"""Records that may be under way, unless a sender is told otherwise."""
_START_TIMEOUT_S = 10.0
# An idempotent producer tries for ever by itself, and so would who waits for it.
_ACK_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0


class RecordSender:
    """Sends records to a topic: at least once, in order, and only so many ahead.

    A context manager; leaving it without an error waits until all are acknowledged.

    Args:
        broker: Of the topic.
        topic: Must be there.
        max_waiting: Records that may be under way; `send_record` waits when there are more.

    Attributes:
        acknowledged: Records that all in-sync replicas have.
        unit: What a message calls its records.
    """

    unit = "records"

    def __init__(self, broker: Broker, topic: str, *, max_waiting: int = MAX_WAITING) -> None:
        self.acknowledged = 0
        self._broker = broker
        self._topic = topic
        self._max_waiting = max_waiting
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._lock = asyncio.Lock()
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            MissingTopicError: There is no such topic.
            BrokerError: The broker cannot be reached, or refuses.
        """
        await self._broker.check()
        await check_topic(self._broker, self._topic)
        self._producer = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=5,
            **self._broker.aiokafka(),
        )
        try:
            await asyncio.wait_for(self._producer.start(), _START_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._producer.stop()
            raise self._failure(error) from error
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """Disconnect.

        Raises:
            BrokerError: Records were not acknowledged.
        """
        try:
            if kind is None:
                await self.settle()
        finally:
            for future in self._waiting:
                future.cancel()
            await self._stop()

    async def _stop(self) -> None:
        """End the producer, also one that waits for a broker which is away."""
        producer = self._producer
        try:
            await asyncio.wait_for(producer.stop(), _STOP_TIMEOUT_S)
        except TimeoutError:
            # In this order: it begins nothing more, and what is under way fails at once.
            task = producer._sender.sender_task
            task.cancel()
            await producer.client.close()
            await asyncio.wait({task}, timeout=_STOP_TIMEOUT_S)

    async def send_record(self, value: bytes | None, key: bytes | None = None) -> None:
        """Send one record, or wait until there is room for it.

        Raises:
            BrokerError: An earlier record was not acknowledged.
        """
        async with self._lock:
            await self._settle(self._max_waiting - 1)
            try:
                self._waiting.append(await self._producer.send(self._topic, value, key))
            except (KafkaError, OSError) as error:
                raise self._failure(error) from error

    async def settle(self) -> None:
        """Wait until all are acknowledged.

        Raises:
            BrokerError: A record was not.
        """
        async with self._lock:
            await self._settle(0)

    async def _settle(self, left: int) -> None:
        """Wait until at most `left` records are under way.

        Raises:
            BrokerError: A record was not acknowledged.
        """
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > left):
            # To await the future itself would cancel it with us.
            done, _ = await asyncio.wait({self._waiting[0]}, timeout=_ACK_TIMEOUT_S)
            if not done:
                raise self._failure(TimeoutError(f"no answer for {_ACK_TIMEOUT_S:g} s"))
            try:
                self._waiting[0].result()
            except (KafkaError, OSError) as error:
                raise self._failure(error) from error
            self._waiting.popleft()
            self.acknowledged += 1

    def _failure(self, error: Exception) -> BrokerError:
        return BrokerError(
            f"{self.unit} cannot be sent to {self._topic!r} at {self._broker}: {error!r}; "
            f"{self.acknowledged} {self.unit} are there, and some after them may be: send what is "
            "missing again"
        )
