"""What clients do besides asking: they hang up, and they ask for the head of an answer alone."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Clients"]


class Clients:
    """Answers HEAD as GET, and gives up what a client that has hung up has asked for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        is_head = scope["method"] == "HEAD"
        scope = {**scope, "method": "GET"}
        answering = asyncio.ensure_future(self._app(scope, _never, send_head if is_head else send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answering.cancel()
        await asyncio.wait((answering,))
        if not answering.cancelled():
            answering.result()


async def _never() -> Message:
    """The body of a GET: nobody reads one, and who waits for its end is cancelled."""
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await never


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # it is gone, too, when it has its answer
