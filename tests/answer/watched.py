"""A store that tells how much is read of it."""

from collections.abc import Sequence

from fastdata.store.hours import Hours
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Reading

__all__ = ["Watched"]


class Watched(MemoryStore):
    """Remembers how many totals of hours are read, and may be changed between two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: list[int] = []
        self.before_reading: list[tuple[str, int]] = []

    async def read(
        self,
        metric: str,
        unfolded: str,
        topic: str,
        start: int,
        end: int,
        totals: Sequence[tuple[int, int]] | None = None,
        dims: Sequence[str] = ("",),
        hours: Hours | None = None,
        windows: tuple[int, int] | None = None,
    ) -> Reading:
        is_of_hours = metric != unfolded
        if is_of_hours and self.before_reading:
            assert await self.undo(*self.before_reading.pop())
        reading = await super().read(
            metric, unfolded, topic, start, end, totals, dims, hours, windows
        )
        if is_of_hours:
            self.totals.append(len(reading.totals))
        return reading
