"""`fastdata status`."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from fastdata.cli.replay import Duration
from fastdata.cli.reporting import minute, second
from fastdata.cli.running import settings_here
from fastdata.coordinates.instants import now_ms
from fastdata.errors import SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fastdata.operate.freshness import Follower
    from fastdata.operate.status import SourceStatus, Status
    from fastdata.store.past_runs import PastRun
    from fastdata.store.protocol import Run

__all__ = ["EXIT_STALE", "status"]

EXIT_STALE = 3


@click.command(short_help="Show how far each layer is, and what it left out.")
@click.option(
    "--max-lag",
    type=Duration(),
    help="Only tell whether workers and archivers keep up: all that came longer ago is read.",
)
@click.option(
    "--max-age",
    type=Duration(),
    help="Only tell whether replays keep up: all that came longer ago is counted exactly.",
)
@click.option(
    "--layer",
    "layers",
    type=click.Choice(["speed", "archive"]),
    multiple=True,
    help="With --max-lag: only this layer. [default: both]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(
    max_lag: timedelta | None,
    max_age: timedelta | None,
    layers: "tuple[Follower, ...]",
    as_json: bool,
) -> None:
    """Show how far each layer is, and what it left out.

    Per partition: the end of the log and, as offsets, what is folded, archived (closed: in
    finished segments) and covered by a replay; the lag of the speed layer in events, and in
    seconds since the oldest of them was sent; and which worker folds it. Then up to when the log
    is read, as answers say it, and how long ago that was; gaps, events that were not folded, dead
    letters, and of each metric the newest replay, how long it took, what it counted or why it
    failed, and when a schedule's next one is due; --json has the newest 50. Last the alerts: what
    is open, and up to when they are judged; --json has the newest 100 events of each.

    Exit code 1 when something could not be reached; the rest is shown. With --max-lag or
    --max-age, for alarms: 0 when all keeps up, 3 when something does not, such as a worker or an
    archiver that is gone, or replays that no longer finish; --json says which limit was passed.

    \b
    Examples:
      fastdata status
      fastdata status --max-lag 60s --max-age 4h
      fastdata status --max-lag 60s --layer speed
      fastdata status --json | jq '.sources[].partitions[].lag'
    """  # noqa: D301  (click wants the backspace)
    if layers and max_lag is None:
        raise click.UsageError("--layer goes with --max-lag")
    if max_lag is not None or max_age is not None:
        followers = (layers or ("speed", "archive")) if max_lag is not None else ()
        sys.exit(_judge(max_lag, max_age, followers, as_json))
    status = asyncio.run(_status())
    if as_json:
        click.echo(json.dumps(status.as_dict(), indent=2))
    else:
        _show(status)
    for problem in status.problems:
        click.echo(f"fastdata: {problem}", err=True)
    sys.exit(1 if status.problems else 0)


def _judge(
    max_lag: timedelta | None,
    max_age: timedelta | None,
    followers: "tuple[Follower, ...]",
    as_json: bool,
) -> int:
    """Say whether the layers keep up; returns the exit code."""
    from fastdata.operate.freshness import late_to_count, late_to_read

    batch = ("batch",) if max_age is not None else ()
    status = asyncio.run(_status({*followers, *batch}))
    late = late_to_read(status, max_lag.total_seconds(), followers) if max_lag else []
    late += late_to_count(status, max_age.total_seconds()) if max_age else []
    if as_json:
        report = {"late": [delay.as_dict() for delay in late], "problems": status.problems}
        click.echo(json.dumps(report))
    elif not late and not status.problems:
        click.echo("all layers keep up" if batch else "all that came is read")
    if problems := [*status.problems, *(delay.text for delay in late)]:
        click.echo(f"fastdata: {'; '.join(problems)}", err=True)
    return 1 if status.problems else EXIT_STALE if late else 0


def _show(status: "Status") -> None:
    from rich.console import Console

    # However narrow the terminal is: a number that is cut would be another number.
    console = Console(width=1_000)
    for source in status.sources:
        console.print(_partitions(source))
        _show_rest(console, source)
    for alert in status.alerts:
        console.print(f"alert {alert.text}", soft_wrap=True, markup=False)


async def _status(only: AbstractSet[str] = frozenset()) -> "Status":
    """The status; a brief one of some layers alone, of `speed`, `archive` and `batch`."""
    from fastdata.archive import open_archive_storage
    from fastdata.declare.catalog import load_folder
    from fastdata.kafka.connection import Broker
    from fastdata.operate.log_reader import LogReader
    from fastdata.operate.status import StatusReader
    from fastdata.store.opening import open_store

    settings = settings_here()
    catalog = load_folder(settings.agents)
    problems: list[str] = []
    archive = None
    async with AsyncExitStack() as stack:
        if not only or "archive" in only:
            with _collecting(problems):
                archive = open_archive_storage(settings.archive, create=False)
        store = None
        if only != {"archive"}:
            opened = open_store("memory:")
            with _collecting(problems):
                opened = open_store(settings.store, create=False)
            store = await stack.enter_async_context(opened)
        with LogReader(Broker.of(settings)) as log:
            reader = StatusReader(
                catalog, store=store, archive=archive, log=log,
                application_id=settings.application_id,
            )  # fmt: skip
            status = await reader.read(now_ms(), is_brief=bool(only), with_runs="batch" in only)
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
    for does, role in (("folds", "worker"), ("archives", "archiver")):
        for member, numbers in _members(source, role).items():
            console.print(f"{member} {does} {', '.join(numbers)}", soft_wrap=True)
    for gap in source.gaps:
        console.print(
            f"gap: partition {gap.partition}, offsets {gap.start:,} to {gap.end:,} were skipped",
            soft_wrap=True,
        )
    for reason, count in source.unfolded.items():
        name = f"dead letters, {reason[5:]}" if reason.startswith("dead:") else reason
        before = source.dead_before.get(reason)
        note = f", {before:,} of them of an earlier log" if before else ""
        console.print(f"{name}: {count:,}{note}")
    for metric, run in source.runs.items():
        earlier = source.earlier.get(metric)
        hint = f"; {earlier.hint}" if earlier else ""
        console.print(f"{metric}: {_describe(run)}{hint}", soft_wrap=True)
        for line in _past(source.past_runs.get(metric, [])):
            console.print(f"  {line}", soft_wrap=True, markup=False)


def _past(runs: "Sequence[PastRun]") -> Iterator[str]:
    """What the newest replay was like, and when the next one is."""
    from fastdata.store.past_runs import next_run

    for run in runs[:1]:
        yield f"{second(run.began)} UTC, took {run.took_s:,.1f} s: {run.result}"
    if (due := next_run(runs)) is not None:
        yield f"the next one {'is' if due > now_ms() else 'was'} due at {second(due)} UTC"


def _members(source: "SourceStatus", role: str) -> dict[str, list[str]]:
    """The partitions of each process that reads some."""
    members: dict[str, list[str]] = {}
    for partition in source.partitions:
        if (member := getattr(partition, role)) is not None:
            members.setdefault(str(member), []).append(str(partition.partition))
    return members


def _read(source: "SourceStatus") -> str:
    if source.read_until is None or source.read_lag_s is None:
        return "read until an unknown time: not every partition has been read"
    return f"read until {second(source.read_until)} UTC, {source.read_lag_s:,.1f} s ago"


def _describe(run: "Run | None") -> str:
    if run is None:
        return "never replayed"
    state = "done" if run.is_done else "not finished; `fastdata replay --resume` finishes it"
    return f"replay {run.number}, {minute(run.start)} to {minute(run.end)} UTC, {state}"
