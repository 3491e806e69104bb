"""A producer of our own: nothing counts as written before all in-sync replicas have it.

Faust's producer gives up a flush after 100 ms, only logs what failed, and its settings belong
to the app. The changelog and the dead letters cannot live with that.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth, server_list

from fastdata.coordinates.epochs import LogIdentity
from fastdata.errors import BrokerError
from fastdata.kafka.connection import check_servers
from fastdata.kafka.identity import identify
from fastdata.speed.keys import StateRow

__all__ = ["AckedProducer", "OutgoingMessage", "TimedMessage"]

OutgoingMessage = tuple[bytes | None, bytes | None, list[Any]]  # key, value, headers
# The same, and the timestamp, ms UTC; None for that of sending.
TimedMessage = tuple[bytes | None, bytes | None, list[Any], int | None]

_START_TIMEOUT_S = 10.0
_SEND_TIMEOUT_S = 30.0
_METADATA_AGE_MS = 10_000  # after which added partitions are seen
_MAX_BATCH_BYTES = 512 << 10
# A state or a dead letter may be larger than a batch; how large is for its topic to say.
_MAX_REQUEST_BYTES = 64 << 20


class AckedProducer:
    """Sends to the broker of a Faust app: idempotent, `acks=all`, awaited.

    Args:
        app: Its broker and credentials are used.

    Attributes:
        servers: Each as `host:port`.
        security: Arguments for aiokafka's clients.
    """

    def __init__(self, app: faust.App) -> None:
        self.servers: list[str] = server_list(app.conf.broker_producer, 9092)
        self.security: dict[str, Any] = dict(
            credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context)
        )
        self._producer: Any = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerError: The broker cannot be reached within 10 s, or refuses.
        """
        await check_servers(self.servers, **self.security)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.servers,
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_batch_size=_MAX_BATCH_BYTES,
            max_request_size=_MAX_REQUEST_BYTES,
            metadata_max_age_ms=_METADATA_AGE_MS,
            **self.security,
        )
        try:
            await asyncio.wait_for(self._producer.start(), _START_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.stop()
            raise BrokerError(
                f"the broker at {', '.join(self.servers)} cannot be used: {error!r}"
            ) from error

    async def stop(self) -> None:
        """Disconnect; everything that was awaited is written already."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic had some seconds ago; 0 when the broker does not know it.

        A broker that creates topics on demand creates it.
        """
        try:
            numbers = await asyncio.wait_for(self._producer.partitions_for(topic), _START_TIMEOUT_S)
        except (KafkaError, TimeoutError):
            return 0
        return len(numbers)

    async def identify(self, topic: str) -> LogIdentity | None:
        """Which log a topic is; None when there is none.

        Raises:
            BrokerError: The broker did not answer within 30 s.
        """
        return await identify(self._producer.client, topic, _SEND_TIMEOUT_S)

    async def send_rows(self, topic: str, rows: Mapping[int, Sequence[StateRow]]) -> dict[int, int]:
        """Append rows to partitions, in order; see `append`."""
        messages: dict[int, Iterable[TimedMessage]] = {
            partition: ((key, value, [], None) for key, value in appended)
            for partition, appended in rows.items()
        }
        return await self.append(topic, messages)

    async def append(
        self, topic: str, messages: Mapping[int, Iterable[TimedMessage]]
    ) -> dict[int, int]:
        """Append messages to partitions, in order, whole batches at a time.

        Returns:
            Per partition, the offset of its last message.

        Raises:
            BrokerError: Some may be written, some not.
        """
        sent: list[tuple[int, int, Awaitable[Any]]] = []

        async def deliver() -> dict[int, int]:
            for partition, appended in messages.items():
                for batch in self._batches(appended):
                    future = await self._producer.send_batch(batch, topic, partition=partition)
                    sent.append((partition, batch.record_count(), future))
            done = await asyncio.gather(*(future for _, _, future in sent))
            return {
                partition: metadata.offset + count - 1
                for (partition, count, _), metadata in zip(sent, done, strict=True)
            }

        return cast(dict[int, int], await self._within_deadline(deliver(), topic))

    async def send(self, topic: str, messages: Sequence[OutgoingMessage]) -> None:
        """Send messages of key, value and headers.

        Raises:
            BrokerError: Some may be written, some not.
        """

        async def deliver() -> None:
            futures = [
                await self._producer.send(topic, value, key=key, headers=headers)
                for key, value, headers in messages
                if key is not None or value is not None
            ]
            # aiokafka's `send` refuses what has neither key nor value, although Kafka takes it.
            empty = ((*message, None) for message in messages if message[:2] == (None, None))
            futures += [
                await self._producer.send_batch(batch, topic, partition=0)
                for batch in self._batches(empty)
            ]
            await asyncio.gather(*futures)

        await self._within_deadline(deliver(), topic)

    def _batches(self, messages: Iterable[TimedMessage]) -> Iterator[Any]:
        batch = self._producer.create_batch()
        for key, value, headers, timestamp in messages:
            if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                yield batch
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=timestamp, headers=headers)
        if batch.record_count():
            yield batch

    async def _within_deadline(self, work: Awaitable[Any], topic: str) -> Any:
        try:
            return await asyncio.wait_for(work, _SEND_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerError(
                f"topic {topic}: the broker did not acknowledge a write "
                f"({type(error).__name__}: {error}); what it has got is not known"
            ) from error
