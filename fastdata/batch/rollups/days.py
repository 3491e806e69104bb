"""The states of days, merged from those that replays keep of hours, and kept themselves."""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping, Sequence

from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.batch.plan import Contents
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.storage import KeptStates
from fastdata.coordinates.calendar import Grain
from fastdata.declare.metric import Metric, States
from fastdata.store.protocol import Head
from fastdata.store.rollups import touched_hours

__all__ = ["Days"]

# Of days that several windows hold: some forty of 200,000 integers each.
_CACHE_BYTES = 64 << 20
_DIGITS = 32
_DAY = Grain("day")


class Days:
    """The days of one metric, as its heads count them.

    Args:
        storage: The archive's.
        heads: By start of the hour; those of all hours of the days that are asked for.
        again: Hours whose days are merged from hours also where they are kept.
    """

    def __init__(
        self,
        metric: Metric,
        storage: ArchiveStorage,
        contents: Contents,
        heads: Mapping[int, Head],
        *,
        again: Container[int] = (),
    ) -> None:
        self._metric = metric
        self._contents = contents
        self._heads = heads
        self._again = again
        self._kept_hours = KeptStates(storage, metric, "hours")
        self._kept_days = KeptStates(storage, metric, "days")
        self._merged: dict[int, str] = {}
        self._cache: OrderedDict[int, list[WindowState] | None] = OrderedDict()
        self._room = _CACHE_BYTES

    async def merged(self, start: int, end: int) -> dict[str, States] | None:
        """The whole states of a window by dimensions; its days are merged where needed.

        None when the states of an hour are not kept, or its head is ahead of the archive.

        Args:
            start: ms UTC, at the start of a day.
            end: ms UTC, exclusive.

        Raises:
            ArchiveUnavailableError: The archive's store did not answer; retriable.
            CorruptStateError: A kept state does not verify.
        """
        merged: dict[str, States] = {}
        for day in self._metric.calendar.windows(_DAY, start, end):
            rows = await self._rows(*day)
            if rows is None:
                return None
            await asyncio.to_thread(_merge_rows, self._metric, merged, rows)
        return merged

    async def sweep(self) -> None:
        """Delete what was kept before of the days that were merged anew.

        Raises:
            ArchiveUnavailableError: The archive's store did not do it, or nobody knows; retriable.
        """
        await patiently(self._kept_days.sweep, self._merged)

    async def _rows(self, start: int, end: int) -> Sequence[WindowState] | None:
        if start in self._cache:
            self._cache.move_to_end(start)
        else:
            self._remember(start, await self._read_or_merge(start, end))
        return self._cache[start]

    async def _read_or_merge(self, start: int, end: int) -> list[WindowState] | None:
        heads = {
            hour: self._heads[hour] for hour in touched_hours(start, end) if hour in self._heads
        }
        contents = self._contents
        if any(contents.coverage.is_behind(head.coverage) for head in heads.values()):
            return None
        keys = {
            hour: key
            for hour, head in heads.items()
            if (key := contents.hour_key(hour, head.coverage))
        }
        if not keys:
            return []
        # Like that of an hour, the key of a day tells what is counted, by the keys of its hours.
        key = hashlib.sha256(json.dumps([start, *keys.items()]).encode()).hexdigest()[:_DIGITS]
        if any(hour in self._again for hour in keys):
            return await self._merge(start, key, keys, again=True)
        rows = await patiently(self._kept_days.read, start, key)
        return await self._merge(start, key, keys) if rows is None else rows

    async def _merge(
        self, start: int, key: str, hour_keys: Mapping[int, str], again: bool = False
    ) -> list[WindowState] | None:
        """Merge a day from its hours and keep it; None when one of these is not kept."""
        read = self._kept_hours.read
        hours = await asyncio.gather(*(patiently(read, *hour) for hour in hour_keys.items()))
        if None in hours:
            return None
        # An hour in which the day begins has rows of the day before, too.
        of_day = [row for rows in hours if rows is not None for row in rows if row[0] == start]
        rows = await asyncio.to_thread(_merge_hours, self._metric, start, of_day)
        await patiently(self._kept_days.write, start, key, rows, again=again)
        self._merged[start] = key
        return rows

    def _remember(self, start: int, rows: list[WindowState] | None) -> None:
        self._cache[start] = rows
        self._room -= _size(rows)
        while self._room < 0 and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._room += _size(oldest)


def _merge_rows(metric: Metric, merged: dict[str, States], rows: Iterable[WindowState]) -> None:
    for _, dims, blob in rows:
        states = metric.load(blob)
        if dims in merged:
            metric.merge(merged[dims], states)
        else:
            merged[dims] = states


def _merge_hours(metric: Metric, start: int, rows: Iterable[WindowState]) -> list[WindowState]:
    merged: dict[str, States] = {}
    _merge_rows(metric, merged, rows)
    return [(start, dims, metric.dump_whole(merged[dims])) for dims in sorted(merged)]


def _size(rows: Iterable[WindowState] | None) -> int:
    return sum(len(dims) + len(state) for _, dims, state in rows or ())
