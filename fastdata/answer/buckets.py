"""The intervals that the rows of an answer are about."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import HOUR_MS, floor_to

__all__ = ["Buckets"]


@dataclass(frozen=True, slots=True)
class Buckets:
    """The intervals that rows are about, within `[start, end)`.

    Attributes:
        start: ms UTC, aligned to the metric's window.
        end: Exclusive.
        every: Width in ms; buckets begin at multiples of it since 1970, and the first and the
            last are cut to `[start, end)`. None for one bucket.
        edges: Instead of a width: where each bucket begins, ascending, the first at `start`; and
            `end`.
        rolling: How many adjacent buckets a row is about. The first ones, which have fewer before
            them, have no row of their own.
    """

    start: int
    end: int
    every: int | None
    edges: tuple[int, ...] = ()
    rolling: int = 1

    @classmethod
    def of_calendar(
        cls, calendar: Calendar, grain: Grain, start: int, end: int, held: tuple[int, int]
    ) -> "Buckets | None":
        """The windows of a calendar that touch `[start, end)`; None when there are none.

        They are cut to it, but for the beginning of rolling days.

        Args:
            calendar: Of a time zone.
            grain: The kind of windows.
            start: ms UTC.
            end: Exclusive.
            held: What is stored, ms UTC; windows without any of it may be left out.

        Raises:
            OverflowError: They leave the years 1 to 9999.
        """
        first, last = max(start, held[0]), min(end, held[1])
        if grain.rolling > 1:
            # Later windows reach back to it; no day has more hours on the average.
            last = min(end, held[1] + grain.rolling * 25 * HOUR_MS)
        if first >= last:
            return None
        windows = list(calendar.windows(grain, first, last))
        begins, ends = windows[0][0], min(end, windows[-1][1])
        if grain.rolling == 1:
            begins = max(start, begins)
        units = calendar.windows(Grain(grain.unit), begins, ends)
        edges = (begins, *[unit for unit, _ in units if begins < unit], ends)
        return cls(begins, ends, None, edges, grain.rolling)

    def start_of(self, window: int) -> int:
        """The start of the bucket that holds `window`."""
        if self.edges:
            return self.edges[bisect_right(self.edges, window) - 1]
        return self.start if self.every is None else max(self.start, floor_to(window, self.every))

    def end_of(self, start: int) -> int:
        """The exclusive end of the bucket that begins at `start`."""
        if self.edges:
            return self.edges[bisect_right(self.edges, start)]
        if self.every is None:
            return self.end
        return min(self.end, floor_to(start, self.every) + self.every)

    def rows(self) -> Iterator[tuple[int, int]]:
        """The intervals `[start, end)` of all rows that there can be, in order."""
        if self.edges:
            yield from zip(self.edges, self.edges[self.rolling :], strict=False)
            return
        start = self.start
        while start < self.end:
            yield start, (start := self.end_of(start))
