"""`fastdata export`."""

import asyncio
import json
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from fastdata.cli.bars import open_bar
from fastdata.cli.completion import complete_metric
from fastdata.cli.query import listed, spare_pandas
from fastdata.cli.repeating import interval_option, pause
from fastdata.cli.reporting import minute, second
from fastdata.cli.signals import on_signal
from fastdata.errors import FastdataError, mask_url

if TYPE_CHECKING:
    from fastdata.exports.export import Exporter, ExportReport

__all__ = ["export"]


class _ExportOptions(TypedDict):
    to: str | None
    start: str | None
    end: str | None
    only_exact: bool


@click.command(short_help="Keep a flat table of a metric up to date, for BI tools.")
@click.argument("metric", shell_complete=complete_metric)
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
    help="postgresql://…, sqlite:///…, mysql://…, clickhouse://…, opensearch://…, duckdb:///…, "
    "kafka://TOPIC; "
    "for Parquet a folder or s3://…  "
    "[default: the store]",
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
@click.option("--only-exact", is_flag=True, help="To a topic: send a row when it is exact.")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C, and refresh again and again.")
@interval_option(help="Seconds between two refreshes of --follow.")
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

    One row for each window and combination of dimensions: window_start, window_end, the
    dimensions, the measures, the layer that knew (batch, speed or both), exact, and updated_at.
    Each call replaces only what has changed since the last one; readers never see half of a
    window. In SQL the table is called like the metric and the grain, as in departures_1h; Parquet
    files lie in a folder of that name, one for each day. To a topic of FASTDATA_BROKER each change
    of a row is sent as an Avro event, with its bounds: a source for the next job.

    \b
    Examples:
      fastdata export departures
      fastdata export departures --every 1d --by origin --to postgresql://bi@db/flat
      fastdata export departures --every day --rolling 30d
      fastdata export departures --every 1h --to duckdb:///flat.duckdb
      fastdata export departures --every 1m --to s3://bucket/flat --follow --interval 60
      fastdata export departures --every 1h --to kafka://departures_1h --follow
    """  # noqa: D301  (click wants the backspace)
    names = listed(by)
    dims = [] if names == ["none"] else names or None
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", UserWarning)  # the report says it, in one line
        bar = None if as_json else open_bar(stack, metric, "parts", _fields)
        try:
            from fastdata.declare.catalog import load_folder
            from fastdata.exports.export import Exporter
            from fastdata.exports.opening import check_name, is_topic
            from fastdata.exports.table import flat_table
            from fastdata.settings import Settings
            from fastdata.verify.errors_metric import find_metric

            settings = Settings.load()
            declared = find_metric(load_folder(settings.agents), metric)
            spare_pandas()
            check_name(options["to"], table)
            has_bounds = bounds or is_topic(options["to"])
            flat = flat_table(declared, every, dims, has_bounds, table, rolling)
            exporter = Exporter(flat, store=settings.store, **options)
            asyncio.run(_export(exporter, interval_s if follow else None, bar, as_json))
        except KeyboardInterrupt:
            stack.close()
            click.echo("interrupted: what is exported stays; the same command goes on", err=True)
            raise


def _fields(done: int, total: int) -> dict[str, Any]:
    return {"completed": done, "total": total}


async def _export(
    exporter: "Exporter",
    interval_s: float | None,
    bar: Callable[[int, int], None] | None,
    as_json: bool,
) -> None:
    async with exporter:
        if interval_s is None:
            _show(await exporter.refresh(bar), as_json)
            return
        stop = asyncio.Event()
        on_signal(stop.set)
        while not stop.is_set():
            try:
                _show(await exporter.refresh(bar, stop), as_json)
            except FastdataError as error:
                if not error.retriable:
                    raise
                click.echo(f"fastdata: {mask_url(str(error))}; again in {interval_s:g} s", err=True)
            await pause(stop, interval_s)


def _show(report: "ExportReport", as_json: bool) -> None:
    """Say what a refresh did."""
    if as_json:
        click.echo(json.dumps(report.as_dict()))
        return
    fresh, read = report.fresh_until, report.read_until
    click.echo(
        f"{report.table}: {report.refreshed:,} of {report.parts:,} parts were new, "
        f"{report.rows:,} rows written; "
        + ("no worker has run" if fresh is None else f"fresh until {minute(fresh)} UTC")
        + ("" if read is None else f", read until {second(read)} UTC")
        + (", shown in the place of the old table" if report.swapped else "")
        + f" ({report.seconds:.2f} s)"
    )
    if report.earlier is not None:
        click.echo(f"  {report.earlier.hint}")
