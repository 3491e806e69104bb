"""A limit on rows written a second, the same on every store."""

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ["Pace"]

_BURST_S = 0.2


class Pace:
    """A token bucket that holds what a fifth of a second allows.

    For concurrent use by the tasks of one event loop.

    Args:
        rows_per_s: At most, over any longer time.
        clock: Seconds that only grow.
        sleep: Called with seconds.
    """

    def __init__(
        self,
        rows_per_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rows_per_s = rows_per_s
        self._clock = clock
        self._sleep = sleep
        self._next_write = 0.0

    @property
    def rows_at_once(self) -> int:
        """How many rows a write should have, so that none is a burst."""
        return max(1, int(self._rows_per_s * _BURST_S))

    async def wait(self, rows: int) -> None:
        """Return when so many rows may be written; those who come first go first."""
        now = self._clock()
        self._next_write = max(self._next_write, now - _BURST_S) + rows / self._rows_per_s
        await self._sleep(max(0.0, self._next_write - now))
