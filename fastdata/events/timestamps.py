"""Points in time and days that are written as text."""

import re
from datetime import UTC, date, datetime, timedelta, timezone

__all__ = ["parse_day", "parse_local", "parse_moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1)
_UNITS = {"ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_LOG = re.compile(
    r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r" ([+-])([0-9]{2})([0-9]{2})"
)


def parse_moment(text: str, unit: str) -> int:
    """A point in time, counted in the unit since 1970, UTC; a part of a unit is cut off.

    Args:
        text: ISO 8601 with an offset (`2024-02-29T12:00:00.5+01:00`, or `Z`), or as web servers
            log it (`29/Feb/2024:12:00:00 +0100`).
        unit: `ms` or `us`.

    Raises:
        ValueError: The text is of neither form, or has no offset from UTC.
    """
    logged = _LOG.fullmatch(text)
    moment = datetime.fromisoformat(text) if logged is None else _log_moment(*logged.groups())
    if moment.tzinfo is None:
        raise ValueError("it has no offset from UTC; add Z if it is UTC")
    return (moment - _EPOCH) // _UNITS[unit]


def parse_local(text: str, unit: str) -> int:
    """A local time, counted in the unit as if it were UTC; a part of a unit is cut off.

    Args:
        text: ISO 8601 without an offset (`2024-02-29 12:00:00.5`); a day alone is its midnight.
        unit: `ms` or `us`.

    Raises:
        ValueError: The text is of another form, or has an offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        raise ValueError("it has an offset from UTC; a local time has none")
    return (moment.replace(tzinfo=UTC) - _EPOCH) // _UNITS[unit]


def parse_day(text: str) -> int:
    """Days since 1970 of an ISO 8601 date.

    Raises:
        ValueError: The text is no such date.
    """
    return (date.fromisoformat(text) - _FIRST_DAY).days


def _log_moment(
    day: str, month: str, year: str, hour: str, minute: str, second: str, sign: str, *offset: str
) -> datetime:
    # `strptime` would read months in the language of the machine.
    if month not in _MONTHS:
        raise ValueError(f"{month!r} is no month")
    ahead = timedelta(hours=int(offset[0]), minutes=int(offset[1]))
    return datetime(
        int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second),
        tzinfo=timezone(-ahead if sign == "-" else ahead),
    )  # fmt: skip
