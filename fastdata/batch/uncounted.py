"""Hours before the window of a schedule that have events which nobody has counted."""

from collections.abc import Iterable
from dataclasses import dataclass

from fastdata.batch.plan import Contents, Hour
from fastdata.batch.publish import patiently
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, to_datetime
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.store.protocol import ServingStore

__all__ = ["Uncounted", "UncountedHours"]


@dataclass(frozen=True, slots=True)
class Uncounted:
    """What a scheduled replay leaves uncounted, for it is older than its window.

    Attributes:
        hours: How many there are.
        events: In segments that their heads do not count, repeats included.
        start: Of the first of them, ms UTC.
        end: Of the last one, ms UTC, exclusive.
    """

    metric: str
    hours: int
    events: int
    start: int
    end: int

    @property
    def command(self) -> str:
        """The command that counts them."""
        start, end = (f"{to_datetime(time):%Y-%m-%dT%H:%M}" for time in (self.start, self.end))
        return f"fastdata replay --metric {self.metric} --from {start} --to {end}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "metric"}
        return values | {"command": self.command}


class UncountedHours:
    """The uncounted hours of one metric, looked for where something is new.

    Only hours that were uncounted before, or have events in segments that were not looked at
    before, are compared with their heads; so the first look reads all heads, and later ones few.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._uncounted: set[int] = set()
        self._looked_at = Coverage()

    async def count(self, store: ServingStore, contents: Contents, before: int) -> Uncounted | None:
        """What is uncounted now; None when nothing is.

        Args:
            contents: Of the archive, up to which all hours from `before` on must be counted.
            before: ms UTC, aligned to the hour.

        Raises:
            StoreUnavailableError: The store did not answer; the same may be asked again.
        """
        suspects = [
            start
            for start, hour in contents.hours.items()
            if start < before and (start in self._uncounted or self._is_new(hour))
        ]
        uncounted: dict[int, int] = {}
        for hours in _stretches(suspects):
            edges = hours[0], hours[-1] + HOUR_MS
            heads = await patiently(store.heads, self._metric.id, *edges)
            for hour in hours:
                counted = heads[hour].coverage if hour in heads else Coverage()
                if events := contents.uncounted_events(hour, counted):
                    uncounted[hour] = events
        self._uncounted, self._looked_at = set(uncounted), contents.coverage
        if not uncounted:
            return None
        edges = min(uncounted), max(uncounted) + HOUR_MS
        return Uncounted(self._metric.name, len(uncounted), sum(uncounted.values()), *edges)

    def _is_new(self, hour: Hour) -> bool:
        return any(not self._looked_at.covers(p, segment) for p, segment in hour.newest.items())


def _stretches(hours: Iterable[int]) -> list[list[int]]:
    """The hours in order, apart where a day between them has none."""
    stretches: list[list[int]] = []
    for hour in sorted(hours):
        if not stretches or hour - stretches[-1][-1] > DAY_MS:
            stretches.append([])
        stretches[-1].append(hour)
    return stretches
