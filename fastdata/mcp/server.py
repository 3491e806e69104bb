"""Speaking the protocol: which tools there are, and calling them."""

import json
import logging
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Self

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import (
    PARSE_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ErrorData,
    JSONRPCError,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from fastdata.declare.catalog import Catalog
from fastdata.errors import FastdataError, mask_url
from fastdata.mcp.tools import TOOLS, call
from fastdata.settings import Settings
from fastdata.web.desk import Desk

__all__ = ["make_server", "speak_on_stdio"]

_INSTRUCTIONS = (
    "Metrics over event streams. A number is fresh (of the speed layer: a second old, and slightly"
    " wrong) until a replay has counted the same events exactly; rows say which it is. Begin with"
    " list_metrics. When you tell people a number, say whether it is exact, and its bounds if not."
    " Instants in answers are UTC."
)
_A_BUG = "something is wrong with fastdata itself: what it wrote on stderr has the details"
_log = logging.getLogger(__name__)


async def speak_on_stdio(settings: Settings, catalog: Catalog) -> None:
    """Answer one client on stdin and stdout, until stdin ends.

    Meanwhile whatever else is printed goes to stderr.
    """
    async with Desk.open(settings, catalog, samples=False) as desk:
        server = make_server(desk)
        async with stdio_server() as (requests, responses):
            readable: Any = _Readable(requests, responses)
            await server.run(readable, responses, server.create_initialization_options())


class _Readable:
    """The messages of a client; what is no JSON is answered, for the server would be silent.

    Such is half of a surrogate pair, which some clients write.
    """

    def __init__(self, messages: Any, responses: Any) -> None:
        self._messages, self._responses = messages, responses

    @property
    def last_context(self) -> Any:
        """That of the last message."""
        return self._messages.last_context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while True:
            message: SessionMessage | Exception = await self._messages.__anext__()
            if (refusal := _refusal(message)) is None:
                return message
            await self._responses.send(SessionMessage(refusal))

    async def aclose(self) -> None:
        """Take no more."""
        await self._messages.aclose()


def _refusal(message: object) -> JSONRPCError | None:
    """What a line is answered that is no JSON; None for all others."""
    if not isinstance(message, ValidationError):
        return None
    error = message.errors(include_url=False)[0]
    if error["type"] != "json_invalid":
        return None
    id = None
    with suppress(ValueError, RecursionError):  # Python reads more than is allowed
        asked = json.loads(error["input"])
        id = asked.get("id") if isinstance(asked, dict) else None
    said = f"{error['msg']}; send JSON, a message a line, with whole characters"
    id = id if isinstance(id, str | int) else None
    return JSONRPCError(jsonrpc="2.0", id=id, error=ErrorData(code=PARSE_ERROR, message=said))


def make_server(desk: Desk) -> Server[Any]:
    """A server whose tools ask that desk."""

    async def list_tools(_context: object, _params: object) -> ListToolsResult:
        return ListToolsResult(tools=_listed())

    async def call_tool(_context: object, params: CallToolRequestParams) -> CallToolResult:
        try:
            text = json.dumps(
                await call(desk, params.name, params.arguments or {}), ensure_ascii=False
            )
        except FastdataError as error:
            return _said(mask_url(str(error)), is_error=True)
        except Exception:  # noqa: BLE001  (a call ends here)
            _log.exception("%s", params.name)
            return _said(_A_BUG, is_error=True)
        return _said(text)

    return Server(
        "fastdata",
        version=version("fastdata-lambda"),
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed() -> list[Tool]:
    return [
        Tool(
            name=name,
            description=tool.description,
            input_schema=tool.arguments.model_json_schema(),
            annotations=ToolAnnotations(
                read_only_hint=True, idempotent_hint=True, open_world_hint=False
            ),
        )
        for name, tool in TOOLS.items()
    ]


def _said(text: str, *, is_error: bool = False) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=is_error)
