"""A demo on the terminal: live while it runs, one table at the end."""

import os
import sys
import time
from pathlib import Path
from typing import Self

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from fastdata.demo.answers import Bounds, Latest, published_numbers
from fastdata.demo.flights import PUBLISHED
from fastdata.demo.outcome import Moment, Outcome

__all__ = ["Screen", "show_outcome"]

_TITLES = {
    "flights": "flights",
    "distance": "miles",
    "delay": "delay",
    "worst": "worst",
    "aircraft": "aircraft",
}
_MONTHS = (
    "2013", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


class Screen:
    """Steps as they begin, and the flow of events live. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), console=console
        )
        self._tasks = {name: self._bars.add_task(name) for name in ("sent", "folded", "archived")}
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._began = time.monotonic()
        self._is_first = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def begin(self, step: str) -> None:
        """Say that a step begins."""
        self._live.stop()
        self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/dim]  {step}")

    def show(self, moment: Moment) -> None:
        """Show where the events are."""
        counts = {"sent": moment.sent, "folded": moment.folded, "archived": moment.archived}
        for name, task in self._tasks.items():
            self._bars.update(task, completed=counts[name], total=moment.total)
        lags = [partition.lag_s for partition in moment.source.partitions]
        seconds = max((lag for lag in lags if lag is not None), default=0.0)
        behind = sum(partition.lag or 0 for partition in moment.source.partitions)
        line = f"{moment.per_s:>9,.0f} events/s folded, lag {behind:,} events, {seconds:.1f} s"
        newest = _latest_table(moment.latest) if moment.latest else ""
        if moment.latest and self._is_first:
            self._is_first = False
            self.begin("first fresh numbers")
        self._live.update(Group(self._bars, line, newest))
        self._live.start()


def show_outcome(console: Console, outcome: Outcome, is_kept: bool) -> None:
    """Print the table of months, the drift by cause, the times, and what to try next."""
    console.print()
    console.print(_months_table(outcome))
    took = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in outcome.steps_s.items())
    peaks = ", ".join(f"{name} {peak} MiB" for name, peak in outcome.peak_mib.items())
    lines = [
        *_drift(outcome),
        f"\n[bold]Time[/bold]: {took}",
        f"[bold]Speed[/bold]: {outcome.events_per_s:,} events/s, folded and archived",
        f"[bold]Most memory[/bold]: {peaks or 'not known here'}",
        *_left(outcome),
        *_next(outcome, is_kept),
    ]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _latest_table(latest: Latest) -> Table:
    title = f"the 24 hours before {latest.until:%Y-%m-%d %H:%M} UTC, fresh"
    table = Table(title=title, title_justify="left")
    table.add_column("airport")
    for name in _TITLES.values():
        table.add_column(name, justify="right")
    for airport, values in latest.airports.items():
        table.add_row(airport, *_cells(values))
    return table


def _months_table(outcome: Outcome) -> Table:
    title = r"Departures from New York, 2013; \[lower, upper] where it is not certain"
    table = Table(
        title=title,
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    table.add_column("answer", no_wrap=True)
    for name in _TITLES.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("exact", no_wrap=True)
    for published, fresh, exact in zip(PUBLISHED, outcome.fresh, outcome.replayed, strict=True):
        for label, answer in (("fresh", fresh), ("replayed", exact)):
            month = _MONTHS[published.month] if answer is fresh else ""
            table.add_row(month, label, *_cells(answer.values), "yes" if answer.exact else "no")
        values = {
            name: (value, value, value) for name, value in published_numbers(published).items()
        }
        table.add_row("", "published", *_cells(values), style="dim", end_section=True)
    return table


def _cells(values: Bounds) -> list[str]:
    return [_cell(*values[name], digits=2 if name == "delay" else 0) for name in _TITLES]


def _cell(value: float | None, lower: float | None, upper: float | None, digits: int) -> str:
    if value is None:
        return "-"
    shown = [f"{number:,.{digits}f}" for number in (value, lower, upper) if number is not None]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} [{', '.join(shown[1:])}]"


def _drift(outcome: Outcome) -> list[str]:
    drift, sketch = outcome.drift, outcome.sketch
    uncovered = drift["not_yet_covered"]
    held = f"published within the bounds {sketch.held} of {sketch.answers} times"
    return [
        "\n[bold]What makes fresh and exact numbers differ[/bold]",
        f"  late, left to the replay  {drift['late']:,} events",
        f"  repeats, counted once     {drift['repeats']:,} events",
        f"  dead letters              {drift['dead_letters']:,} events",
        f"  sketches of aircraft      {sketch.worst:.2%} off at most; {held}",
        f"  not yet replayed          {uncovered:,} events",
    ]


def _left(outcome: Outcome) -> list[str]:
    if not outcome.left_behind:
        return []
    deletes = (f"  kafka-topics.sh … --delete --topic {name}" for name in outcome.left_behind)
    return ["\n[bold]Left on the Kafka that you gave[/bold]", *deletes]


def _next(outcome: Outcome, is_kept: bool) -> list[str]:
    folder = f"cd {outcome.folder}" if is_kept else "fastdata demo --dir flights; cd flights"
    return [
        "\n[bold]Try next[/bold]",
        *_activation(),
        f"  {folder}",
        "  fastdata query departures --every all --by origin",
        "  fastdata query departures --from 2013-02-08 --to 2013-02-11 --every 1h --format csv",
        "  fastdata replay --from 2013-01-01 --to 2014-01-02  # again: changes nothing",
        "  less agents/flights.py",
    ]


def _activation() -> list[str]:
    """What makes the command known to a shell that has not activated its environment."""
    script = Path(sys.prefix) / "bin/activate"
    if sys.prefix == sys.base_prefix or "VIRTUAL_ENV" in os.environ or not script.is_file():
        return []
    return [f"  . {script}"]
