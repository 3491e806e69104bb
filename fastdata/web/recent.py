"""What is read once for all who ask, and no more often than need be."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Recent"]

_T = TypeVar("_T")
_AGE_S = 1.0
_SHARE = 10  # of the time, one part at most is spent with reading


class Recent(Generic[_T]):
    """Keeps a value for a second, or for ten times as long as it took to read."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._until = 0.0
        self._value: _T
        self._failed: tuple[float, Exception] | None = None

    async def get(self, read: Callable[[], Awaitable[tuple[_T, float]]]) -> _T:
        """The value, read anew if it is too old; one of those who wait reads.

        Args:
            read: Gives it, and how many seconds reading took, without any waiting.
        """
        came = time.monotonic()
        async with self._lock:
            if self._failed is not None and came < self._failed[0]:
                raise self._failed[1]  # of the reading that was waited for
            began = time.monotonic()
            if began >= self._until:
                try:
                    self._value, took_s = await read()
                except Exception as error:
                    self._failed = time.monotonic(), error
                    raise
                self._until = began + max(_AGE_S, _SHARE * took_s)
            return self._value
