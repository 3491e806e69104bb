"""`fastdata replay`."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from fastdata.cli.bars import open_bar
from fastdata.loading import load_folder
from fastdata.settings import Settings
from fastdata.windows import parse_instant, to_datetime

if TYPE_CHECKING:
    from fastdata.batch.reports import MetricReport, Progress, ReplayReport

__all__ = ["replay"]


class _Options(TypedDict):
    start: int | None
    end: int | None
    dry_run: bool
    resume: bool
    force: bool
    workers: int | None
    max_writes_per_s: int | None


class _Instant(click.ParamType):
    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return value if isinstance(value, int) else parse_instant(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Count an interval again from the archive, exactly.")
@click.option("--from", "start", type=_Instant(), help="UTC unless it says so. [default: all]")
@click.option("--to", "end", type=_Instant(), help="The end, exclusive. [default: all]")
@click.option("--metric", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
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
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, without a progress bar.")
def replay(names: tuple[str, ...], as_json: bool, **options: Unpack[_Options]) -> None:
    """Count an interval again from the archive, exactly.

    Counts the hours that got events since they were last counted, with repeated events removed,
    and shows readers each hour's new numbers at once. What is up to date stays as it is.
    --from and --to are widened to whole hours; without them it is all days with archived events.

    \b
    Examples:
      fastdata replay
      fastdata replay --from 2013-01-01 --to 2013-02-01
      fastdata replay --metric departures --dry-run
      fastdata replay --max-writes-per-s 5000
      fastdata replay --resume
    """  # noqa: D301  (click wants the backspace)
    with ExitStack() as stack:
        try:
            report = asyncio.run(_replay(names, options, None if as_json else _bar(stack)))
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
        _show(report)


async def _replay(
    names: Sequence[str],
    options: _Options,
    on_progress: "Callable[[Progress], None] | None",
) -> "ReplayReport":
    from fastdata.archive import open_archive_storage
    from fastdata.batch.replaying import replay as replay_metrics
    from fastdata.serving.opening import open_store

    settings = Settings.load()
    catalog = load_folder(settings.agents)
    metrics = [catalog.metric(name) for name in dict.fromkeys(names)] or [*catalog.metrics.values()]
    async with open_store(settings.store) as store:
        return await replay_metrics(
            metrics,
            store=store,
            archive=open_archive_storage(settings.archive, create=False),
            complete=not names,
            on_progress=on_progress,
            **options,
        )


def _bar(stack: ExitStack) -> "Callable[[Progress], None] | None":
    bar = open_bar(stack, "events, {task.fields[rate]:,.0f}/s")
    if bar is None:
        return None
    task = bar.add_task("replay", total=None, rate=0.0)

    def update(progress: "Progress") -> None:
        seconds = max(bar.tasks[0].elapsed or 0.0, 0.001)
        bar.update(
            task,
            total=progress.total_events,
            completed=progress.events,
            rate=progress.events / seconds,
            description=f"{progress.spans:,} of {progress.total_spans:,} spans",
        )

    return update


def _show(report: "ReplayReport") -> None:
    would = "would be " if report.is_dry_run else ""
    for metric in report.metrics:
        if metric.start == metric.end:
            click.echo(f"{metric.metric}: nothing is archived yet in whole segments")
            continue
        click.echo(
            f"{metric.metric}: {to_datetime(metric.start):%Y-%m-%d %H:%M} to "
            f"{to_datetime(metric.end):%Y-%m-%d %H:%M} UTC, {metric.recomputed:,} hours {would}"
            f"counted, {metric.relabelled:,} {would}confirmed, {metric.unchanged:,} up to date"
        )
        if report.is_dry_run:
            continue
        click.echo(
            f"  {metric.events:,} events in {metric.totals:,} totals, "
            f"{metric.duplicates:,} repeats left out{_left_out(metric)}"
        )
        _warn(metric)
    click.echo(f"{report.seconds:.1f} s")


def _warn(metric: "MetricReport") -> None:
    for partition, ranges in sorted(metric.lost.items()):
        for start, end in ranges:
            click.echo(
                f"  warning: offsets {start:,} to {end - 1:,} of partition {partition} were never "
                "archived; their events are not in the totals"
            )


def _left_out(metric: "MetricReport") -> str:
    said = {
        "hours ahead of this archive": metric.ahead,
        "records that cannot be decoded": metric.rejects,
        "events without a time": metric.timeless,
    }
    return "".join(f"; {count:,} {what}" for what, count in said.items() if count)
