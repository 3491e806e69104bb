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
from fastdata.declare.metric import Metric, States
from fastdata.store.protocol import Head
from fastdata.store.rollups import DAY, OVERALL, cost_of, has_overall, is_large, touched_hours

__all__ = ["Days"]

# Of days that several windows hold: some forty of 200,000 integers each.
_CACHE_BYTES = 64 << 20
_LITTLE_BYTES = 64 << 10
_DIGITS = 32


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

    async def rows(self, start: int, end: int) -> Sequence[WindowState] | None:
        """The whole states of a day by dimensions, and that of all its events where there is one.

        None when the states of an hour are not kept, or its head is ahead of the archive.

        Args:
            start: ms UTC, of the day.
            end: ms UTC, exclusive.

        Raises:
            ArchiveUnavailableError: The archive's store did not answer; retriable.
            CorruptStateError: A kept state does not verify.
        """
        if start in self._cache:
            self._cache.move_to_end(start)
        else:
            self._remember(start, await self._read_or_merge(start, end))
        return self._cache[start]

    async def merged(
        self, start: int, end: int, *, large_of: int | None = None
    ) -> dict[str, States] | None:
        """The whole states of a window by dimensions; its days are merged where needed.

        None when those of a day are not there.

        Args:
            start: ms UTC, at the start of a day.
            end: ms UTC, exclusive.
            large_of: Only what readers should not merge themselves of a window of so many days.

        Raises:
            ArchiveUnavailableError: The archive's store did not answer; retriable.
            CorruptStateError: A kept state does not verify.
        """
        merging = _Merging(self._metric, large_of)
        for day in self._metric.calendar.windows(DAY, start, end):
            rows = await self.rows(*day)
            if rows is None:
                return None
            if _size(rows) < _LITTLE_BYTES:
                merging.add(rows)  # sooner than a thread begins
            else:
                await asyncio.to_thread(merging.add, rows)
        return merging.merged

    async def sweep(self) -> None:
        """Delete what was kept before of the days that were merged anew.

        Raises:
            ArchiveUnavailableError: The archive's store did not do it, or nobody knows; retriable.
        """
        await patiently(self._kept_days.sweep, self._merged)

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
        if rows is None:
            return await self._merge(start, key, keys)
        # Those that were kept by earlier versions are without it.
        return await asyncio.to_thread(_with_overall, self._metric, start, rows)

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


class _Merging:
    """Merges rows of days by dimensions.

    Args:
        large_of: Leave out what costs readers little of a window of so many days.

    Attributes:
        merged: The states, by dimensions.
    """

    def __init__(self, metric: Metric, large_of: int | None = None) -> None:
        self._metric = metric
        self._large_of = large_of
        self._small: dict[str, tuple[int, list[bytes]]] = {}  # cost and envelopes
        self.merged: dict[str, States] = {}

    def add(self, rows: Iterable[WindowState]) -> None:
        for _, dims, blob in rows:
            if self._large_of is None or dims in self.merged:
                self._merge(dims, blob)
                continue
            cost, blobs = self._small.get(dims, (0, []))
            cost += cost_of(blob)
            blobs.append(blob)
            self._small[dims] = cost, blobs
            # The large states of days lie apart.
            if is_large(cost, self._large_of) or is_large(cost_of(blob)):
                del self._small[dims]
                for small in blobs:
                    self._merge(dims, small)

    def _merge(self, dims: str, blob: bytes) -> None:
        states = self._metric.load(blob)
        if dims in self.merged:
            self._metric.merge(self.merged[dims], states)
        else:
            self.merged[dims] = states


def _merge_hours(metric: Metric, start: int, rows: Iterable[WindowState]) -> list[WindowState]:
    merging = _Merging(metric)
    merging.add(rows)
    merged = merging.merged
    return _with_overall(
        metric, start, [(start, dims, metric.dump_whole(merged[dims])) for dims in sorted(merged)]
    )


def _with_overall(metric: Metric, start: int, rows: list[WindowState]) -> list[WindowState]:
    """The rows of a day, and the state of all its events where one is kept and is not there."""
    if not rows or not has_overall(metric.by, metric.selection.sets):
        return rows
    if any(dims == OVERALL for _, dims, _ in rows):
        return rows
    merging = _Merging(metric)
    merging.add((start, OVERALL, blob) for _, _, blob in rows)
    return [*rows, (start, OVERALL, metric.dump_whole(merging.merged[OVERALL]))]


def _size(rows: Iterable[WindowState] | None) -> int:
    return sum(len(dims) + len(state) for _, dims, state in rows or ())
