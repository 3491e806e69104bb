"""What a query asks for: an interval, and the windows in it that rows are about."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from fastdata.answer.buckets import Buckets
from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import (
    MINUTE_MS,
    ceil_to,
    floor_to,
    now_ms,
    parse_duration,
)
from fastdata.coordinates.moments import parse_range
from fastdata.declare.derived import AnyMetric
from fastdata.errors import QueryError

__all__ = ["UNITS", "QueryRequest", "parse_grain"]

# Years 1 to 9999, which `datetime` and every store can say; whole hours.
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_800_000
UNITS = ("day", "week", "month")


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """An interval, and the windows in it that rows are about.

    Attributes:
        start: ms UTC; None for the first hour that is stored.
        end: Exclusive; None for the last one.
        every: Width of the windows in ms, or windows of the calendar; None for one window.
        calendar: That of the time zone.
    """

    start: int | None
    end: int | None
    every: int | Grain | None
    calendar: Calendar

    @classmethod
    def parse(
        cls,
        metric: AnyMetric,
        start: str | datetime | None,
        end: str | datetime | None,
        every: str | timedelta,
        rolling: str | None = None,
        zone: str | None = None,
        last: str | timedelta | None = None,
        now: int | None = None,
    ) -> Self:
        """Understand arguments as `query` takes them.

        Args:
            metric: Whose time zone is that of a request without one.
            now: ms UTC; None for the machine's clock.

        Raises:
            QueryError: An argument is wrong, or the interval is empty.
        """
        windows = _windows(every, rolling)
        try:
            calendar = metric.calendar if zone is None else Calendar(zone)
        except ValueError as error:
            raise QueryError(f"zone: {error}") from error
        try:
            first, until = parse_range(start, end, last, calendar, now_ms() if now is None else now)
        except ValueError as error:
            raise QueryError(str(error)) from error
        return cls(first, until, windows, calendar)

    @property
    def is_bounded(self) -> bool:
        """Whether both ends are given."""
        return self.start is not None and self.end is not None

    @property
    def grain(self) -> str:
        """The kind of windows as the metadata of an answer has it: "day", "15m", "all"."""
        match self.every:
            case None:
                return "all"
            case Grain():
                return self.every.unit
        return f"{self.every // MINUTE_MS}m"

    @property
    def rolling(self) -> str | None:
        """How many days a row is about, as in "30d"; None when days do not roll."""
        every = self.every
        return str(every) if isinstance(every, Grain) and every.rolling > 1 else None

    def read_range(self, span_ms: int) -> tuple[int, int]:
        """What must be read to answer: `[start, end)` in ms UTC, whole spans.

        Args:
            span_ms: The length of a span.

        Raises:
            QueryError: Its days leave the years 1 to 9999.
        """
        first, last = self.start, self.end
        if first is not None and self.rolling:
            # The first row is about days before `start`, too.
            reach = replace(self, end=first + 1).buckets((first, first + 1))
            first = first if reach is None else reach.start
        return (
            _EARLIEST if first is None else floor_to(first, span_ms),
            _LATEST if last is None else ceil_to(last, span_ms),
        )

    @property
    def fixed_range(self) -> tuple[int, int] | None:
        """Both ends; None where the calendar or what is stored decides which windows there are."""
        if self.start is None or self.end is None or isinstance(self.every, Grain):
            return None
        return self.start, self.end

    def within(self, held: tuple[int, int] | None) -> Self:
        """The request with both ends known, or with neither, when there is nothing between them.

        Args:
            held: What is stored, ms UTC; None for nothing.
        """
        if held is None and (self.start is None or self.end is None):
            return replace(self, start=None, end=None)
        first, last = held or (0, 0)
        start = first if self.start is None else self.start
        end = last if self.end is None else self.end
        is_any = start < end
        return replace(self, start=start if is_any else None, end=end if is_any else None)

    def buckets(self, held: tuple[int, int] | None) -> Buckets | None:
        """The windows to answer, if both ends are known; None when there are none.

        Args:
            held: What is stored, ms UTC; None for nothing.

        Raises:
            QueryError: They leave the years 1 to 9999.
        """
        if self.start is None or self.end is None:
            return None
        if not isinstance(self.every, Grain):
            return Buckets(self.start, self.end, self.every)
        if held is None:
            return None
        try:
            return Buckets.of_calendar(self.calendar, self.every, self.start, self.end, held)
        except OverflowError as error:
            raise QueryError(
                f"not every {self.every.unit} asked for is in the years 1 to 9999: give a later "
                "start, or an earlier end"
            ) from error


def parse_grain(every: str | timedelta, rolling: str | None) -> Grain:
    """The windows of a calendar that are asked for.

    Args:
        every: "day", "week" or "month".
        rolling: How many days a window has, as in "30d"; None for whole units.

    Raises:
        QueryError: They do not fit together.
    """
    if rolling is None:
        return Grain.parse(str(every))
    if every != "day":
        raise QueryError(
            f"rolling is {rolling} and every is {every}: there is a row of rolling days for each "
            "day, so every must be 'day'"
        )
    try:
        grain = Grain.parse(rolling)
    except ValueError:
        grain = Grain("day")
    if grain.rolling == 1:
        raise QueryError(f"rolling is {rolling}; it must be a number of days, from '2d' to '366d'")
    return grain


def _windows(every: str | timedelta, rolling: str | None) -> int | Grain | None:
    if rolling is not None or every in UNITS:
        return parse_grain(every, rolling)
    if every == "all":
        return None
    try:
        width = parse_duration(every)
    except ValueError as error:
        raise QueryError(f"every: {error}; or 'day', 'week', 'month' or 'all'") from error
    if width < MINUTE_MS or width % MINUTE_MS:
        raise QueryError(f"every is {every}; it must be 'all' or a whole number of minutes")
    return width
