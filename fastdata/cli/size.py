"""`fastdata size`."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from fastdata.errors import LoadError, did_you_mean

if TYPE_CHECKING:
    from fastdata.declare.catalog import Catalog

__all__ = ["size"]

_EXAMPLE = Path(__file__).parents[1] / "demo" / "example"
_RATE, _COUNT = click.FloatRange(min=0, min_open=True), click.IntRange(min=1)

_SHOWN = """\
events         {events_per_day:,} a day, {events:,} in {days} days
segment_size   {segment_size:,} offsets, open for {segment_minutes:,} minutes
Kafka          log {kafka_log_bytes}, changelog {kafka_changelog_bytes}
archive        {archive_bytes}, {archive_objects_per_day:,} objects and entries a day; \
{archive_puts_per_day:,} puts a day
store, rows    {partials:,} partials, {totals:,} totals
store, writes  {upserts_per_s:,} partials/s, {upserts_at_peak_per_s:,} at the peak; \
{totals_per_day:,} totals by a replay of a day
SQL            {sql_bytes}
Cassandra      {cassandra_bytes}; buckets={cassandra_buckets}, partitions of partials up to \
{cassandra_partition_bytes}
workers        {workers}, each of {worker_bytes} of memory and {worker_files:,} open files; \
{catch_up_minutes:,} minutes to catch up with an hour
{of_rollups}Kafka and Cassandra with {replicas} copies, before compression."""


@click.command(short_help="Calculate disks, rows, memory and workers for a load.")
@click.option("--events-per-s", type=_RATE, required=True, help="On average, of the whole topic.")
@click.option("--peak", "peak_per_s", type=_RATE, help="The most for an hour. [default: 5 x that]")
@click.option("--keys", type=_COUNT, default=10_000, show_default=True,
              help="Different dimension values of a metric or grouping set in a day.")  # fmt: skip
@click.option("--event-bytes", type=_COUNT, default=200, show_default=True,
              help="A record's value, uncompressed.")  # fmt: skip
@click.option("--partitions", type=_COUNT, default=6, show_default=True, help="Of the topic.")
@click.option("--days", type=_COUNT, default=60, show_default=True,
              help="How long answers and archive are kept.")  # fmt: skip
@click.option("--log-days", type=_RATE, default=7.0, show_default=True,
              help="The topic's retention.")  # fmt: skip
@click.option("--replay-every", "replay_every_h", type=_RATE, default=24.0, show_default=True,
              help="Hours between two replays.")  # fmt: skip
@click.option("--recount-days", type=_COUNT, default=7, show_default=True,
              help="How many days back events still come.")  # fmt: skip
@click.option("--replicas", type=_COUNT, default=3, show_default=True,
              help="Copies in Kafka and Cassandra.")  # fmt: skip
@click.option("--segment-size", type=_COUNT, help="Offsets. [default: what is recommended]")
@click.option("--source", "name", help="A declared one. [default: the first by name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def size(name: str | None, as_json: bool, peak_per_s: float | None, **options: float) -> None:
    """Calculate disks, rows, memory and workers for a load.

    For the metrics of ./agents (or FASTDATA_AGENTS); where there is none, for that of
    `fastdata demo`. States are measured, with keys that are equally frequent and distinct
    values that all differ: real events need less. docs/production.md has the formulas.

    \b
    Examples:
      fastdata size --events-per-s 300 --peak 2000 --keys 10000
      fastdata size --events-per-s 50 --keys 200 --days 365 --replay-every 1 --json
    """  # noqa: D301  (click wants the backspace)
    from fastdata.operate import sizing
    from fastdata.settings import Settings

    settings = Settings.load()
    catalog = _declared(settings.agents)
    source = catalog.sources[_choose(catalog, name)]
    metrics = catalog.of_source(source)
    load = sizing.Load(
        peak_per_s=peak_per_s or 5 * options["events_per_s"],
        commit_interval_s=settings.commit_interval_s,
        tile_age_s=settings.tile_age_s,
        max_cells=settings.max_cells,
        **options,  # type: ignore[arg-type]
    )
    needs = sizing.size(load, source, metrics)
    if as_json:
        names = [metric.name for metric in metrics]
        click.echo(json.dumps({"source": source.name, "metrics": names, **needs.as_dict()}))
    else:
        click.echo(f"source {source.name}: {', '.join(metric.name for metric in metrics)}")
        numbers = needs.as_dict()
        shown = {n: _bytes(v) if n.endswith("_bytes") else v for n, v in numbers.items()}
        shown["of_rollups"] = "".join(
            f"rollups        {name}: SQL {_bytes(need.sql_bytes)}, Cassandra "
            f"{_bytes(need.cassandra_bytes)}, archive {_bytes(need.archive_bytes)}, which are in "
            f"the sums; {need.rows:,} rows\n"
            for name, need in needs.rollups.items()
        )
        click.echo(_SHOWN.format(**shown, days=load.days, replicas=load.replicas))


def _declared(folder: str) -> "Catalog":
    from fastdata.declare.catalog import load_folder

    try:
        return load_folder(folder)
    except LoadError:
        if Path(folder).exists():
            raise
    click.echo(f"there are no agents in {folder}: this is for the metric of the demo", err=True)
    with TemporaryDirectory() as copy:  # a schema is not looked for inside of the library
        shutil.copytree(_EXAMPLE, copy, dirs_exist_ok=True)
        return load_folder(Path(copy) / "agents")


def _choose(catalog: "Catalog", name: str | None) -> str:
    names = sorted(source.name for source in catalog.sources.values() if catalog.of_source(source))
    if not names or (name is not None and name not in names):
        have = ", ".join(names) or "none"
        advice = did_you_mean(name or "", names, f"there are: {have}")
        raise click.UsageError(f"no source {name or ''} with a metric is declared; {advice}")
    return name or names[0]


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} TB"
