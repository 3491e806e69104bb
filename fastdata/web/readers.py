"""Threads that read the store: whoever waits for a slow answer waits alone."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from threading import Thread
from typing import Self, TypeVar

from fastdata.errors import BusyError, StoreUnavailableError
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

__all__ = ["Deadline", "Readers"]

_T = TypeVar("_T")
_END_S = 5.0


class Deadline:
    """Until when work may take.

    Args:
        timeout_s: From now on.
    """

    def __init__(self, timeout_s: float) -> None:
        self._at = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Seconds until then; not more than 0 when it is over."""
        return self._at - time.monotonic()

    def end(self) -> None:
        """Let it be over now: nobody waits any more."""
        self._at = 0.0


_Work = Callable[[ServingStore, Deadline], Coroutine[None, None, _T]]


class Readers:
    """Some threads, each with an event loop and an open store of its own.

    What is read and merged there holds up neither the loop that takes requests nor the others. An
    async context manager.

    Args:
        url: Of the store. One that fails is opened again for the next one who asks.
        threads: How many there are, and so how many read at once; others wait.
    """

    def __init__(self, url: str, threads: int) -> None:
        self._all = [_Reader(url) for _ in range(threads)]
        self._idle: asyncio.Queue[_Reader] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        for reader in self._all:
            reader.start()
            self._idle.put_nowait(reader)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*[asyncio.to_thread(reader.end) for reader in self._all])

    async def run(self, work: _Work[_T], timeout_s: float) -> _T:
        """What `work` returns, in one of the threads.

        When it is cancelled, as by a client that hangs up, the time of the work is over as well.

        Args:
            work: Is given the store, and until when it may take. Where it awaits it is cancelled
                then; where it computes it has to look for itself.
            timeout_s: How long it may wait for a thread, and take.

        Raises:
            BusyError: That was not long enough. A thread that computes is not free before its end.
            SettingsError: The store's URL is not understood.
            StoreError: The store failed.
        """
        deadline = Deadline(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                reader = await self._idle.get()
        except TimeoutError:
            raise BusyError(
                f"{len(self._all)} others are being answered, and none was done within"
                f" {timeout_s:g} s: try again; FASTDATA_WEB_MAX_QUERIES says how many may be"
                " answered at once"
            ) from None
        future = asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(reader.read(work, deadline), reader.loop)
        )
        future.add_done_callback(lambda done: self._release(reader, done))
        try:
            # The thread is free when its work is done, whoever gives up.
            async with asyncio.timeout(deadline.left_s):
                return await asyncio.shield(future)
        except TimeoutError:
            raise BusyError(
                f"this took longer than {timeout_s:g} s: ask for a shorter range, wider windows or"
                " fewer dimensions, or let FASTDATA_WEB_TIMEOUT_S be more"
            ) from None
        except asyncio.CancelledError:
            reader.give_up(deadline)
            raise

    def _release(self, reader: "_Reader", done: asyncio.Future[_T]) -> None:
        if not done.cancelled():
            done.exception()  # whoever asked may have gone
        self._idle.put_nowait(reader)


class _Reader(Thread):
    """One thread; it does one thing at a time."""

    def __init__(self, url: str) -> None:
        super().__init__(name="fastdata-reader", daemon=True)
        self.loop = asyncio.new_event_loop()
        self._url = url
        self._store: ServingStore | None = None
        self._stack = AsyncExitStack()
        self._timeout: asyncio.Timeout | None = None  # of what it does now

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    async def read(self, work: _Work[_T], deadline: Deadline) -> _T:
        """What `work` returns; see `Readers.run`."""
        try:
            async with asyncio.timeout(deadline.left_s) as self._timeout:
                if self._store is None:
                    store = open_store(self._url, create=False)
                    self._store = await self._stack.enter_async_context(store)
                return await work(self._store, deadline)
        except StoreUnavailableError:
            await self._close()
            raise
        finally:
            self._timeout = None

    def give_up(self, deadline: Deadline) -> None:
        """Let what it does end; for the loop of those who asked."""
        deadline.end()  # what has not begun yet ends where it first awaits

        def end() -> None:
            if self._timeout is not None:
                self._timeout.reschedule(0)

        self.loop.call_soon_threadsafe(end)

    async def _close(self) -> None:
        self._store = None
        await self._stack.aclose()

    def end(self) -> None:
        """Close the store and end; may block."""
        closing = asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        try:
            closing.result(_END_S)
        except TimeoutError:
            return  # it still computes; as a daemon it keeps nobody from ending
        self.join(_END_S)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._close()
        self.loop.call_soon(self.loop.stop)
