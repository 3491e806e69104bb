"""All that a topic holds, read once; nothing joins a group or commits."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker, client_id

__all__ = ["TopicReader"]

_TIMEOUT_S = 30.0


class TopicReader:
    """Reads topics from their beginning to their end of now. A context manager.

    Args:
        broker: Of the topics.
        role: What the client calls itself to the brokers.
    """

    def __init__(self, broker: Broker, role: str) -> None:
        self._broker = broker
        self._role = role
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: The broker cannot be reached, or refuses.
        """
        await self._broker.check()
        self._consumer = AIOKafkaConsumer(
            client_id=client_id(self._role), enable_auto_commit=False, **self._broker.aiokafka()
        )
        await self._asking(self._consumer.start())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._consumer.stop()

    async def read(self, topic: str, since_ms: int | None = None) -> AsyncIterator[Any]:
        """The records that are there now, in the order of each partition; none without the topic.

        Args:
            since_ms: Only those of that time or later, ms UTC.

        Raises:
            BrokerError: The broker did not answer for 30 s.
        """
        consumer = self._consumer
        if topic not in await self._asking(consumer.topics()):
            return
        numbers = await self._asking(consumer._client._wait_on_metadata(topic))
        places = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(places)
        starts, ends = await self._reach(places, since_ms)
        for place in places:
            consumer.seek(place, starts[place])
        left = {place for place in places if starts[place] < ends[place]}
        least = -1 if since_ms is None else since_ms  # -1 is a record without a time
        heard_s = time.monotonic()
        while left:
            batches = await self._asking(consumer.getmany(*left, timeout_ms=500))
            for place, records in batches.items():
                heard_s = time.monotonic()
                for record in records:
                    if record.offset < ends[place] and record.timestamp >= least:
                        yield record
            left = {place for place in left if await consumer.position(place) < ends[place]}
            if time.monotonic() - heard_s > _TIMEOUT_S:
                raise BrokerError(f"the broker {self._broker} sent nothing of {topic} for 30 s")

    async def _reach(self, places: list[Any], since_ms: int | None) -> tuple[Any, Any]:
        """Where to begin in each partition, and where it ends."""
        ends = await self._asking(self._consumer.end_offsets(places))
        if since_ms is not None:
            times = dict.fromkeys(places, since_ms)
            first = await self._asking(self._consumer.offsets_for_times(times))
            if any(first.values()):  # the embedded broker finds none, whatever it has
                return {p: at.offset if at else ends[p] for p, at in first.items()}, ends
        return await self._asking(self._consumer.beginning_offsets(places)), ends

    async def _asking(self, question: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(question, _TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerError(f"the broker {self._broker} did not answer: {error!r}") from error
