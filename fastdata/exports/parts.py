"""How the rows of a flat table are cut into parts, each of which is replaced as a whole."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to

__all__ = ["EARLIEST", "LATEST", "Part", "Parts", "parts_of"]

EARLIEST, LATEST = -62_135_596_800_000, 253_402_214_400_000
"""What is exported: years 1 to 9999, without the last day."""

_REACH = 400 * DAY_MS  # no window of a calendar is longer


@dataclass(frozen=True, slots=True)
class Part:
    """Some adjacent windows; with rolling days, the one that ends with a day.

    Attributes:
        start: ms UTC.
        end: Exclusive.
        begins: Where its first window begins: before `start` with rolling days.
    """

    start: int
    end: int
    begins: int


class Parts(Protocol):
    """A way to cut all of time."""

    def of(self, time_ms: int) -> Part:
        """The part that holds an instant."""

    def near(self, hours: Sequence[int]) -> Iterator[Part]:
        """At least all parts that have windows which any of these hours touches.

        Args:
            hours: Their starts, ms UTC, ascending.
        """

    def clip(self, part: Part, fresh: int) -> int:
        """Up to where the windows of a part have ended, when all before `fresh` has."""


def parts_of(every: int | Grain, calendar: Calendar, least_ms: int) -> Parts:
    """The parts of a table.

    Args:
        every: Width of a window, ms, or its kind.
        calendar: What windows of a kind are those of.
        least_ms: How long a part is at least, where windows have a width.
    """
    if isinstance(every, Grain):
        return _CalendarParts(calendar, every)
    return _EvenParts(every, max(least_ms, every))


@dataclass(frozen=True, slots=True)
class _EvenParts:
    """Parts of one length, a multiple of an hour and of the window."""

    every_ms: int
    part_ms: int

    def of(self, time_ms: int) -> Part:
        start = floor_to(time_ms, self.part_ms)
        return Part(start, start + self.part_ms, start)

    def near(self, hours: Sequence[int]) -> Iterator[Part]:
        for start in dict.fromkeys(floor_to(hour, self.part_ms) for hour in hours):
            yield Part(start, start + self.part_ms, start)

    def clip(self, part: Part, fresh: int) -> int:
        return max(part.start, min(part.end, floor_to(fresh, self.every_ms)))


@dataclass(frozen=True, slots=True)
class _CalendarParts:
    """Each window of a calendar is a part; parts may begin within an hour."""

    calendar: Calendar
    grain: Grain

    def of(self, time_ms: int) -> Part:
        return next(self._touching(time_ms, time_ms + 1))

    def near(self, hours: Sequence[int]) -> Iterator[Part]:
        inside = bisect_left(hours, EARLIEST + _REACH), bisect_left(hours, LATEST - _REACH)
        near = hours[slice(*inside)]
        if near:
            days = self.grain.rolling - 1
            yield from self._touching(near[0], near[-1] + HOUR_MS + days * 25 * HOUR_MS)

    def clip(self, part: Part, fresh: int) -> int:
        return part.end if part.end <= fresh else part.start

    def _touching(self, start: int, end: int) -> Iterator[Part]:
        units = self.calendar.windows(Grain(self.grain.unit), start, end)
        windows = self.calendar.windows(self.grain, start, end)
        for (unit, after), (begins, _) in zip(units, windows, strict=True):
            yield Part(unit, after, begins)
