"""Running the application until it is stopped."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from fastdata.errors import SettingsError

__all__ = ["serve"]

_END_S = 10
_BACKLOG = 2_048
_HEAD_BYTES = 1 << 16  # a long condition, percent-encoded


class _WebServer(uvicorn.Server):
    """Leaves signals to those who run it, and tells them when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


async def serve(
    app: FastAPI, host: str, port: int, stop: asyncio.Event, on_ready: Callable[[str], None]
) -> None:
    """Serve until `stop` is set; what is being answered is answered, and streams end.

    Args:
        app: Of `make_app`.
        port: 0 for any that is free.
        on_ready: Told the address, as a URL, once requests are taken.

    Raises:
        SettingsError: The address is taken, or none of this machine.
    """
    with _listener(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_END_S,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        server = _WebServer(config, lambda: on_ready(url))
        ending = asyncio.create_task(_end(app, server, stop))
        try:
            await server.serve([listener])
        finally:
            ending.cancel()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"port {port} of {host} cannot be listened at ({error.strerror}): give another one"
            " with --port, or another address of this machine with --host"
        ) from error


async def _end(app: FastAPI, server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    app.state.desk.changes.end()  # streams would never be over by themselves
    server.should_exit = True
