"""`fastdata status`."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from fastdata.cli.replay import Duration
from fastdata.cli.reporting import minute, second
from fastdata.coordinates.instants import now_ms
from fastdata.errors import SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fastdata.operate.freshness import Follower
    from fastdata.operate.status import SourceStatus, Status
    from fastdata.store.protocol import Run

__all__ = ["EXIT_STALE", "status"]

EXIT_STALE = 3


@click.command(short_help="Show how far each layer is, and what it left out.")
@click.option(
    "--max-age",
    type=Duration(),
    help="Only tell, in one line, whether the layers keep up: all that came longer ago is read.",
)
@click.option(
    "--layer",
    "layers",
    type=click.Choice(["speed", "archive"]),
    multiple=True,
    help="With --max-age: only this layer. [default: both]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(max_age: timedelta | None, layers: "tuple[Follower, ...]", as_json: bool) -> None:
    """Show how far each layer is, and what it left out.

    Per partition: the end of the log and, as offsets, what is folded, archived (closed: in
    finished segments) and covered by a replay; the lag of the speed layer in events, and in
    seconds since the oldest of them was sent. Then up to when the log is read, as answers say it,
    and how long ago that was; gaps, events that were not folded, dead letters, and the newest
    replay of each metric.

    Exit code 1 when something could not be reached; the rest is shown. With --max-age: 0 when all
    keeps up, 3 when something does not, such as a worker or an archiver that is gone.

    \b
    Examples:
      fastdata status
      fastdata status --max-age 60s --layer speed
      fastdata status --json | jq '.sources[].partitions[].lag'
    """  # noqa: D301  (click wants the backspace)
    if max_age is not None:
        sys.exit(_judge(max_age, layers or ("speed", "archive"), as_json))
    if layers:
        raise click.UsageError("--layer goes with --max-age")
    status = asyncio.run(_status())
    if as_json:
        click.echo(json.dumps(status.as_dict(), indent=2))
    else:
        _show(status)
    for problem in status.problems:
        click.echo(f"fastdata: {problem}", err=True)
    sys.exit(1 if status.problems else 0)


def _judge(max_age: timedelta, layers: "tuple[Follower, ...]", as_json: bool) -> int:
    """Say whether the layers keep up; returns the exit code."""
    from fastdata.operate.freshness import stale

    status = asyncio.run(_status(layers))
    late = stale(status, max_age.total_seconds(), layers)
    if as_json:
        click.echo(json.dumps({"stale": late, "problems": status.problems}))
    elif not late and not status.problems:
        click.echo("all that came is read")
    if problems := [*status.problems, *late]:
        click.echo(f"fastdata: {'; '.join(problems)}", err=True)
    return 1 if status.problems else EXIT_STALE if late else 0


def _show(status: "Status") -> None:
    from rich.console import Console

    console = Console()
    for source in status.sources:
        console.print(_partitions(source))
        _show_rest(console, source)


async def _status(only: "tuple[Follower, ...]" = ()) -> "Status":
    """The status; a brief one of some layers alone."""
    from fastdata.archive import open_archive_storage
    from fastdata.declare.catalog import load_folder
    from fastdata.kafka.connection import Broker
    from fastdata.operate.log_reader import LogReader
    from fastdata.operate.status import StatusReader
    from fastdata.settings import Settings
    from fastdata.store.opening import open_store

    settings = Settings.load()
    catalog = load_folder(settings.agents)
    problems: list[str] = []
    archive = None
    async with AsyncExitStack() as stack:
        if only != ("speed",):
            with _collecting(problems):
                archive = open_archive_storage(settings.archive, create=False)
        store = None
        if only != ("archive",):
            opened = open_store("memory:")
            with _collecting(problems):
                opened = open_store(settings.store, create=False)
            store = await stack.enter_async_context(opened)
        with LogReader(Broker.of(settings)) as log:
            reader = StatusReader(catalog, store=store, archive=archive, log=log)
            status = await reader.read(now_ms(), is_brief=bool(only))
    return replace(status, problems=(*problems, *status.problems))


@contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except (SettingsError, StoreUnavailableError) as error:
        problems.append(str(error))


def _partitions(source: "SourceStatus") -> "Table":
    from rich.table import Table

    title = f"{source.source} (topic {source.topic})"
    table = Table(title=title, title_justify="left")
    names = ("log_end", "folded", "archived", "closed", "covered", "lag")
    for name in ("partition", *names, "lag_s", "read s ago"):
        table.add_column(name.replace("_", " "), justify="right")
    for partition in source.partitions:
        offsets = (getattr(partition, name) for name in names)
        shown = ("?" if offset is None else f"{offset:,}" for offset in offsets)
        ages = (partition.lag_s, partition.read_age_s)
        seconds = ("?" if age is None else f"{age:,.1f}" for age in ages)
        table.add_row(str(partition.partition), *shown, *seconds)
    return table


def _show_rest(console: "Console", source: "SourceStatus") -> None:
    console.print(_read(source), soft_wrap=True)
    for partition in source.partitions:
        if partition.read_age_s is None:
            console.print(f"partition {partition.partition}: no worker has read it yet")
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
    return f"replay {run.number}, {minute(run.start)} to {minute(run.end)} UTC, {state}"
