"""How intervals and windows are asked for, and how they are shown."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypedDict
from zoneinfo import ZoneInfo

import click

from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import floor_to, parse_duration, parse_instant, to_datetime

if TYPE_CHECKING:
    from fastdata.answer.arrow import Description

__all__ = ["RangeOptions", "ranged", "show_instant", "show_local", "show_window", "window_title"]


class RangeOptions(TypedDict):
    """The options of `ranged`, as `fastdata.query` takes them."""

    start: str | None
    end: str | None
    last: str | None
    every: str
    rolling: str | None
    zone: str | None


def ranged(every: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options of an interval and its windows.

    Args:
        every: The width where none is given.
    """

    def ranged(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    options = [
        click.option(
            "--from",
            "start",
            metavar="TIME",
            help="Start: 2013-01-01, 2013-01-01T06:00Z, today (when it began), yesterday or now.",
        ),
        click.option(
            "--to",
            "end",
            metavar="TIME",
            help="Exclusive end, said likewise. Without both: all that is known.",
        ),
        click.option(
            "--last",
            metavar="DURATION",
            help="Instead of --from: so long before --to, or before now, as in 30m, 24h or 7d.",
        ),
        click.option(
            "--every",
            default=every,
            metavar="WIDTH",
            show_default=True,
            help="Width of a row: 1m, 1h, 1d, …, day, week, month or all.",
        ),
        click.option(
            "--rolling", metavar="DAYS", help="With --every day: days that end with it, as in 30d."
        ),
        click.option(
            "--zone", metavar="NAME", help="Time zone, as in Europe/Berlin. [default: the metric's]"
        ),
    ]
    return ranged


def window_title(about: "Description") -> str:
    """What the column of windows is called."""
    title = "window" if about["rolling"] is None else f"{about['rolling']} to"
    return title if about["zone"] == "UTC" else f"{title} ({about['zone']})"


def show_window(row: Mapping[str, object], about: "Description") -> str:
    """A window in the zone, and what of it a row is about, where that is not all of it.

    A date, a month, or a time, as in `2013-01-01`, or `2013-01-01 from 05:00`; of rolling days the
    last one.

    Args:
        row: Of the answer, with instants as ISO text.
        about: What it answers.
    """
    start, end = (parse_instant(str(row[name])) for name in ("window_start", "window_end"))
    calendar, every = Calendar(about["zone"]), about["every"]
    if about["rolling"] is not None:
        # It begins before the range that was asked for, and is whole all the same.
        start = calendar.day_of(end - 1)
    begins, ends = _whole(every, calendar, start, end)
    shown = _local(begins, about["zone"])
    if every in ("day", "week", "month"):
        shown = shown[: 7 if every == "month" else 10]
    since = f" from {_local(start, about['zone'], shown)}" if begins < start else ""
    until = f" until {_local(end, about['zone'], shown)}" if end < ends else ""
    return shown + since + until


def _whole(every: str, calendar: Calendar, start: int, end: int) -> tuple[int, int]:
    """The window that a row lies in, which the ends of the range may have cut."""
    if every in ("day", "week", "month"):
        return next(calendar.windows(Grain.parse(every), start, start + 1))
    if every == "all":
        return start, end
    width = parse_duration(every)
    begins = floor_to(start, width)
    return begins, begins + width


def _local(instant: int, zone: str, beside: str = "") -> str:
    """An instant in a zone, without the date that stands beside it."""
    local = to_datetime(instant).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    text = local.isoformat(" ", "minutes")
    return text.removeprefix(f"{beside[:10]} ")


def show_local(instant: int, zone: str) -> str:
    """An instant in a zone; a date where it is the beginning of one."""
    return _local(instant, zone).removesuffix(" 00:00")


def show_instant(text: object) -> str:
    """Shorter than ISO, and up to its second."""
    return str(text)[:19].replace("T", " ").removesuffix(":00")
