"""`fastdata archive`."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from fastdata.cli.groups import CommandGroup
from fastdata.cli.importing import import_archive
from fastdata.cli.monitoring import ArchiveTelemetry, metrics_port, with_port
from fastdata.cli.signals import on_signal
from fastdata.errors import did_you_mean

if TYPE_CHECKING:
    from fastdata.archive.consumer import ArchiveProgress

__all__ = ["archive"]

_REPORT_S = 2.0


@click.group(
    cls=CommandGroup,
    short_help="Copy the events of all sources from Kafka to the archive.",
    invoke_without_command=True,
)
@click.option("--once", is_flag=True, help="End when everything that is in the log is archived.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on when Kafka has deleted events before they were archived, or nothing tells how the "
    "archive began; record them as lost.",
)
@click.option(
    "--accept-loss-of",
    "lossy",
    multiple=True,
    metavar="SOURCE",
    help="The same of this source alone; repeatable.",
)
@click.option(
    "--drain",
    is_flag=True,
    help="When stopped, archive first what is in the log by then, for 30 s at most.",
)
@metrics_port
@click.option("--json", "as_json", is_flag=True, help="Report progress as a JSON object a line.")
@click.pass_context
def archive(
    ctx: click.Context,
    once: bool,
    accept_loss: bool,
    lossy: tuple[str, ...],
    drain: bool,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Copy the events of all sources from Kafka to the archive.

    Every event is kept as it came, in objects that end at segment edges, with a manifest that
    shows that none is missing. Runs until Ctrl-C, which makes everything read so far durable.
    Any number of archivers share the partitions. A source of which Kafka has deleted events that
    were not archived fails alone, and says so; the others go on.

    \b
    Examples:
      fastdata archive
      fastdata archive --once --json
      FASTDATA_ARCHIVE=/mnt/archive fastdata archive
    """  # noqa: D301  (click wants the backspace)
    if ctx.invoked_subcommand is None:
        asyncio.run(_archive(once, accept_loss or lossy, drain, metrics_port, as_json))


archive.add_command(import_archive)


def _check_names(accept_loss: Sequence[str], declared: Sequence[str]) -> None:
    for name in accept_loss:
        if name not in declared:
            advice = did_you_mean(name, declared, f"there are: {', '.join(declared)}")
            raise click.UsageError(f"no source {name!r} is declared; {advice}")


async def _archive(
    once: bool,
    accept_loss: bool | tuple[str, ...],
    drain: bool,
    port: int | None,
    as_json: bool,
) -> None:
    from fastdata.archive import open_archive_storage
    from fastdata.archive.consumer import run_archive
    from fastdata.declare.catalog import load_folder
    from fastdata.events.registry import open_registry
    from fastdata.kafka.connection import Broker
    from fastdata.settings import Settings

    settings = Settings.load(**with_port(port))
    sources = list(load_folder(settings.agents).sources.values())
    if isinstance(accept_loss, tuple):
        _check_names(accept_loss, sorted(source.name for source in sources))
    telemetry = ArchiveTelemetry(settings)
    reporter = _Reporter(len({source.topic for source in sources}), once, as_json, telemetry)
    on_signal(reporter.stop.set)
    registry = open_registry(settings.registry, settings.registry_ca)
    await registry.check()
    async with telemetry:
        await run_archive(
            sources,
            registry,
            open_archive_storage(settings.archive),
            broker=Broker.of(settings),
            stop=reporter.stop,
            tile_bytes=settings.tile_bytes,
            tile_age_s=settings.tile_age_s,
            accept_loss=accept_loss,
            drain=drain,
            application_id=settings.application_id,
            on_progress=reporter.report,
            on_failure=reporter.leave_out,
        )
    reporter.finish()


class _Reporter:
    """Prints and publishes progress, and knows when the end of the log is reached."""

    def __init__(self, topics: int, once: bool, as_json: bool, telemetry: ArchiveTelemetry) -> None:
        self._telemetry = telemetry
        self.stop = asyncio.Event()
        self._topics = topics
        self._once = once
        self._as_json = as_json
        self._latest: dict[str, ArchiveProgress] = {}
        self._shown_at = time.monotonic()
        self._shown_records = 0

    def report(self, progress: "ArchiveProgress") -> None:
        """Take note of one source's progress; stop when only this was asked for."""
        self._telemetry.note(progress)
        self._latest[progress.source] = progress
        is_known = len(self._latest) == self._topics
        if self._once and is_known and all(map(_is_at_end, self._latest.values())):
            self.stop.set()
        if time.monotonic() - self._shown_at >= _REPORT_S:
            self.show()

    def leave_out(self, source: str) -> None:
        """Wait no more for a source that has failed alone."""
        self._telemetry.leave_out(source)
        self._topics -= 1
        self._latest.pop(source, None)

    def finish(self) -> None:
        """Print the last state: a clean end has made everything durable that was read."""
        for name, progress in self._latest.items():
            self._latest[name] = replace(progress, durable=progress.position)
        self.show()

    def show(self) -> None:
        """Print what is durable, and how fast it went since the last time."""
        now, records = time.monotonic(), sum(progress.records for progress in self._latest.values())
        rate = (records - self._shown_records) / max(now - self._shown_at, 0.001)
        self._shown_at, self._shown_records = now, records
        for name, progress in sorted(self._latest.items()):
            if self._as_json:
                _echo(json.dumps({**asdict(progress), "records_per_s": round(rate, 1)}))
            else:
                offsets = [f"{p}:{offset:,}" for p, offset in sorted(progress.durable.items())]
                durable = " ".join(offsets) or "nothing"
                _echo(f"{name}: durable {durable} ({rate:,.0f} events/s)")


def _echo(line: str) -> None:
    try:
        click.echo(line)
    except BrokenPipeError:  # whoever read this is gone, and the events go on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_at_end(progress: "ArchiveProgress") -> bool:
    position, end = progress.position, progress.end
    is_known = bool(position) and position.keys() == end.keys()
    return is_known and all(position[p] >= end[p] for p in position)
