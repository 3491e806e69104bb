"""`fastdata verify`."""

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from fastdata.cli.bars import open_bar
from fastdata.cli.completion import complete_metric
from fastdata.cli.replay import Instant
from fastdata.cli.reporting import minute

if TYPE_CHECKING:
    from fastdata.verify.reports import Finding, VerifiedMetric, VerifyProgress, VerifyReport

__all__ = ["verify"]

_SHOWN = 20
_ALLOCATIONS = 100_000  # between two looks for garbage
_MOST = 10  # times; a percentage of more says nothing


class _VerifyOptions(TypedDict):
    start: int | None
    end: int | None
    sample: int | None
    seed: str
    store_result: bool


@click.command(short_help="Compare both layers with a plain recount, and say why they differ.")
@click.argument("names", nargs=-1, metavar="[METRIC]...", shell_complete=complete_metric)
@click.option("--from", "start", type=Instant(), help="UTC unless it says so. [default: all]")
@click.option("--to", "end", type=Instant(), help="The end, exclusive. [default: all]")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="Only so many hours, first those that a replay has just counted. [default: all]",
)
@click.option("--seed", default="", help="Any text: another sample. [default: the same each time]")
@click.option("--store-result", is_flag=True, help="Keep the errors as the metric METRIC:error.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, no progress bar.")
def verify(names: tuple[str, ...], as_json: bool, **options: Unpack[_VerifyOptions]) -> None:
    """Compare both layers with a plain recount, and say why they differ.

    For hours that a replay has counted: the exact numbers, those of open segments and of ready
    windows among them, against a slow and simple count of the archived events, and what the speed
    layer said of the events that the newest replay added.
    Each difference has a cause: late, future, duplicate, gap, definition, behind, dead letter,
    unarchived or sketch. What has none is a mistake of somebody. Without METRIC: all.

    Exit code 0: all agrees or is explained; 3: something is not explained; 4: of a metric
    nothing could be compared (no hour is counted yet, no segment is closed, or no worker has run).

    \b
    Examples:
      fastdata replay && fastdata verify --sample 24 --store-result
      fastdata verify departures --from 2013-01-01 --to 2013-01-02
      fastdata verify --json | jq '.metrics[].findings'
      fastdata query departures:error --every 1d --by measure
    """  # noqa: D301  (click wants the backspace)
    with ExitStack() as stack:
        # Of a million rows that make no circles, an eighth of the time would go into seeking some.
        stack.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(_ALLOCATIONS)
        bar = None if as_json else open_bar(stack, "reading the archive", "events", _fields)
        report = asyncio.run(_verify(names, options, bar))
    if as_json:
        click.echo(json.dumps(report.as_dict(), allow_nan=False))
    else:
        for metric in report.metrics:
            _show(metric)
        click.echo(f"{report.seconds:.1f} s")
    sys.exit(report.exit_code)


async def _verify(
    names: tuple[str, ...],
    options: _VerifyOptions,
    on_progress: "Callable[[VerifyProgress], None] | None",
) -> "VerifyReport":
    from fastdata.archive import open_archive_storage
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings
    from fastdata.store.opening import open_store
    from fastdata.verify.verify import verify as verify_metrics

    settings = Settings.load()
    metrics = load_folder(settings.agents).chosen(names)
    archive = open_archive_storage(settings.archive, create=False)
    async with open_store(settings.store, create=False) as store:
        return await verify_metrics(
            metrics, store=store, archive=archive, on_progress=on_progress, **options
        )


def _fields(progress: "VerifyProgress") -> dict[str, Any]:
    total = progress.total_spans
    said = "reading the archive" if total is None else f"{progress.spans:,} of {total:,} hours"
    return {
        "description": f"{progress.source}: {said}",
        "completed": progress.events,
        "total": progress.total_events,
    }


def _show(metric: "VerifiedMetric") -> None:
    if not metric.closed:
        click.echo(f"{metric.metric}: no hour of it is counted by a replay yet")
        return
    statuses = {span.speed for span in metric.spans} - {"compared", "nothing new"}
    reasons = [*sorted(statuses), *([metric.waits_for] if metric.waits_for else [])]
    not_compared = f" ({', '.join(reasons)})" if reasons else ""
    tips = metric.total("tip_events")
    in_tips = f" and {tips:,} of open segments" if tips else ""
    click.echo(
        f"{metric.metric}: {len(metric.spans):,} of {metric.closed:,} counted hours verified, "
        f"{metric.total('events'):,} events{in_tips}; speed layer compared on "
        f"{metric.total('new'):,}{not_compared}"
    )
    click.echo(f"  compared: {_compared(metric)}")
    if metric.refolded:
        click.echo(f"  counted again by their own code only: {', '.join(metric.refolded)}")
    if causes := +metric.causes:
        said = ", ".join(f"{events:,} {cause}" for cause, events in causes.most_common())
        click.echo(f"  events by which the layers differed: {said}")
    _show_errors(metric)
    findings = metric.findings
    if not findings:
        click.echo("  no unexplained difference")
        return
    click.echo(f"  {len(findings):,} UNEXPLAINED")
    for finding in findings[:_SHOWN]:
        click.echo(f"    {_line(finding)}")
    if len(findings) > _SHOWN:
        click.echo("    …; --json shows more")


def _compared(metric: "VerifiedMetric") -> str:
    counts = {name: metric.total(name) for name in ("totals", "tips", "partials")}
    said = [f"{number:,} {name}" for name, number in counts.items()]
    if hours := metric.total("hours"):
        said.insert(1, f"{hours:,} of whole hours")
    if metric.windows or metric.windows_left:
        left = metric.windows_left
        others = f" ({left:,} more have hours that are not verified here)" if left else ""
        said.append(f"{metric.windows:,} ready windows{others}")
    return ", ".join(said)


def _show_errors(metric: "VerifiedMetric") -> None:
    for name, measure in metric.errors().items():
        by = [_percentage(measure[error]) for error in ("mean_error", "max_error")]
        # What is no number is right or wrong.
        far = f", by {by[0]} on average, {by[1]} at most" if measure["numbers"] else ""
        rows = f"{measure['wrong']:,} of {measure['rows']:,} rows"
        click.echo(f"  {name}: {rows} were off before the replay{far}")


def _percentage(error: object) -> str:
    if not isinstance(error, float):
        return "more than can be said"
    return f"{error:.3%}" if error < _MOST else f"{error:,.0f} times what is right"


def _line(finding: "Finding") -> str:
    fields = finding.as_dict()
    measure = f" {finding.measure}" if finding.measure else ""
    return (
        f"{finding.layer}, hour {minute(finding.span)}, {finding.place}{measure}: "
        f"{_said(fields['found'])}, expected {_said(fields['expected'])} ({finding.detail})"
    )


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
