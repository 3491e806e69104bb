"""`fastdata worker`."""

import asyncio

import click

from fastdata.cli.monitoring import metrics_port, with_port

__all__ = ["worker"]


@click.command(short_help="Fold events into fresh numbers, as they come.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many workers to run below this one, which starts those again that fail.",
)
@metrics_port
@click.option("-v", "--verbose", is_flag=True, help="Log also what goes well.")
@click.option("--member", default=None, hidden=True)
def worker(processes: int, metrics_port: int | None, member: str | None, *, verbose: bool) -> int:
    """Fold the events of all sources into fresh numbers, as they come.

    Loads the files of ./agents (or FASTDATA_AGENTS), like `faust -A fastdata worker`. Runs until
    Ctrl-C, which writes out everything that was folded. Any number of workers share the
    partitions; after a crash, start it again: nothing is lost and nothing counts twice.

    Exit code 70 means that it stopped itself, because it could not go on safely. With --processes
    such a one is started again, and the others go on; each line of the log says [whose] it is, and
    the ports of metrics are that one, the next, and so on.

    \b
    Examples:
      fastdata worker
      fastdata worker --processes 4 --metrics-port 9464
      FASTDATA_BROKER=kafka:9092 FASTDATA_AGENTS=/srv/agents fastdata worker
    """  # noqa: D301  (click wants the backspace)
    if processes > 1 and member is None:
        return _supervise(processes)
    from fastdata.app import run_worker
    from fastdata.settings import Settings

    settings = Settings.load(**with_port(metrics_port))
    if member is not None and settings.metrics_port:
        number = int(member.rpartition("-")[2])
        settings = Settings.load(metrics_port=settings.metrics_port + number - 1)
    run_worker(settings, "INFO" if verbose else "WARNING", member=member)
    return 0


def _supervise(processes: int) -> int:
    from fastdata.cli.supervisor import Supervisor
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings

    load_folder(Settings.load().agents)  # so that what is wrong there is said once
    return asyncio.run(Supervisor(processes).run())
