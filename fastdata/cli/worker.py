"""`fastdata worker`."""

import click

__all__ = ["worker"]


@click.command(short_help="Fold events into fresh numbers, as they come.")
def worker() -> None:
    """Fold the events of all sources into fresh numbers, as they come.

    Loads the files of ./agents (or FASTDATA_AGENTS), like `faust -A fastdata worker`. Runs until
    Ctrl-C, which writes out everything that was folded. Any number of workers share the
    partitions; after a crash, start it again: nothing is lost and nothing counts twice.

    Exit code 70 means that it stopped itself, because it could not go on safely.

    \b
    Examples:
      fastdata worker
      FASTDATA_BROKER=kafka:9092 FASTDATA_AGENTS=/srv/agents fastdata worker
    """  # noqa: D301  (click wants the backspace)
    from fastdata.app import run_worker
    from fastdata.settings import Settings

    run_worker(Settings.load())
