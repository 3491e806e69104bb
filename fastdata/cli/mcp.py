"""`fastdata mcp`."""

import asyncio
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from fastdata.cli.query import spare_pandas

__all__ = ["mcp"]


@click.command(short_help="Let an assistant ask for metrics and how the layers are.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder with fastdata.toml and agents/. [default: the working folder]",
)
def mcp(folder: Path | None) -> None:
    """Answer an assistant that speaks the Model Context Protocol, on stdin and stdout.

    The assistant starts this command itself: docs/assistants.md shows what to write into its
    configuration. It can list metrics, query one, read the status and have differences between
    fresh and exact numbers explained; nothing is written. FASTDATA_WEB_MAX_ROWS and
    FASTDATA_WEB_TIMEOUT_S limit an answer. Needs the extra `mcp`.

    \b
    Examples:
      fastdata mcp
      fastdata mcp --dir /srv/shop
      FASTDATA_STORE=postgresql://reader@db/fastdata fastdata mcp
    """  # noqa: D301  (click wants the backspace)
    if folder is not None:
        os.chdir(folder)  # assistants start commands in folders of their own
    asyncio.run(_mcp())


async def _mcp() -> None:
    from fastdata.declare.catalog import load_folder
    from fastdata.mcp import check_installed
    from fastdata.settings import Settings

    check_installed()
    from fastdata.mcp.server import speak_on_stdio

    settings = Settings.load()
    with redirect_stdout(sys.stderr):  # stdout is for answers, whatever a file of agents prints
        catalog = load_folder(settings.agents)
    spare_pandas()
    if sys.stdin.isatty():
        click.echo(
            "fastdata: an assistant is to start this, not a person; Ctrl-C ends it", err=True
        )
    await speak_on_stdio(settings, catalog)
