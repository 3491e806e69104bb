"""The states of days, merged from those that replays keep of hours, and kept themselves."""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fastdata.archive.manifest import ObjectEntry
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.job import WindowState
from fastdata.batch.plan import Hour
from fastdata.batch.publish import patiently
from fastdata.batch.rollups.keys import hour_key
from fastdata.batch.rollups.storage import KeptStates
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric, States
from fastdata.store.protocol import Head
from fastdata.store.rollups import touched_hours

__all__ = ["Content", "Days", "merge_rows"]

# Of days that several windows hold: some forty of 200,000 integers each.
_CACHE_BYTES = 64 << 20
_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Content:
    """What the archive holds of a source.

    Attributes:
        coverage: Where it ends.
        objects: Those up to there.
        hours: What these hold.
    """

    coverage: Coverage
    objects: Sequence[ObjectEntry]
    hours: Mapping[int, Hour]


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
        content: Content,
        heads: Mapping[int, Head],
        *,
        again: Container[int] = (),
    ) -> None:
        self._metric = metric
        self._content = content
        self._heads = heads
        self._again = again
        self._kept_hours = KeptStates(storage, metric, "hours")
        self._kept_days = KeptStates(storage, metric, "days")
        self._made: dict[int, str] = {}
        self._missing: set[int] = set()
        self._cache: OrderedDict[int, list[WindowState]] = OrderedDict()
        self._room = _CACHE_BYTES

    async def rows(self, start: int, end: int) -> Sequence[WindowState] | None:
        """The whole states of a day by dimensions; those of its hours are merged where needed.

        None when the states of an hour are not kept, or its head is ahead of the archive.

        Raises:
            ArchiveUnavailableError: The archive's store did not answer; retriable.
            CorruptStateError: A kept state does not verify.
        """
        if start in self._missing:
            return None
        if start in self._cache:
            self._cache.move_to_end(start)
            return self._cache[start]
        rows = await self._find(start, end)
        if rows is None:
            self._missing.add(start)
        else:
            self._remember(start, rows)
        return rows

    async def sweep(self) -> None:
        """Delete what was kept before of the days that were merged anew.

        Raises:
            ArchiveUnavailableError: The archive's store did not do it, or nobody knows; retriable.
        """
        if self._made:
            await patiently(partial(self._kept_days.sweep, self._made))

    async def _find(self, start: int, end: int) -> list[WindowState] | None:
        touched = {
            hour: self._heads[hour] for hour in touched_hours(start, end) if hour in self._heads
        }
        if any(self._content.coverage.is_behind(head.coverage) for head in touched.values()):
            return None
        keys = {hour: key for hour, head in touched.items() if (key := self._key(hour, head))}
        if not keys:
            return []
        key = hashlib.sha256(json.dumps([start, *keys.items()]).encode()).hexdigest()[:_DIGITS]
        if any(hour in self._again for hour in keys):
            return await self._make(start, key, keys, again=True)
        rows = await patiently(partial(self._kept_days.read, start, key))
        return await self._make(start, key, keys) if rows is None else rows

    async def _make(
        self, start: int, key: str, keys: Mapping[int, str], again: bool = False
    ) -> list[WindowState] | None:
        reads = [partial(self._kept_hours.read, hour, own) for hour, own in keys.items()]
        hours = await asyncio.gather(*map(patiently, reads))
        found = [row for rows in hours if rows is not None for row in rows if row[0] == start]
        if None in hours:
            return None
        rows = await asyncio.to_thread(_merge_hours, self._metric, start, found)
        await patiently(partial(self._kept_days.write, start, key, rows, again=again))
        self._made[start] = key
        return rows

    def _key(self, hour: int, head: Head) -> str | None:
        content, size = self._content, self._metric.source.segment_size
        if (held := content.hours.get(hour)) is None:
            return None
        return hour_key(hour, held, content.objects, head.coverage, size)

    def _remember(self, start: int, rows: list[WindowState]) -> None:
        self._cache[start] = rows
        self._room -= _size(rows)
        while self._room < 0 and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._room += _size(oldest)


def merge_rows(metric: Metric, merged: dict[str, States], rows: Iterable[WindowState]) -> None:
    """Merge the states of rows into those of their dimensions, in place.

    Raises:
        CorruptStateError: A state does not verify.
    """
    for _, dims, blob in rows:
        states = metric.load(blob)
        if dims in merged:
            metric.merge(merged[dims], states)
        else:
            merged[dims] = states


def _merge_hours(metric: Metric, start: int, rows: Iterable[WindowState]) -> list[WindowState]:
    merged: dict[str, States] = {}
    merge_rows(metric, merged, rows)
    return [(start, dims, metric.dump_whole(merged[dims])) for dims in sorted(merged)]


def _size(rows: Iterable[WindowState]) -> int:
    return sum(len(dims) + len(state) for _, dims, state in rows)
