"""A way to a server on which answers get lost."""

import asyncio
from contextlib import suppress
from typing import Self


class LosingProxy:
    """Passes on all, but for the answers to the first writes: these connections are cut.

    Attributes:
        lost: Answers that nobody got, though the server has done what was asked.
    """

    def __init__(self, target_port: int, losses: int) -> None:
        self.lost = 0
        self.port = 0
        self._target_port = target_port
        self._losses = losses

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection("127.0.0.1", self._target_port)
        asked = bytearray()
        passing = asyncio.create_task(self._pass(client, server, asked))
        with suppress(ConnectionError):
            while data := await answers.read(1 << 16):
                if asked.startswith(b"PUT ") and self.lost < self._losses:
                    self.lost += 1
                    break
                asked.clear()
                back.write(data)
                await back.drain()
        passing.cancel()
        for writer in (server, back):
            writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        while data := await source.read(1 << 16):
            seen += data
            sink.write(data)
            await sink.drain()
