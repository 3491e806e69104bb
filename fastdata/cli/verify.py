"""`fastdata verify`."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from fastdata.cli.replay import Instant
from fastdata.cli.reporting import minute
from fastdata.declare.catalog import load_folder
from fastdata.settings import Settings

if TYPE_CHECKING:
    from fastdata.verify.reports import Finding, VerifiedMetric, VerifyReport

__all__ = ["verify"]

_SHOWN = 20


class _VerifyOptions(TypedDict):
    start: int | None
    end: int | None
    sample: int | None
    seed: str
    store_result: bool


@click.command(short_help="Compare both layers with a plain recount, and say why they differ.")
@click.argument("names", nargs=-1, metavar="[METRIC]...")
@click.option("--from", "start", type=Instant(), help="UTC unless it says so. [default: all]")
@click.option("--to", "end", type=Instant(), help="The end, exclusive. [default: all]")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="Only so many hours, first those that a replay has just counted. [default: all]",
)
@click.option("--seed", default="", help="Any text: another sample. [default: the same each time]")
@click.option("--store-result", is_flag=True, help="Keep the errors as the metric METRIC:error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(names: tuple[str, ...], as_json: bool, **options: Unpack[_VerifyOptions]) -> None:
    """Compare both layers with a plain recount, and say why they differ.

    For hours that a replay has counted: the exact numbers against a slow and simple count of the
    archived events, and what the speed layer said of the events that the newest replay added.
    Each difference has a cause: late, future, duplicate, gap, definition, behind, dead letter,
    unarchived or sketch. What has none is a mistake of somebody. Without METRIC: all.

    Exit code 0: all agrees or is explained; 3: something is not explained; 4: of a metric
    nothing could be compared (no hour is counted yet, or no worker has run).

    \b
    Examples:
      fastdata replay && fastdata verify --sample 24 --store-result
      fastdata verify departures --from 2013-01-01 --to 2013-01-02
      fastdata verify --json | jq '.metrics[].findings'
      fastdata query departures:error --every 1d --by measure
    """  # noqa: D301  (click wants the backspace)
    report = asyncio.run(_verify(names, options))
    if as_json:
        click.echo(json.dumps(report.as_dict(), allow_nan=False))
    else:
        for metric in report.metrics:
            _show(metric)
        click.echo(f"{report.seconds:.1f} s")
    sys.exit(report.exit_code)


async def _verify(names: tuple[str, ...], options: _VerifyOptions) -> "VerifyReport":
    from fastdata.archive import open_archive_storage
    from fastdata.store.opening import open_store
    from fastdata.verify.verify import verify as verify_metrics

    settings = Settings.load()
    catalog = load_folder(settings.agents)
    metrics = [catalog.metric(name) for name in dict.fromkeys(names)] or [*catalog.metrics.values()]
    archive = open_archive_storage(settings.archive, create=False)
    async with open_store(settings.store, create=False) as store:
        return await verify_metrics(metrics, store=store, archive=archive, **options)


def _show(metric: "VerifiedMetric") -> None:
    if not metric.closed:
        click.echo(f"{metric.metric}: no hour of it is counted by a replay yet")
        return
    reasons = sorted({span.speed for span in metric.spans} - {"compared", "nothing new"})
    not_compared = f" ({', '.join(reasons)})" if reasons else ""
    events, new = (sum(getattr(s, name) for s in metric.spans) for name in ("events", "new"))
    click.echo(
        f"{metric.metric}: {len(metric.spans):,} of {metric.closed:,} counted hours verified, "
        f"{events:,} events; speed layer compared on {new:,}{not_compared}"
    )
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


def _show_errors(metric: "VerifiedMetric") -> None:
    for name, measure in metric.errors().items():
        click.echo(
            f"  {name}: {measure['wrong']:,} of {measure['rows']:,} rows were off before the "
            f"replay, by {measure['mean_error']:.3%} on average, {measure['max_error']:.3%} at most"
        )


def _line(finding: "Finding") -> str:
    fields = finding.as_dict()
    measure = f" {finding.measure}" if finding.measure else ""
    return (
        f"{finding.layer}, hour {minute(finding.span)}, {finding.place}{measure}: "
        f"{fields['found']}, expected {fields['expected']} ({finding.detail})"
    )
