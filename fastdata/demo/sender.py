"""Sends events to Kafka, no faster than they are read there."""

import asyncio
import logging
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Self

from confluent_kafka import Producer

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker

__all__ = ["Message", "Sender"]

Message = tuple[bytes, bytes]

_BATCH = 1_000
# Of the 5 MiB that the embedded broker keeps of a partition, about 3, were nothing compressed.
# It hands out one batch a request, so batches are made large by sending in bursts.
_MAX_BACKLOG, _LOW_BACKLOG = 30_000, 20_000


class Sender:
    """Sends key and value pairs to one topic, by the key's CRC-32 to a partition.

    Holds back when a partition's slowest reader is 30,000 events behind, until it is 20,000
    behind. A context manager.

    Args:
        holds_back: False for a broker that keeps everything until it is read.

    Attributes:
        sent: Events per partition, so far.
    """

    def __init__(
        self, broker: Broker, topic: str, partitions: int, *, holds_back: bool = True
    ) -> None:
        self.sent: Counter[int] = Counter()
        self._read: Mapping[int, int] = {}
        self._topic = topic
        self._partitions = partitions
        self._holds_back = holds_back
        settings = {
            **broker.librdkafka(),
            "compression.type": "lz4",
            "linger.ms": 100,
            "log_level": 0,
            "queue.buffering.max.messages": 2 * _MAX_BACKLOG * partitions,
        }
        self._producer = Producer(settings, logger=logging.getLogger(__name__))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._producer.purge()

    def note_read(self, offsets: Mapping[int, int]) -> None:
        """Take note of how far the slowest reader of each partition is."""
        self._read = offsets

    async def send(self, messages: Iterable[Message], rate: float | None = None) -> None:
        """Send all, in order within a partition. They are taken as they are sent.

        Args:
            rate: At most so many a second; None for as many as are read.

        Raises:
            BrokerError: The broker did not take all of them.
        """
        began = time.monotonic()
        place, is_held, is_done = 0, False, False
        left_over = iter(messages)
        while not is_done:
            size = _BATCH if rate is None else int(rate * (time.monotonic() - began)) - place
            backlog = max((n - self._read.get(p, 0) for p, n in self.sent.items()), default=0)
            is_held = backlog > (_LOW_BACKLOG if is_held else _MAX_BACKLOG)
            if size <= 0 or (is_held and self._holds_back):
                await asyncio.sleep(0.02)
                continue
            batch = list(islice(left_over, min(size, _BATCH)))
            for key, value in batch:
                partition = zlib.crc32(key) % self._partitions
                self._producer.produce(self._topic, value, key, partition=partition)
                self.sent[partition] += 1
            place += len(batch)
            is_done = len(batch) < min(size, _BATCH)
            self._producer.poll(0)
            await asyncio.sleep(0)
        left = await asyncio.to_thread(self._producer.flush, 30)
        if left:
            raise BrokerError(f"the broker did not take {left:,} events within 30 s")
