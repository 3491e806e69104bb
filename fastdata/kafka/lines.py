"""Lines of files and of TCP connections as records of a topic, for sources of text or JSON."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable

from fastdata.errors import LineError
from fastdata.kafka.connection import Broker
from fastdata.kafka.sending import MAX_WAITING, RecordSender

__all__ = ["LineSender", "read_connection", "read_descriptor", "send_lines"]

_CHUNK_BYTES = 64 << 10
_MAX_LINE_BYTES = 1 << 20


class LineSender(RecordSender):
    """Sends lines to a topic; see `RecordSender`.

    Args:
        broker: Of the topic.
        topic: Must be there.
        key_of: The key of a line, by which Kafka chooses its partition; where it is None, any.
        max_waiting: Lines that may be under way; `send` waits when there are more.
    """

    unit = "lines"

    def __init__(
        self,
        broker: Broker,
        topic: str,
        key_of: Callable[[bytes], bytes | None] = lambda _: None,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        super().__init__(broker, topic, max_waiting=max_waiting)
        self._key_of = key_of

    async def send(self, line: bytes) -> None:
        """Send one line, or wait until there is room for it.

        Raises:
            BrokerError: An earlier line was not acknowledged.
        """
        await self.send_record(line, self._key_of(line))


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
