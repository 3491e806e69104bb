"""Hours before a window that have got events nobody has counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fastdata.archive.manifest import ObjectEntry
from fastdata.batch.plan import Hour
from fastdata.batch.publish import patiently
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, to_datetime
from fastdata.coordinates.segments import Coverage, segment_of
from fastdata.declare.metric import Metric
from fastdata.store.protocol import Head, ServingStore

__all__ = ["Older", "OlderHours"]


@dataclass(frozen=True, slots=True)
class Older:
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
        """What counts them."""
        start, end = (f"{to_datetime(time):%Y-%m-%dT%H:%M}" for time in (self.start, self.end))
        return f"fastdata replay --metric {self.metric} --from {start} --to {end}"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "metric"}
        return values | {"command": self.command}


class OlderHours:
    """The uncounted hours of one metric, looked for where something is new.

    Only hours that were uncounted before, or have events in segments that were not looked at
    before, are compared with their heads; so the first look reads all heads, and later ones few.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._uncounted: set[int] = set()
        self._looked_at = Coverage()

    async def look(
        self,
        store: ServingStore,
        hours: Mapping[int, Hour],
        objects: Sequence[ObjectEntry],
        coverage: Coverage,
        before: int,
    ) -> Older | None:
        """What is uncounted now; None when nothing is.

        Args:
            hours: What `objects` hold.
            coverage: Where the objects end. All hours from `before` on must be counted up to it.
            before: ms UTC, aligned to the hour.

        Raises:
            StoreUnavailableError: The store did not answer; the same look may be had again.
        """
        wanted = [
            hour
            for hour, one in hours.items()
            if hour < before and (hour in self._uncounted or self._is_new(one))
        ]
        found: dict[int, int] = {}
        for some in _stretches(wanted):
            read = partial(store.heads, self._metric.id, some[0], some[-1] + HOUR_MS)
            heads = await patiently(read)
            events = {hour: self._count(heads.get(hour), hour, hours, objects) for hour in some}
            found |= {hour: count for hour, count in events.items() if count}
        self._uncounted, self._looked_at = set(found), coverage
        if not found:
            return None
        edges = min(found), max(found) + HOUR_MS
        return Older(self._metric.name, len(found), sum(found.values()), *edges)

    def _is_new(self, hour: Hour) -> bool:
        return any(not self._looked_at.covers(p, segment) for p, segment in hour.newest.items())

    def _count(
        self,
        head: Head | None,
        hour: int,
        hours: Mapping[int, Hour],
        objects: Sequence[ObjectEntry],
    ) -> int:
        size = self._metric.source.segment_size
        counted = head.coverage if head else Coverage()
        held = (objects[index] for index in hours[hour].objects)
        return sum(
            entry.hours[hour]
            for entry in held
            if not counted.covers(entry.partition, segment_of(entry.first, size))
        )


def _stretches(hours: Iterable[int]) -> list[list[int]]:
    """The hours in order, apart where a day between them has none."""
    stretches: list[list[int]] = []
    for hour in sorted(hours):
        if not stretches or hour - stretches[-1][-1] > DAY_MS:
            stretches.append([])
        stretches[-1].append(hour)
    return stretches
