"""Lines of files and of TCP connections as records of a topic, for sources of text or JSON."""

import asyncio
import os
import stat
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from fastdata.errors import BrokerError, LineError
from fastdata.kafka.connection import Broker
from fastdata.kafka.topics import check_topic

__all__ = ["LineSender", "read_connection", "read_descriptor", "send_lines"]

_START_TIMEOUT_S = 10.0
_CHUNK_BYTES = 64 << 10
_MAX_LINE_BYTES = 1 << 20
_MAX_WAITING = 10_000


class LineSender:
    """Sends lines to a topic: at least once, and only so many ahead.

    A context manager; leaving it without an error waits until all are acknowledged.

    Args:
        broker: Of the topic.
        topic: Must be there.
        key_of: The key of a line, by which Kafka chooses its partition; where it is None, any.
        max_waiting: Lines that may be under way; `send` waits when there are more.

    Attributes:
        acknowledged: Lines that all in-sync replicas have.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        key_of: Callable[[bytes], bytes | None] = lambda _: None,
        *,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self.acknowledged = 0
        self._key_of = key_of
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
            BrokerError: Lines were not acknowledged.
        """
        try:
            if kind is None:
                async with self._lock:
                    await self._settle(0)
        finally:
            for future in self._waiting:
                future.cancel()
            await self._producer.stop()

    async def send(self, line: bytes) -> None:
        """Send one line, or wait until there is room for it.

        Raises:
            BrokerError: An earlier line was not acknowledged.
        """
        key = self._key_of(line)
        async with self._lock:
            await self._settle(self._max_waiting - 1)
            try:
                self._waiting.append(await self._producer.send(self._topic, line, key))
            except (KafkaError, OSError) as error:
                raise self._failure(error) from error

    async def _settle(self, left: int) -> None:
        """Wait until at most `left` lines are under way.

        Raises:
            BrokerError: A line was not acknowledged.
        """
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > left):
            # To await the future itself would cancel it with us.
            await asyncio.wait({self._waiting[0]})
            try:
                self._waiting[0].result()
            except (KafkaError, OSError) as error:
                raise self._failure(error) from error
            self._waiting.popleft()
            self.acknowledged += 1

    def _failure(self, error: Exception) -> BrokerError:
        return BrokerError(
            f"lines cannot be sent to {self._topic!r} at {self._broker}: {error!r}; "
            f"{self.acknowledged} lines are there, and some after them may be: send what is "
            "missing again"
        )


async def send_lines(
    sender: LineSender, chunks: AsyncIterator[bytes], stop: asyncio.Event | None = None
) -> None:
    """Send the lines in chunks of bytes; the last line may have no end.

    Reads no further while the sender has no room. What has no end because of `stop` is half a line,
    and is not sent.

    Raises:
        LineError: A line is longer than 1 MiB; all before it were sent.
        BrokerError: Lines were not acknowledged.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            await sender.send(line.removesuffix(b"\r"))
        if len(rest) > _MAX_LINE_BYTES:
            raise LineError(f"a line is longer than {_MAX_LINE_BYTES} bytes; is it text?")
    if rest and not (stop and stop.is_set()):
        await sender.send(rest.removesuffix(b"\r"))


async def read_connection(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The bytes of a TCP connection until its other side ends it; it waits while none is taken."""
    while chunk := await reader.read(_CHUNK_BYTES):
        yield chunk


async def read_descriptor(
    descriptor: int, stop: asyncio.Event | None = None
) -> AsyncIterator[bytes]:
    """The bytes of an open file or pipe, as they come.

    Ends when `stop` is set, unless it is a regular file, with all that was taken out of the pipe.
    """
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        while chunk := await asyncio.to_thread(os.read, descriptor, _CHUNK_BYTES):
            yield chunk
        return
    # A thread that waits for a terminal would hold up Ctrl-C.
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(descriptor), "rb", buffering=0)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    stopping = asyncio.ensure_future((stop or asyncio.Event()).wait())
    stopping.add_done_callback(lambda _: transport.close())  # the reader ends with what it has
    try:
        async for chunk in read_connection(reader):
            yield chunk
    finally:
        stopping.cancel()
