"""Ranges of time as people ask for them: dates, instants, `today`, `now`, the last 24 hours."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from fastdata.coordinates.calendar import Calendar
from fastdata.coordinates.instants import (
    MINUTE_MS,
    ceil_to,
    floor_to,
    parse_duration,
    parse_instant,
    to_datetime,
)

__all__ = ["parse_range"]


def parse_range(
    start: str | datetime | None,
    end: str | datetime | None,
    last: str | timedelta | None,
    calendar: Calendar,
    now: int,
) -> tuple[int | None, int | None]:
    """The interval `[start, end)` that is asked for, in whole minutes, ms UTC; None for open ends.

    `today` and `yesterday` are the instants at which those days begin, so that yesterday is all
    from `yesterday` to `today`. `now`, the last so many minutes, and instants with seconds take in
    the minutes that they cut.

    Args:
        start: `now`, `today` or `yesterday`; ISO text, in local time where it names no offset; or
            an aware `datetime`.
        end: The same, exclusive.
        last: How long the interval is, as in "24h" or "90s"; it ends at `end`, or now.
        calendar: Whose days and local times are meant.
        now: ms UTC.

    Raises:
        ValueError: One of them is wrong, in a message that names it, or the interval is empty.
    """
    first, until = (
        _instant(name, value, calendar, now) for name, value in (("start", start), ("end", end))
    )
    if last is not None:
        if start is not None:
            raise ValueError(f"last is {last} and start is {start}: give only one of them")
        first = _before(now if until is None else until, last)
        until = ceil_to(now, MINUTE_MS) if until is None else until
    is_empty = first is not None and until is not None and until <= first
    if is_empty or _are_swapped(start, end, calendar):
        raise ValueError(f"the range is empty: its end {end} is not after its start {start}")
    return first, until


def _are_swapped(
    start: str | datetime | None, end: str | datetime | None, calendar: Calendar
) -> bool:
    """Whether an end lies before its start, perhaps in the same minute, which both then cut."""
    if start is None or end is None:
        return False
    zone = ZoneInfo(calendar.zone)
    try:
        return parse_instant(end, zone) < parse_instant(start, zone)
    except ValueError:
        return False  # a word: a minute begins or ends there


def _before(until: int, last: str | timedelta) -> int:
    try:
        width = parse_duration(last)
    except ValueError as error:
        raise ValueError(f"last: {error}") from error
    if not width:
        raise ValueError(f"last is {last}; it must be above 0")
    first = floor_to(until - width, MINUTE_MS)
    try:
        to_datetime(first)
    except OverflowError as error:
        raise ValueError(f"last is {last}, which begins before the year 1") from error
    return first


def _instant(name: str, value: str | datetime | None, calendar: Calendar, now: int) -> int | None:
    if value is None:
        return None
    match value.strip().lower() if isinstance(value, str) else value:
        case "now":
            return (floor_to if name == "start" else ceil_to)(now, MINUTE_MS)
        case "today":
            return calendar.day_of(now)
        case "yesterday":
            return calendar.day_of(calendar.day_of(now) - 1)
    try:
        instant = parse_instant(value, ZoneInfo(calendar.zone))
    except ValueError as error:
        also = ", or 'now', 'today' or 'yesterday'" if "not a date" in str(error) else ""
        raise ValueError(f"{name}: {error}{also}") from error
    is_cut = parse_instant(value) % MINUTE_MS
    # Where offsets from UTC had seconds, as before 1900, a minute of local time is none of UTC.
    minute = (floor_to if is_cut and name == "start" else ceil_to)(instant, MINUTE_MS)
    try:
        to_datetime(minute)
    except OverflowError as error:
        raise ValueError(f"{name} is {value}, whose minute ends after the year 9999") from error
    return minute
