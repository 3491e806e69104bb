"""Speaking the protocol: which tools there are, and calling them."""

import json
import logging
from importlib.metadata import version
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    TextContent,
    Tool,
    ToolAnnotations,
)

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
            await server.run(requests, responses, server.create_initialization_options())


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
