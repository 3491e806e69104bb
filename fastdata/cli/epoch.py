"""`fastdata epoch`."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from fastdata.coordinates.instants import parse_instant
from fastdata.errors import StoreUnavailableError, did_you_mean

if TYPE_CHECKING:
    from fastdata.operate.epochs import Begin, EpochReport

__all__ = ["epoch"]

_WORDS = ("earliest", "latest", "committed")


@click.command(short_help="Count a topic on that was made again or moved to another cluster.")
@click.argument("source", required=False)
@click.option(
    "--from",
    "begin",
    metavar="WHERE",
    help="Where the new epoch begins: earliest, latest, committed (where the archiver's group is "
    "in this cluster) or a time of the log. [default: earliest, of a topic that was made again]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be begun.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def epoch(source: str | None, begin: str | None, dry_run: bool, as_json: bool) -> None:
    """Count a topic on that was made again or moved to another cluster.

    Offsets mean nothing in another log, so worker, archiver and replay refuse a topic that is
    not the one they know. This command begins its next epoch: its partitions get numbers of
    their own, and what was counted of the log before stays in the answers. Then start worker
    and archiver again; those that still run on the log before end by themselves. An epoch that
    has begun stays where it began: look with --dry-run first.

    Without SOURCE: shows which log each source is and was. Exit code 1 when one of them is
    another log than before.

    \b
    Examples:
      fastdata epoch
      fastdata epoch flights
      fastdata epoch flights --from 2013-01-01T06:00Z --dry-run
    """  # noqa: D301  (click wants the backspace)
    if source is None and (begin is not None or dry_run):
        raise click.UsageError("name the SOURCE whose next epoch begins")
    reports = asyncio.run(_run(source, _where(begin), dry_run=dry_run))
    if as_json:
        click.echo(json.dumps([report.as_dict() for report in reports], indent=2))
    else:
        for report in reports:
            _show(report, dry_run=dry_run)
            if source is not None and report.is_current and report.epochs and not report.begun:
                number = len(report.epochs) - 1
                click.echo(f"{source}: nothing was begun, for epoch {number} is of this log")
    sys.exit(0 if all(report.is_current for report in reports) else 1)


def _where(begin: str | None) -> "Begin | None":
    if begin is None or begin in _WORDS:
        return begin
    try:
        return parse_instant(begin)
    except ValueError as error:
        words = ", ".join(_WORDS)
        raise click.BadParameter(f"{error}, or one of {words}", param_hint="'--from'") from None


async def _run(name: str | None, begin: "Begin | None", *, dry_run: bool) -> list["EpochReport"]:
    from fastdata.archive import open_archive_storage
    from fastdata.declare.catalog import load_folder
    from fastdata.kafka.connection import Broker
    from fastdata.operate.epochs import Epochs
    from fastdata.settings import Settings
    from fastdata.store.opening import open_store

    settings = Settings.load()
    sources = load_folder(settings.agents).sources
    if name is not None and name not in sources:
        advice = did_you_mean(name, sources, f"there are: {', '.join(sorted(sources))}")
        raise click.UsageError(f"no source {name!r} is declared; {advice}")
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(settings.store, create=False))
        except StoreUnavailableError as error:
            if error.__cause__ is not None:
                raise
            store = None  # there is none yet
        archive = open_archive_storage(settings.archive)
        epochs = Epochs(Broker.of(settings), archive, store, settings.application_id)
        if name is not None:
            return [await epochs.begin(sources[name], begin, dry_run=dry_run)]
        return [await epochs.read(source) for _, source in sorted(sources.items())]


def _show(report: "EpochReport", *, dry_run: bool) -> None:
    for number, epoch in enumerate(report.epochs):
        begin = "".join(f", partition {p} at offset {at:,}" for p, at in epoch.begin.items())
        click.echo(
            f"{report.source}: epoch {number}, {epoch.log.shown}, partitions from {epoch.first} on"
            f"{begin}"
        )
    if report.begun:
        word = "would begin" if dry_run else "has begun; start worker and archiver again"
        click.echo(f"{report.source}: epoch {len(report.epochs) - 1} {word}")
    elif report.log is None:
        click.echo(f"{report.source}: there is no topic {report.topic!r}")
    elif not report.is_current:
        click.echo(
            f"{report.source}: the topic is another log now, {report.log.shown}; "
            f"`fastdata epoch {report.source}` begins to count it, unless FASTDATA_BROKER is wrong"
        )
    elif not report.epochs:
        click.echo(f"{report.source}: {report.log.shown}; nothing was counted of it yet")
    for partition, count in (report.unarchived or {}).items():
        click.echo(
            f"{report.source}: {count:,} events of partition {partition} were folded and are not "
            "in the archive; they stay in the answers, which are never exact where they are",
            err=True,
        )
