"""What is made once for all who ask the same, and kept for those who ask after them."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["Shared"]

_T = TypeVar("_T")


class Shared(Generic[_T]):
    """Values by key, the newest of them.

    Args:
        most: How many are kept.
        is_kept: Whether a value is; those who wait for it get it all the same.
    """

    def __init__(self, most: int, is_kept: Callable[[_T], bool] = lambda _value: True) -> None:
        self._most = most
        self._is_kept = is_kept
        self._tasks: OrderedDict[str, asyncio.Task[_T]] = OrderedDict()
        self._waiting = Counter[asyncio.Task[_T]]()

    async def get(self, key: str, make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """The value; what makes it is given up when all who wait for it are cancelled.

        Args:
            key: What tells the value from all others.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(make())
            task.add_done_callback(lambda done: self._keep(key, done))
        self._tasks.move_to_end(key)
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not task.done():
                    task.cancel()
                    self._forget(key, task)

    def _keep(self, key: str, task: asyncio.Task[_T]) -> None:
        if task.cancelled() or task.exception() or not self._is_kept(task.result()):
            self._forget(key, task)
        while len(self._tasks) > self._most:
            self._tasks.popitem(last=False)

    def _forget(self, key: str, task: asyncio.Task[_T]) -> None:
        if self._tasks.get(key) is task:  # and not one that came after it
            del self._tasks[key]
