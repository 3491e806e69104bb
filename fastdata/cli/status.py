"""`fastdata status`."""

import asyncio
import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from fastdata.cli.reporting import minute, second
from fastdata.declare.catalog import load_folder
from fastdata.errors import SettingsError, StoreUnavailableError
from fastdata.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fastdata.operate.status import SourceStatus, Status
    from fastdata.store.protocol import Run

__all__ = ["status"]


@click.command(short_help="Show how far each layer is, and what it left out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(as_json: bool) -> None:
    """Show how far each layer is, and what it left out.

    Per partition: the end of the log and, as offsets, what is folded, archived (closed: in
    finished segments) and covered by a replay; the lag of the speed layer in events, and in
    seconds since the oldest of them was sent. Then up to when the log is read, as answers say it,
    and how long ago that was; gaps, events that were not folded, dead letters, and the newest
    replay of each metric.

    Exit code 1 when something could not be reached; the rest is shown.

    \b
    Examples:
      fastdata status
      fastdata status --json | jq '.sources[].partitions[].lag'
    """  # noqa: D301  (click wants the backspace)
    status = asyncio.run(_status(Settings.load()))
    if as_json:
        click.echo(json.dumps(status.as_dict(), indent=2))
    else:
        from rich.console import Console

        console = Console()
        for source in status.sources:
            console.print(_partitions(source))
            _show_rest(console, source)
    for problem in status.problems:
        click.echo(f"fastdata: {problem}", err=True)
    sys.exit(1 if status.problems else 0)


async def _status(settings: Settings) -> "Status":
    from fastdata.archive import open_archive_storage
    from fastdata.kafka.connection import Broker
    from fastdata.operate.status import LogReader, StatusReader
    from fastdata.store.opening import open_store

    catalog = load_folder(settings.agents)
    problems = []
    try:
        archive = open_archive_storage(settings.archive, create=False)
    except SettingsError as error:
        problems.append(str(error))
        archive = open_archive_storage("memory:///")
    try:
        opened = open_store(settings.store, create=False)
    except StoreUnavailableError as error:
        problems.append(str(error))
        opened = open_store("memory:")
    async with opened as store:
        with LogReader(Broker.of(settings)) as log:
            reader = StatusReader(catalog, store=store, archive=archive, log=log)
            status = await reader.read(int(time.time() * 1000))
    return replace(status, problems=(*problems, *status.problems))


def _partitions(source: "SourceStatus") -> "Table":
    from rich.table import Table

    title = f"{source.source} (topic {source.topic})"
    table = Table(title=title, title_justify="left")
    names = ("log_end", "folded", "archived", "closed", "covered", "lag")
    for name in ("partition", *names, "lag_s"):
        table.add_column(name.replace("_", " "), justify="right")
    for partition in source.partitions:
        offsets = (getattr(partition, name) for name in names)
        shown = ("?" if offset is None else f"{offset:,}" for offset in offsets)
        seconds = "?" if partition.lag_s is None else f"{partition.lag_s:,.1f}"
        table.add_row(str(partition.partition), *shown, seconds)
    return table


def _show_rest(console: "Console", source: "SourceStatus") -> None:
    console.print(_read(source), soft_wrap=True)
    for gap in source.gaps:
        console.print(
            f"gap: partition {gap.partition}, offsets {gap.start:,} to {gap.end:,} were skipped",
            soft_wrap=True,
        )
    for reason, count in source.unfolded.items():
        name = f"dead letters, {reason[5:]}" if reason.startswith("dead:") else reason
        console.print(f"{name}: {count:,}")
    for metric, run in source.runs.items():
        earlier = source.earlier.get(metric)
        hint = f"; {earlier.hint}" if earlier else ""
        console.print(f"{metric}: {_describe(run)}{hint}", soft_wrap=True)


def _read(source: "SourceStatus") -> str:
    if source.read_until is None or source.read_lag_s is None:
        return "read until an unknown time: not every partition has been read"
    return f"read until {second(source.read_until)} UTC, {source.read_lag_s:,.1f} s ago"


def _describe(run: "Run | None") -> str:
    if run is None:
        return "never replayed"
    state = "done" if run.is_done else "not finished; `fastdata replay --resume` finishes it"
    return f"replay {run.number}, {_span(run.start, run.end)}, {state}"


def _span(start: int, end: int) -> str:
    return f"{minute(start)} to {minute(end)} UTC"
