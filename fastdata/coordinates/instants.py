"""Time: int milliseconds UTC inside, aware `datetime` and `timedelta` outside."""

import re
import time
from datetime import UTC, datetime, timedelta, tzinfo

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "MINUTE_MS",
    "ceil_to",
    "floor_to",
    "now_ms",
    "parse_duration",
    "parse_instant",
    "to_datetime",
    "to_iso",
]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_UNITS = {"ms": 1, "s": 1_000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"(\d+)\s*(ms|s|m|h|d|w)")
_LONGEST_MS = timedelta.max // timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _END_MS = -719_162 * DAY_MS, 2_932_897 * DAY_MS  # of the years 1 to 9999


def now_ms() -> int:
    """Now by the machine's clock, ms UTC."""
    return time.time_ns() // 1_000_000


def floor_to(time_ms: int, size_ms: int, origin_ms: int = 0) -> int:
    """The start of the window of `size_ms` that holds `time_ms`; windows begin at `origin_ms`."""
    return time_ms - (time_ms - origin_ms) % size_ms


def ceil_to(time_ms: int, size_ms: int, origin_ms: int = 0) -> int:
    """The first start of a window of `size_ms` at or after `time_ms`; one is at `origin_ms`."""
    return time_ms + (origin_ms - time_ms) % size_ms


def parse_duration(value: str | timedelta) -> int:
    """Milliseconds of a `timedelta` or of text such as "90s", "1m", "24h", "7d".

    Raises:
        ValueError: It is neither, negative, or longer than a `timedelta` can be.
    """
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise ValueError(f"a duration cannot be negative: {value}")
        return value // timedelta(milliseconds=1)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"not a duration: {value!r}; write a whole number and ms, s, m, h, d or w, as in '24h'"
        )
    number, unit = match.groups()
    # Of too many digits there is no int.
    if len(number) > 20 or (duration_ms := int(number) * _UNITS[unit]) > _LONGEST_MS:
        raise ValueError(f"a duration of {number[:30]}{unit} is too long; at most it is 999999999d")
    return duration_ms


def parse_instant(value: str | datetime, zone: tzinfo = UTC) -> int:
    """Milliseconds UTC of an aware `datetime` or of ISO text.

    Args:
        value: The instant.
        zone: Of text that names none. Where its clocks are put back, the first of two instants is
            meant; a time that they skip is taken with the offset before.

    Raises:
        ValueError: The text is no date or time, the `datetime` has no time zone, or it is outside
            of the years 1 to 9999, UTC.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(
                f"not a date or time: {value!r}; write '2013-01-31' or '2013-01-31T06:00:00Z'"
            ) from None
        moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
    elif not isinstance(value, datetime):
        raise ValueError(f"not a date or time: {value!r}; give text or an aware datetime")
    else:
        moment = value
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone; add one, as in tzinfo=UTC")
    time_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not _FIRST_MS <= time_ms < _END_MS:
        raise ValueError(f"{moment.isoformat()} is outside of the years 1 to 9999, UTC")
    return time_ms


def to_datetime(time_ms: int) -> datetime:
    """The aware UTC `datetime` of an instant.

    Raises:
        OverflowError: It is outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(milliseconds=time_ms)


def to_iso(time_ms: int, timespec: str = "auto") -> str:
    """An instant as ISO text in UTC, as in `2013-01-31T06:00:00Z`.

    Args:
        time_ms: ms UTC.
        timespec: Up to what it is said, as of `datetime.isoformat`.

    Raises:
        OverflowError: It is outside the years 1 to 9999.
    """
    return to_datetime(time_ms).isoformat(timespec=timespec).replace("+00:00", "Z")
