"""`fastdata demo`."""

import asyncio
import json
import shutil
import signal
import tempfile
from pathlib import Path

import click

from fastdata.errors import FastdataError

__all__ = ["demo"]


@click.command(short_help="See it all work on 336,776 real events, with nothing else installed.")
@click.option("--rate", type=click.FloatRange(min=1), help="Events a second, to watch it live.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new folder to keep everything in; without it, all is gone at the end.",
)
@click.option(
    "--broker", metavar="HOST:PORT,…", help="A Kafka to use; without it, one inside of the demo."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, and only that.")
def demo(rate: float | None, folder: Path | None, broker: str | None, as_json: bool) -> None:
    """See it all work on 336,776 real events, with nothing else installed.

    Every flight that left New York in 2013, in the order of departure but by its scheduled time,
    goes through an embedded Kafka broker to a worker and an archiver, and is counted again by a
    replay, each in a process of its own. It ends with fresh and exact numbers beside the
    published ones. About a minute.

    The embedded broker keeps 5 MiB a partition, in memory: it is for demos and tests. With
    --broker it is a Kafka of yours, to which FASTDATA_BROKER_* let you in; no worker of fastdata
    may run there, and the topics that the demo makes stay.

    \b
    Examples:
      fastdata demo
      fastdata demo --rate 5000
      fastdata demo --broker kafka-1:9092,kafka-2:9092
      fastdata demo --dir flights; cd flights; fastdata query departures --every all --by origin
    """  # noqa: D301  (click wants the backspace)
    place = folder.resolve() if folder else Path(tempfile.mkdtemp(prefix="fastdata-demo-"))
    is_kept = folder is not None
    try:
        asyncio.run(_demo(place, rate, broker, as_json, is_kept))
    except FastdataError:
        is_kept = is_kept or place.joinpath("logs").is_dir()
        raise
    except asyncio.CancelledError:
        raise click.Abort from None
    finally:
        if not is_kept:
            shutil.rmtree(place, ignore_errors=True)


async def _demo(
    folder: Path, rate: float | None, broker: str | None, as_json: bool, is_kept: bool
) -> None:
    from rich.console import Console

    from fastdata.demo.run import run_demo
    from fastdata.demo.screen import Screen, show_outcome
    from fastdata.kafka.connection import Broker
    from fastdata.settings import Settings

    existing = Broker.of(Settings.load(broker=broker)) if broker else None
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else lambda: None)
    console = Console(stderr=as_json)
    with Screen(console) as screen:
        outcome = await run_demo(folder, rate, screen.begin, screen.show, existing)
    if as_json:
        click.echo(json.dumps(outcome.as_dict(), indent=2))
    else:
        show_outcome(console, outcome, is_kept)
