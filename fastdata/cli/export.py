"""`fastdata export`."""

import asyncio
import json
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from fastdata.cli.bars import open_bar
from fastdata.coordinates.instants import to_datetime
from fastdata.declare.catalog import load_folder
from fastdata.errors import FastdataError
from fastdata.settings import Settings, mask_url
from fastdata.verify.errors_metric import find_metric

if TYPE_CHECKING:
    from fastdata.exports.export import Exporter, ExportReport
    from fastdata.exports.table import FlatTable

__all__ = ["export"]


class _ExportOptions(TypedDict):
    to: str | None
    start: str | None
    end: str | None


@click.command(short_help="Keep a flat table of a metric up to date, for BI tools.")
@click.argument("metric")
@click.option(
    "--every",
    default="1h",
    show_default=True,
    help="Width of a window: 1m, 1h, 1d, …, or day, week or month in the metric's time zone.",
)
@click.option(
    "--rolling", metavar="DAYS", help="With --every day: days that end with it, as in 30d."
)
@click.option(
    "--to",
    metavar="URL",
    help="postgresql://…, sqlite:///…; for Parquet a folder or s3://…  [default: the store]",
)
@click.option("--from", "start", metavar="TIME", help="Only from there on. [default: all]")
@click.option("--until", "end", metavar="TIME", help="Only before, exclusive. [default: all]")
@click.option(
    "--by",
    multiple=True,
    help="Only these dimensions, with commas; 'none' for none. [default: all]",
)
@click.option("--bounds", is_flag=True, help="Add columns with the bounds of each measure.")
@click.option("--table", metavar="NAME", help="Name of the table. [default: such as departures_1h]")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C, and refresh again and again.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between two refreshes of --follow.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as a JSON object for each refresh.")
def export(
    metric: str,
    every: str,
    rolling: str | None,
    by: tuple[str, ...],
    bounds: bool,
    table: str | None,
    follow: bool,
    interval_s: float,
    as_json: bool,
    **options: Unpack[_ExportOptions],
) -> None:
    """Keep a flat table of METRIC up to date, for BI tools.

    One row for each window and combination of dimensions: window, window_end, the dimensions, the
    measures, the layer that knew (batch, speed or both), exact, and updated_at. Each call replaces
    only what has changed since the last one; readers never see half of a window. In SQL the table
    is called like the metric and the grain, as in departures_1h; Parquet files lie in a folder of
    that name, one for each day.

    \b
    Examples:
      fastdata export departures
      fastdata export departures --every 1d --by origin --to postgresql://bi@db/flat
      fastdata export departures --every day --rolling 30d
      fastdata export departures --every 1m --to s3://bucket/flat --follow --interval 60
    """  # noqa: D301  (click wants the backspace)
    names = [name.strip() for text in by for name in text.split(",") if name.strip()]
    with ExitStack() as stack:
        on_progress = None if as_json else _bar(stack, metric)
        try:
            asyncio.run(
                _export(
                    metric,
                    options,
                    every=every,
                    rolling=rolling,
                    by=[] if names == ["none"] else names or None,
                    bounds=bounds,
                    table=table,
                    interval_s=interval_s if follow else None,
                    show=_Shown(as_json, on_progress),
                )
            )
        except KeyboardInterrupt:
            stack.close()
            click.echo("interrupted: what is exported stays; the same command goes on", err=True)
            raise


class _Shown:
    """What is said about each refresh.

    Args:
        as_json: As JSON, a line each.
        on_progress: The bar of a refresh.
    """

    def __init__(self, as_json: bool, on_progress: Callable[[int, int], None] | None) -> None:
        self._as_json = as_json
        self.on_progress = on_progress

    def report(self, report: "ExportReport") -> None:
        """Say what a refresh did."""
        if self._as_json:
            click.echo(json.dumps(report.as_dict()))
            return
        fresh = report.fresh_until
        click.echo(
            f"{report.table}: {report.refreshed:,} of {report.parts:,} parts were new, "
            f"{report.rows:,} rows written; "
            + ("no worker has run" if fresh is None else f"fresh until {_moment(fresh)}")
            + (", shown in the place of the old table" if report.swapped else "")
            + f" ({report.seconds:.2f} s)"
        )

    def failed(self, error: FastdataError, interval_s: float) -> None:
        """Say what went wrong, and that it is tried again."""
        click.echo(f"fastdata: {mask_url(str(error))}; again in {interval_s:g} s", err=True)


async def _export(
    metric: str,
    options: _ExportOptions,
    *,
    every: str,
    rolling: str | None,
    by: list[str] | None,
    bounds: bool,
    table: str | None,
    interval_s: float | None,
    show: _Shown,
) -> None:
    from fastdata.exports.export import Exporter
    from fastdata.exports.table import flat_table

    settings = Settings.load()
    declared = find_metric(load_folder(settings.agents), metric)
    flat: FlatTable = flat_table(declared, every, by, bounds, table, rolling)
    async with Exporter(flat, store=settings.store, **options) as exporter:
        if interval_s is None:
            show.report(await exporter.refresh(show.on_progress))
        else:
            await _follow(exporter, interval_s, show)


async def _follow(exporter: "Exporter", interval_s: float, show: _Shown) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            show.report(await exporter.refresh(show.on_progress, stop))
        except FastdataError as error:
            if not error.retriable:
                raise
            show.failed(error, interval_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval_s)


def _bar(stack: ExitStack, metric: str) -> Callable[[int, int], None] | None:
    bar = open_bar(stack, "parts")
    if bar is None:
        return None
    task = bar.add_task(metric, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def _moment(time_ms: int) -> str:
    return f"{to_datetime(time_ms):%Y-%m-%d %H:%M} UTC"
