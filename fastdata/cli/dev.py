"""`fastdata dev`."""

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fastdata.declare.source import Source

__all__ = ["dev"]


@click.command(short_help="Run everything for the project in this folder.")
@click.option(
    "--load",
    "loads",
    multiple=True,
    metavar="[SOURCE=]FILE",
    help="Send the events of a file first; repeatable. Without SOURCE it is the only one, or the "
    "one of the file's name.",
)
@click.option("--rate", type=click.FloatRange(min=1), help="Events a second. [default: all]")
@click.option(
    "--exit", "exits", is_flag=True, help="End when all is loaded and exact; print the answers."
)
@click.option(
    "--log",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What a line of the log is; with json the answers of --exit are JSON, too.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8_000,
    show_default=True,
    help="Of the page on this machine; another that is free where it is taken, or for 0.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log also what goes well.")
def dev(
    loads: tuple[str, ...],
    rate: float | None,
    exits: bool,
    form: str,
    port: int,
    verbose: bool,
) -> int:
    """Run everything for the project in this folder, until Ctrl-C.

    A broker, the topics, a worker, the archive, a replay whenever a minute has brought something,
    and, with the extra `web`, the page that shows all of it. The broker is an embedded one unless
    FASTDATA_BROKER, or fastdata.toml, names yours. Changes in agents/ and schemas/ are taken up; a
    file with a mistake is told, and the declarations before it go on.

    Ctrl-C ends all in order, and exact: what was sent is folded, archived and counted before. A
    second Ctrl-C ends at once. What was archived stays: the next start counts on. The embedded
    broker keeps 5 MiB of a partition in memory, so --load sends no faster than events are folded
    and archived.

    Exit code 0: all is exact. 1: it is not, or a part could not start; the log says which.

    \b
    Examples:
      fastdata dev
      fastdata dev --load flights.jsonl --load orders=exports/2024.csv
      fastdata dev --load flights.jsonl --exit
      FASTDATA_BROKER=kafka:9092 fastdata dev --log json
    """  # noqa: D301  (click wants the backspace)
    from fastdata.cli.dev_log import DevLog
    from fastdata.cli.dev_start import load_declared
    from fastdata.cli.developing import develop
    from fastdata.settings import Settings

    settings = Settings.load()
    catalog = load_declared(settings.agents)
    files = [_file(text, catalog.sources) for text in loads]
    log = DevLog(as_json=form == "json", is_verbose=verbose)
    return asyncio.run(develop(settings, catalog, files, rate, _page_port(port), log, exits=exits))


def _page_port(wish: int) -> int | None:
    """A free port, that one if it is; None where nothing is installed that serves."""
    from fastdata.web import missing_packages

    if missing_packages():
        return None
    for port in (wish, 0):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            chosen: int = listener.getsockname()[1]
            return chosen
    return None


def _file(text: str, sources: "Mapping[str, Source]") -> "tuple[Source, Path]":
    """The source and the file of a --load."""
    name, sign, file = text.partition("=")
    if not sign or name not in sources:
        name, file = "", text  # the name of a file may have one, too
    path = Path(file)
    if not path.is_file():
        raise click.BadParameter(f"there is no file {file}", param_hint="'--load'")
    if not name:
        name = path.stem.split(".")[0] if len(sources) > 1 else next(iter(sources))
    if name not in sources:
        raise click.BadParameter(
            f"of which source is {file}? Write SOURCE={file}; the sources are: "
            f"{', '.join(sorted(sources))}",
            param_hint="'--load'",
        )
    return sources[name], path
