"""A way to a server on which answers get lost."""

import asyncio
from contextlib import closing, suppress
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
        self._serving = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await asyncio.sleep(0)  # what was accepted has begun
        for task in self._serving:  # whose clients may keep their connections
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # sockets close in the next turn of the loop

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._serving.add(task)
        with closing(back):
            answers, server = await asyncio.open_connection("127.0.0.1", self._target_port)
            with closing(server):
                asked = bytearray()
                passing = asyncio.create_task(self._pass(client, server, asked))
                try:
                    await self._answer(answers, back, asked)
                finally:
                    passing.cancel()

    async def _answer(
        self, answers: asyncio.StreamReader, back: asyncio.StreamWriter, asked: bytearray
    ) -> None:
        with suppress(ConnectionError):
            while data := await answers.read(1 << 16):
                if asked.startswith(b"PUT ") and self.lost < self._losses:
                    self.lost += 1
                    break
                asked.clear()
                back.write(data)
                await back.drain()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        while data := await source.read(1 << 16):
            seen += data
            sink.write(data)
            await sink.drain()
