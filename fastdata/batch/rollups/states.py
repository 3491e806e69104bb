"""Whole states of hours, of which longer windows are merged."""

from collections.abc import Iterable

from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Metric, States

__all__ = ["HourStates"]

_Cell = tuple[int, str]  # start of a day of the metric's zone, dimensions


class HourStates:
    """The states of hours by day and dimensions; of a metric without rollups nothing.

    A day of a zone may begin within an hour, which then has states of two days.

    Args:
        spans: The hours that are wanted, also those that get no states.
    """

    def __init__(self, metric: Metric, spans: Iterable[int]) -> None:
        self._metric = metric
        self._hours: dict[int, dict[_Cell, States]] = (
            {span: {} for span in spans} if metric.rollups else {}
        )
        self._days: dict[int, int] = {}

    def add(self, window: int, dims: str, states: States) -> None:
        """Merge the states of a minute, which become this one's own."""
        hour = self._hours.get(window - window % HOUR_MS)
        if hour is None:
            return
        day = self._days.get(window)
        if day is None:
            day = self._days[window] = self._metric.calendar.day_of(window)
        known = hour.get((day, dims))
        if known is None:
            hour[day, dims] = states
        else:
            self._metric.merge(known, states)

    def rows(self) -> dict[int, list[tuple[int, str, bytes]]]:
        """The rows to keep of each hour, in order; see `KeptStates`."""
        dump = self._metric.dump_whole
        return {
            span: sorted((day, dims, dump(states)) for (day, dims), states in hour.items())
            for span, hour in self._hours.items()
        }
