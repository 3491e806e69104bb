"""Days, weeks and months of a time zone, as instants: a day may have 23 or 25 hours."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from fastdata.coordinates.instants import MINUTE_MS, ceil_to, to_datetime
from fastdata.errors import did_you_mean

__all__ = ["Calendar", "Grain"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_ROLLING = re.compile(r"([1-9][0-9]{0,2})d")
_MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Grain:
    """A kind of window of a calendar.

    Attributes:
        unit: What a window is; weeks begin on Monday.
        rolling: How many days a window has, where the unit is the day: there is one window for
            each day, which is its last one. 1 for the days themselves.
    """

    unit: Literal["day", "week", "month"]
    rolling: int = 1

    def __str__(self) -> str:
        return self.unit if self.rolling == 1 else f"{self.rolling}d"

    @classmethod
    def parse(cls, text: str) -> "Grain":
        """The grain of "day", "week", "month", or of rolling days such as "30d".

        Raises:
            ValueError: The text is no grain.
        """
        match text:
            case "day" | "week" | "month":
                return cls(text)
        days = _ROLLING.fullmatch(text)
        if days is None or not 1 < int(days[1]) <= _MOST_DAYS:
            raise ValueError(
                f"{text!r} is not 'day', 'week', 'month' or rolling days from '2d' to "
                f"'{_MOST_DAYS}d'"
            )
        return cls("day", int(days[1]))


class Calendar:
    """Windows of a time zone, in ms UTC; each begins at a whole minute.

    A day begins at the first instant of its date; a date that a zone left out has no day.

    Args:
        zone: Name of the IANA database, such as "Europe/Berlin".

    Raises:
        ValueError: There is no such zone.
    """

    def __init__(self, zone: str) -> None:
        try:
            self._info = ZoneInfo(zone)
        except (LookupError, OSError, ValueError):
            advice = "write a name of the IANA database, as in 'Europe/Berlin'"
            raise ValueError(
                f"{zone!r} is no time zone: {did_you_mean(zone, available_timezones(), advice)}"
            ) from None
        self.zone = zone
        self._start_of = lru_cache(maxsize=4096)(self._compute_start)

    def __repr__(self) -> str:
        return f"Calendar({self.zone!r})"

    def day_of(self, time_ms: int) -> int:
        """The start of the day that holds an instant."""
        return self._start_of(self._date(time_ms))

    def windows(self, grain: Grain, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The windows of a grain that touch an interval, in order, as pairs of start and end.

        Of rolling days, those whose last day touches it.

        Args:
            grain: The kind of the windows.
            start: Of the interval, ms UTC.
            end: Of the interval, ms UTC, exclusive.

        Raises:
            OverflowError: A window leaves the years 1 to 9999.
        """
        first = self._first(grain, self._date(start))
        # The starts of the days of a rolling window; else that of the window itself.
        starts = deque(self._before(first, grain.rolling - 1), maxlen=grain.rolling)
        while self._start_of(first) < end:
            after = self._after(grain, first)
            # A date that the zone left out begins where the next one does.
            if self._start_of(first) < self._start_of(after):
                starts.append(self._start_of(first))
                yield starts[0], self._start_of(after)
            first = after

    def _before(self, day: date, number: int) -> list[int]:
        """The starts of the `number` days before a date, in order."""
        starts: list[int] = []
        while len(starts) < number:
            day -= _DAY
            if self._start_of(day) < self._start_of(day + _DAY):
                starts.append(self._start_of(day))
        return starts[::-1]

    def _date(self, time_ms: int) -> date:
        """The date whose day holds an instant."""
        day = to_datetime(time_ms).astimezone(self._info).date()
        # Clocks that are put back at midnight show the date before once more.
        while self._start_of(day + _DAY) <= time_ms:
            day += _DAY
        while self._start_of(day) > time_ms:
            day -= _DAY
        return day

    def _compute_start(self, day: date) -> int:
        # A midnight that clocks skip is, by the offset before it, the instant at which they do.
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._info)
        return ceil_to((midnight - _EPOCH) // timedelta(milliseconds=1), MINUTE_MS)

    def _first(self, grain: Grain, day: date) -> date:
        """The first date of the day, week or month that holds a date."""
        match grain.unit:
            case "week":
                return day - _DAY * day.weekday()
            case "month":
                return day.replace(day=1)
        return day

    def _after(self, grain: Grain, first: date) -> date:
        """The first date of the next day, week or month."""
        match grain.unit:
            case "week":
                return first + _DAY * 7
            case "month":
                return (first + _DAY * 31).replace(day=1)
        return first + _DAY
