"""Real flights through both layers into SQLite, and an assistant that starts `fastdata mcp`."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent, Tool

from fastdata.demo.flights import Flight, read_flights
from fastdata.events.schema import encode
from fastdata.store.opening import open_store
from fastdata.verify.verify import verify
from tests.agreement.driver import Log, Loop
from tests.agreement.stages import Deployment

__all__ = ["FRESH", "REPLAYED", "Assistant", "assisted", "deploy", "flights", "late"]

ROOT = Path(__file__).parents[2]
REPLAYED, FRESH = 1_500, 300  # flights: those that were replayed, and those that came later
_SEGMENT = 100


def flights() -> list[Flight]:
    """The first ones of 2013, in the order in which they left."""
    return list(islice(read_flights(), REPLAYED + FRESH))


def late(coming: Sequence[Flight]) -> int:
    """How many of them left more than two hours behind the newest schedule before."""
    newest, count = 0, 0
    for flight in coming:
        time = int(str(flight.record["scheduled_departure"]))
        newest = max(newest, time)
        count += time < newest - 2 * 3_600_000
    return count


def deploy(folder: Path) -> None:
    """A folder as users have it: most flights are replayed and verified, the newest are fresh."""
    # A flight that leaves two hours late is late for the speed layer.
    changes = {'id="flight_id",': f'id="flight_id", lateness="2h", segment_size={_SEGMENT},'}
    agents = ROOT / "agents" / "flights.py"
    deployment = Deployment(folder, agents, ROOT / "schemas", changes)
    asyncio.run(_count(deployment))


async def _count(deployment: Deployment) -> None:
    loop = deployment.loop(Log(1))
    coming = flights()
    async with open_store(f"sqlite:///{deployment.folder / 'store.db'}") as store:
        await loop.start(store)
        await _fold(loop, deployment, coming[:REPLAYED])
        await loop.archive()
        await loop.replay()
        await verify(loop.metrics, store=store, archive=loop.archived, store_result=True)
        await _fold(loop, deployment, coming[REPLAYED:])


async def _fold(loop: Loop, deployment: Deployment, coming: list[Flight]) -> None:
    for flight in coming:
        loop.log.send(0, encode(deployment.schema, flight.record), flight.arrival)
    await loop.drain()


class Assistant:
    """A client of a running server."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal = portal
        self.client = client

    def tools(self) -> list[Tool]:
        return self._portal.call(self.client.list_tools).tools

    def ask(self, tool: str, **arguments: object) -> dict[str, Any]:
        """The answer; `from_` is `from`."""
        text, is_error = self._call(tool, arguments)
        assert not is_error, text
        answer: dict[str, Any] = json.loads(text)
        return answer

    def refusal(self, tool: str, **arguments: object) -> str:
        """What is said of what cannot be answered."""
        text, is_error = self._call(tool, arguments)
        assert is_error, text
        return text

    def _call(self, tool: str, arguments: dict[str, object]) -> tuple[str, bool]:
        named = {name.rstrip("_"): value for name, value in arguments.items()}
        result = self._portal.call(self.client.call_tool, tool, named)
        assert isinstance(result, CallToolResult)
        (content,) = result.content
        assert isinstance(content, TextContent)
        return content.text, result.is_error


@contextmanager
def assisted(folder: Path, mode: str = "auto", **variables: str) -> Iterator[Assistant]:
    """An assistant whose server writes what is no answer to `stderr` of the folder.

    Args:
        mode: "legacy" is the handshake of the protocol's versions of 2025 and before.
    """
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "fastdata", "mcp", "--dir", str(folder)],
        cwd=folder.parent,  # where assistants begin is not where a project lies
        env=variables,
    )
    with (folder / "stderr").open("w") as errors, start_blocking_portal() as portal:
        client = Client(stdio_client(server, errlog=errors), mode=mode)
        with portal.wrap_async_context_manager(client):
            yield Assistant(portal, client)
