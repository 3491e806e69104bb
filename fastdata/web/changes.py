"""What has changed in the answers, told to all who listen; one poller for all of them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, floor_to, to_iso
from fastdata.declare.metric import Metric
from fastdata.errors import FastdataError, mask_url
from fastdata.web.looks import Look, Looks

__all__ = ["Changes"]

_INTERVAL_S = 1.0
_HEARTBEAT_S = 15.0
_log = logging.getLogger(__name__)
_Change = dict[str, str | None]


class Changes:
    """Looks at all metrics while somebody listens, and says what is new.

    Args:
        metrics: To look at.
        looks: What tells of them.
        interval_s: Seconds between two looks at all metrics.
        heartbeat_s: Whoever was told nothing for so long gets a sign of life.
    """

    def __init__(
        self,
        metrics: Collection[Metric],
        looks: Looks,
        interval_s: float = _INTERVAL_S,
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:
        self._metrics = metrics
        self._looks = looks
        self._interval_s = interval_s
        self._heartbeat_s = heartbeat_s
        self._listeners: set[_Listener] = set()
        self._poller: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()  # the poller knows what changes are against
        self._is_over = False

    def end(self) -> None:
        """Let every stream end."""
        self._is_over = True
        self._looked.set()
        for listener in self._listeners:
            listener.wake()

    async def stream(self, names: Collection[str]) -> AsyncIterator[bytes]:
        """Server-sent events about the metrics of these names, until `end`."""
        with self._listening(names) as listener:
            await self._looked.wait()
            yield b"retry: 2000\n" + _event("open", {})
            while not self._is_over:
                try:
                    await asyncio.wait_for(listener.woken.wait(), self._heartbeat_s)
                except TimeoutError:
                    yield b": nothing new\n\n"
                for name, change in listener.taken():
                    yield _event(name, change)

    @contextmanager
    def _listening(self, names: Collection[str]) -> "Iterator[_Listener]":
        listener = _Listener(names)
        self._listeners.add(listener)
        if self._poller is None or self._poller.done():
            self._looked.clear()
            self._poller = asyncio.create_task(self._poll())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def _poll(self) -> None:
        before: dict[str, Look] = {}
        problem = ""
        while self._listeners and not self._is_over:
            try:
                for metric in self._metrics:
                    look = await self._looks.at(metric)
                    if self._looked.is_set():
                        self._tell(metric.name, _changed(metric, before.get(metric.name), look))
                    before[metric.name] = look
                problem = ""
            except FastdataError as error:
                if problem != (problem := mask_url(str(error))):
                    self._tell("", {"detail": problem})
            except Exception:  # noqa: BLE001 - those who listen wait for the next look
                _log.exception("what changes cannot be told")
            self._looked.set()
            await asyncio.sleep(self._interval_s)

    def _tell(self, name: str, change: _Change | None) -> None:
        for listener in self._listeners:
            listener.tell(name, change)


class _Listener:
    """One reader: what it was not told yet. However slow it is, that is one change a metric."""

    def __init__(self, names: Collection[str]) -> None:
        self.woken = asyncio.Event()
        self._names = {"", *names}
        self._pending: dict[str, _Change] = {}

    def wake(self) -> None:
        self.woken.set()

    def tell(self, name: str, change: _Change | None) -> None:
        if change is not None and name in self._names:
            self._pending[name] = _both(self._pending.get(name), change)
            self.woken.set()

    def taken(self) -> Iterable[tuple[str, _Change]]:
        """What there is to tell, once."""
        pending, self._pending = self._pending, {}
        self.woken.clear()
        return [("change" if name else "problem", change) for name, change in pending.items()]


def _changed(metric: Metric, before: Look | None, after: Look) -> _Change | None:
    """From when to when answers are others; None when nothing is, nor how far they are read."""
    if after is before:
        return None
    if before is None:
        return _change(metric, after, [after.held] if after.held else [])
    hours = before.hours.keys() | after.hours.keys()
    moments = [hour for hour in hours if before.hours.get(hour) != after.hours.get(hour)]
    intervals = [(hour, hour + HOUR_MS) for hour in moments]
    if before.fresh_until != after.fresh_until:
        # Windows that end in between are over now.
        ends = [m for m in (before.fresh_until, after.fresh_until) if m is not None]
        intervals.append((floor_to(min(ends), MINUTE_MS), max(ends)))
    if before.run != after.run and after.run is not None:
        intervals.append((after.run.start, after.run.end))
    if not intervals and before.read_until == after.read_until:
        return None
    return _change(metric, after, intervals)


def _change(metric: Metric, after: Look, intervals: Sequence[tuple[int, int]]) -> _Change:
    return {
        "metric": metric.name,
        "start": _iso(min((start for start, _ in intervals), default=None)),
        "end": _iso(max((end for _, end in intervals), default=None)),
        "fresh_until": _iso(after.fresh_until),
        "read_until": _iso(after.read_until),
    }


def _iso(time_ms: int | None) -> str | None:
    # All of one length, so that they compare as text.
    return None if time_ms is None else to_iso(time_ms, "milliseconds")


def _both(first: _Change | None, second: _Change) -> _Change:
    """Two changes of a metric as one."""
    if first is None or "start" not in second:
        return second
    starts = [start for change in (first, second) if (start := change["start"])]
    ends = [end for change in (first, second) if (end := change["end"])]
    return second | {"start": min(starts, default=None), "end": max(ends, default=None)}


def _event(name: str, data: _Change) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
