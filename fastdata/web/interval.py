"""The interval that a request asks for."""

from zoneinfo import ZoneInfo

from fastdata.coordinates.calendar import Calendar
from fastdata.coordinates.instants import (
    MINUTE_MS,
    ceil_to,
    parse_duration,
    parse_instant,
    to_datetime,
    to_iso,
)
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError

__all__ = ["interval"]


def interval(
    metric: Metric, start: str | None, end: str | None, last: str | None, zone: str | None, now: int
) -> tuple[str | None, str | None]:
    """Start and end as `ask` takes them.

    Args:
        metric: Whose time zone it is where none is named.
        last: Instead of `start`: so long before the end, or before now, as in "24h".
        now: ms UTC.

    Raises:
        QueryError: An argument is wrong.
    """
    if last is None:
        return start, end
    if start is not None:
        raise QueryError("from and last are both given: leave one of them out")
    try:
        width = parse_duration(last)
        calendar = metric.calendar if zone is None else Calendar(zone)
    except ValueError as error:
        raise QueryError(f"last: {error}") from error
    if end is not None:
        try:
            until = parse_instant(end, ZoneInfo(calendar.zone))
        except ValueError as error:
            raise QueryError(f"end: {error}") from error
    else:
        until = ceil_to(now, MINUTE_MS)
    try:
        to_datetime(until - width)
    except OverflowError:
        raise QueryError(f"last is {last}, which begins before the year 1") from None
    return to_iso(until - width), to_iso(until)
