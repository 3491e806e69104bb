"""`fastdata replay`."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from fastdata.cli.bars import open_bar
from fastdata.cli.completion import complete_metric
from fastdata.cli.monitoring import metrics_port
from fastdata.cli.reporting import show_report
from fastdata.cli.schedule import repeat
from fastdata.coordinates.instants import parse_duration, parse_instant

if TYPE_CHECKING:
    from fastdata.batch.job import Engine
    from fastdata.batch.reports import ReplayProgress, ReplayReport

__all__ = ["Duration", "Instant", "progress_fields", "replay"]


class _ReplayOptions(TypedDict):
    start: int | None
    end: int | None
    dry_run: bool
    resume: bool
    force: bool
    workers: int | None
    max_writes_per_s: int | None
    engine: "Engine | None"


class Instant(click.ParamType):
    """An instant as an option, ms UTC."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The instant; a mistake ends the command with a hint."""
        try:
            return value if isinstance(value, int) else parse_instant(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType):
    """A duration above 0, as in 90s or 4h."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The duration; a mistake ends the command with a hint."""
        if isinstance(value, timedelta):
            return value
        try:
            duration = timedelta(milliseconds=parse_duration(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not duration:
            self.fail("it must be above 0", param, ctx)
        return duration


@click.command(short_help="Count an interval again from the archive, exactly.")
@click.option("--from", "start", type=Instant(), help="UTC unless it says so. [default: all]")
@click.option("--to", "end", type=Instant(), help="The end, exclusive. [default: all]")
@click.option(
    "--metric",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this one; repeatable.",
    shell_complete=complete_metric,
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--resume", is_flag=True, help="Finish what was interrupted, over its own range.")
@click.option("--force", is_flag=True, help="Count again what is up to date, too.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes; 0 counts in this one. [default: by the work and the machine]",
)
@click.option(
    "--max-writes-per-s",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Write totals no faster, for the sake of readers and workers. [default: no limit]",
)
@click.option(
    "--engine",
    type=click.Choice(["rows", "columns"]),
    help="What folds the events; both give the same. [default: columns, which are faster, where "
    "they can]",
)
@click.option(
    "--every",
    type=Duration(),
    metavar="DURATION",
    help="Do it now and at each multiple of this in UTC, until stopped.",
)
@click.option(
    "--window",
    type=Duration(),
    metavar="DURATION",
    help="With --every: how far back hours are counted again. [default: 30d]",
)
@metrics_port
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, without a progress bar.")
def replay(
    names: tuple[str, ...],
    as_json: bool,
    every: timedelta | None,
    window: timedelta | None,
    metrics_port: int | None,
    **options: Unpack[_ReplayOptions],
) -> None:
    """Count an interval again from the archive, exactly.

    Counts the hours that got events since they were last counted, with repeated events removed,
    and shows readers each hour's new numbers at once. What is up to date stays as it is.
    --from and --to are widened to whole hours; without them it is all days with archived events.

    With --every it goes on until SIGTERM or Ctrl-C, which end it within some 2 s, with exit
    code 0; the next start finishes what was interrupted. Hours before the window are left alone:
    when events come for them, a line says which command counts them. A store or an archive that
    is away is tried again; what trying again cannot heal ends it with exit code 1. --json prints
    a line for each run.

    \b
    Examples:
      fastdata replay
      fastdata replay --from 2013-01-01 --to 2013-02-01
      fastdata replay --metric departures --dry-run
      fastdata replay --max-writes-per-s 5000
      fastdata replay --resume
      fastdata replay --every 4h
      fastdata replay --every 1d --window 90d --json
    """  # noqa: D301  (click wants the backspace)
    if every is not None:
        _refuse_for_schedule(options)
        limits = options["workers"], options["max_writes_per_s"], options["engine"]
        asyncio.run(repeat(names, every, window, *limits, metrics_port, as_json))
        return
    if metrics_port is not None:
        raise click.UsageError("--metrics-port belongs to --every")
    if window is not None:
        raise click.UsageError("--window belongs to --every; name a range with --from and --to")
    with ExitStack() as stack:
        try:
            bar = None if as_json else open_bar(stack, "replay", "events, 0/s", progress_fields())
            report = asyncio.run(_replay(names, options, bar))
        except KeyboardInterrupt:
            stack.close()
            click.echo(
                "interrupted: what is published stays; fastdata replay --resume finishes it",
                err=True,
            )
            raise
    if as_json:
        click.echo(json.dumps(report.as_dict()))
    else:
        show_report(report)


def _refuse_for_schedule(options: _ReplayOptions) -> None:
    """A schedule has a range of its own, resumes by itself, and writes."""
    refused = {
        "--from": options["start"],
        "--to": options["end"],
        "--dry-run": options["dry_run"],
        "--resume": options["resume"],
        "--force": options["force"],
    }
    for name, value in refused.items():
        if value not in (None, False):
            raise click.UsageError(f"{name} cannot be combined with --every: leave one of them out")


async def _replay(
    names: Sequence[str],
    options: _ReplayOptions,
    on_progress: "Callable[[ReplayProgress], None] | None",
) -> "ReplayReport":
    from fastdata.archive import open_archive_storage
    from fastdata.batch.replay import replay as replay_metrics
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings
    from fastdata.store.opening import open_store

    settings = Settings.load()
    metrics = load_folder(settings.agents).chosen(names)
    # First: who has no archive has nothing to count, whatever there is of a store.
    archive = open_archive_storage(settings.archive, create=False)
    async with open_store(settings.store) as store:
        return await replay_metrics(
            metrics,
            store=store,
            archive=archive,
            complete=not names,
            on_progress=on_progress,
            **options,
        )


def progress_fields() -> "Callable[[ReplayProgress], dict[str, Any]]":
    """What the bar shows of a replay that begins now: events, then longer windows."""
    began = time.monotonic()

    def fields(progress: "ReplayProgress") -> dict[str, Any]:
        if progress.total_rollups:
            return {
                "total": progress.total_rollups,
                "completed": progress.rollups,
                "unit": "longer windows",
                "description": "rolling up",
            }
        rate = progress.events / max(time.monotonic() - began, 0.001)
        return {
            "total": progress.total_events,
            "completed": progress.events,
            "unit": f"events, {rate:,.0f}/s",
            "description": f"{progress.spans:,} of {progress.total_spans:,} spans",
        }

    return fields
