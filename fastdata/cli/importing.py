"""`fastdata archive import`."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from fastdata.cli.bars import open_bar
from fastdata.cli.reporting import left_out
from fastdata.cli.signals import on_signal
from fastdata.errors import did_you_mean

if TYPE_CHECKING:
    from fastdata.archive.import_connect import ImportProgress, ImportReport

__all__ = ["import_archive"]

_SHOWN_HOLES = 5
_INTERRUPTED = 130


@click.command("import", short_help="Take over what Kafka Connect's S3 sink wrote.")
@click.argument("origin")
@click.option("--source", "name", required=True, help="The source whose topic it is.")
@click.option("--dry-run", is_flag=True, help="Only say what is there.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, without a progress bar.")
def import_archive(origin: str, name: str, dry_run: bool, as_json: bool) -> int:
    """Take over what Kafka Connect's S3 sink wrote into the archive.

    ORIGIN is the sink's topics.dir: a folder, or s3://bucket/topics with the AWS_* variables. It
    must have the Avro format and the default partitioner. The many small objects are copied, as
    they are, into objects of whole segments with a manifest; ORIGIN stays as it is. Ctrl-C keeps
    what is done, and the same command goes on from there. Afterwards `fastdata archive` continues
    from Kafka.

    \b
    Examples:
      fastdata archive import s3://events/topics --source flights --dry-run
      fastdata archive import s3://events/topics --source flights
      fastdata archive import /mnt/sink/topics --source flights --json
    """  # noqa: D301  (click wants the backspace)
    started = time.monotonic()
    with ExitStack() as stack:
        is_quiet = as_json or dry_run
        on_progress = None if is_quiet else open_bar(stack, "import", "objects", _fields)
        report = asyncio.run(_import(origin, name, dry_run, on_progress))
    seconds = time.monotonic() - started
    if as_json:
        click.echo(json.dumps({**report.as_dict(), "seconds": round(seconds, 3)}))
    else:
        _show(report, dry_run, seconds)
    return 0 if dry_run or report.is_complete else _INTERRUPTED


async def _import(
    origin: str,
    name: str,
    dry_run: bool,
    on_progress: "Callable[[ImportProgress], None] | None",
) -> "ImportReport":
    from fastdata.archive import open_archive_storage
    from fastdata.archive.import_connect import import_objects
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings

    settings = Settings.load()
    sources = load_folder(settings.agents).sources
    if name not in sources:
        advice = did_you_mean(name, sources, f"there are: {', '.join(sources)}")
        raise click.BadParameter(
            f"there is no source {name!r} in {settings.agents}; {advice}", param_hint="--source"
        )
    stop = asyncio.Event()
    on_signal(stop.set)
    return await import_objects(
        open_archive_storage(origin, create=False),
        open_archive_storage(settings.archive),
        sources[name],
        stop=stop,
        dry_run=dry_run,
        on_progress=on_progress,
    )


def _fields(progress: "ImportProgress") -> dict[str, Any]:
    return {
        "total": progress.total_objects,
        "completed": progress.objects,
        "description": f"{progress.records:,} events",
    }


def _show(report: "ImportReport", dry_run: bool, seconds: float) -> None:
    for partition in report.partitions:
        left = partition.objects - partition.skipped
        others = {
            "objects were known": partition.skipped,
            "records do not fit the source and are rejects": partition.rejects,
            "records were repeated": partition.repeated,
        }
        click.echo(
            f"partition {partition.partition}: {partition.objects:,} objects, "
            f"{left:,} to import from offset {partition.start:,} ({partition.size:,} bytes)"
            if dry_run
            else f"partition {partition.partition}: {partition.records:,} events of "
            f"{partition.done:,} objects, the archive ends at offset {partition.end:,}"
            f"{left_out(others)}"
        )
        for start, length in partition.holes[:_SHOWN_HOLES]:
            click.echo(f"  warning: no object has the offsets {start:,} to {start + length - 1:,}")
        if len(partition.holes) > _SHOWN_HOLES:
            missing = sum(length for _, length in partition.holes)
            click.echo(f"  warning: {len(partition.holes):,} such gaps, {missing:,} offsets in all")
    if report.foreign:
        click.echo(f"{report.foreign:,} objects with other names were left out")
    click.echo(f"{seconds:.1f} s")
