"""What was done, as text: instants, what was left out, and all that a replay did."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from fastdata.coordinates.instants import to_datetime

if TYPE_CHECKING:
    from fastdata.batch.reports import MetricReport, ReplayReport

__all__ = ["left_out", "minute", "second", "show_report"]


def minute(time_ms: int) -> str:
    """An instant in UTC, up to its minute."""
    return f"{to_datetime(time_ms):%Y-%m-%d %H:%M}"


def second(time_ms: int) -> str:
    """An instant in UTC, up to its second."""
    return f"{to_datetime(time_ms):%Y-%m-%d %H:%M:%S}"


def left_out(counts: Mapping[str, int]) -> str:
    """The causes that were counted at all, each with its number and after a semicolon."""
    return "".join(f"; {count:,} {text}" for text, count in counts.items() if count)


def show_report(report: "ReplayReport") -> None:
    """Print what a replay did, or would do."""
    would = "would be " if report.is_dry_run else ""
    for metric in report.metrics:
        if metric.start == metric.end:
            click.echo(f"{metric.metric}: {_nothing(metric)}")
            continue
        click.echo(
            f"{metric.metric}: {minute(metric.start)} to {minute(metric.end)} UTC, "
            f"{metric.recomputed:,} hours {would}counted, {metric.relabelled:,} {would}confirmed, "
            f"{metric.unchanged:,} up to date"
        )
        if metric.kept:
            click.echo(f"  {metric.kept:,} hours {would}kept whole for longer windows")
        if metric.rollups or metric.rollups_left:
            others = left_out(
                {"are not: too large, or replay all of their hours": metric.rollups_left}
            )
            click.echo(f"  {metric.rollups:,} longer windows {would}made ready{others}")
        if report.is_dry_run:
            continue
        causes = {
            "hours ahead of this archive": metric.ahead,
            "records that cannot be decoded": metric.rejects,
            "events that cannot be read, or have no time": metric.timeless,
        }
        click.echo(
            f"  {metric.events:,} events in {metric.totals:,} totals, "
            f"{metric.duplicates:,} repeats left out{left_out(causes)}"
        )
        _warn(metric)
    click.echo(f"{report.seconds:.1f} s")


def _nothing(metric: "MetricReport") -> str:
    if metric.coverage.segments or metric.coverage.until:
        return "no events of that time are archived"
    return "nothing to count yet: nothing is archived"


def _warn(metric: "MetricReport") -> None:
    for partition, ranges in sorted(metric.lost.items()):
        for start, end in ranges:
            click.echo(
                f"  warning: offsets {start:,} to {end - 1:,} of partition {partition} were never "
                "archived; their events are not in the totals"
            )
