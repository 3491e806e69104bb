"""`fastdata alerts`."""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fastdata.cli.repeating import interval_option, pause
from fastdata.cli.signals import on_signal
from fastdata.errors import FastdataError, StoreError, mask_url

if TYPE_CHECKING:
    from fastdata.alerts.watch import AlertTurn, AlertWatch
    from fastdata.settings import Settings

__all__ = ["alerts"]


@click.command(short_help="Judge alerts, and tell what opens and closes.")
@click.option("--once", is_flag=True, help="Judge what is over now, send what waits, and end.")
@interval_option(help="Seconds between two looks.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a JSON object.")
def alerts(once: bool, interval_s: float, as_json: bool) -> None:
    """Judge the declared alerts, and tell what opens and closes, until Ctrl-C.

    A window is judged when workers are fresh past its end, on the bounds of its measures: an alert
    opens when its condition certainly holds, and closes when it certainly does not. Events are kept
    in the store before they are sent, and sent until they are taken, three days long, also by
    another call of this command. What a replay takes back is told, too.

    Exit code 1 of --once: something could not be judged or sent; the next call tries it again.

    \b
    Examples:
      fastdata alerts
      fastdata alerts --json --interval 60
      fastdata alerts --once
    """  # noqa: D301  (click wants the backspace)
    from fastdata.alerts.watch import AlertWatch
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings

    settings = Settings.load()
    declared = load_folder(settings.agents).alerts
    if not declared:
        raise click.ClickException(f"no alert is declared in {settings.agents}: see fastdata.Alert")
    watches = [AlertWatch(alert) for alert in declared.values()]
    sys.exit(asyncio.run(_watch(settings, watches, None if once else interval_s, as_json)))


async def _watch(
    settings: "Settings", watches: "Sequence[AlertWatch]", interval_s: float | None, as_json: bool
) -> int:
    from fastdata.store.opening import open_store

    stop, errors = asyncio.Event(), list[FastdataError]()
    if interval_s is not None:
        on_signal(stop.set)
    while not stop.is_set():
        last, errors = errors, []
        try:
            # A store that has failed is opened anew.
            async with open_store(settings.store, create=False) as store:
                while not stop.is_set() and not any(isinstance(e, StoreError) for e in errors):
                    turns = await asyncio.gather(*[watch.turn(store) for watch in watches])
                    errors = _show(turns, as_json)
                    _complain(errors, last)
                    if interval_s is None:
                        return 1 if errors else 0
                    await pause(stop, interval_s)
                    last = errors
        except FastdataError as error:
            if interval_s is None or not error.retriable:
                raise
            errors = [error]
            _complain(errors, last)
            await pause(stop, interval_s)
    return 0


def _show(turns: "Sequence[AlertTurn]", as_json: bool) -> list[FastdataError]:
    """Print the new events; what went wrong."""
    for event in (event for turn in turns for event in turn.events):
        click.echo(json.dumps(event.as_dict()) if as_json else event.text)
    return [error for turn in turns for error in turn.errors]


def _complain(errors: Sequence[FastdataError], last: Sequence[FastdataError]) -> None:
    """Say what went wrong, unless that was said of the look before."""
    texts, before = (dict.fromkeys(mask_url(str(e)) for e in part) for part in (errors, last))
    for text in texts if texts != before else ():
        click.echo(f"fastdata: {text}; it is tried again", err=True)
