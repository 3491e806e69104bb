"""The partials in Cassandra: where they lie, how they are written, read and dropped.

A *place* is one partition of the table: one metric, hour and Kafka partition, and of these one
bucket. Its rows are sorted by segment, so that those that a head does not cover are one slice, and
those that clean-up drops are one tombstone. The table `places` tells which there are and up to
which segment, so that nobody asks for what is not there or is covered as a whole.

A place is noted before the first partial of each of its segments is written, and is forgotten when
all that was noted is dropped. What a worker that hung writes into a forgotten place is covered, so
nobody will miss it; it stays on the disk if it is newer than all that was dropped there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from fastdata.coordinates.segments import Coverage
from fastdata.store import rules
from fastdata.store.cassandra import schema
from fastdata.store.cassandra.schema import (
    Place,
    Statements,
    bucket_of,
    dump_partial,
    load_partial,
)
from fastdata.store.cassandra.session import Batch, Row, Session, batches
from fastdata.store.protocol import Partial, Tally

__all__ = ["Places"]

_KNOWN = 100_000
_PAGE_ROWS = 1_000
_EVER = (-(1 << 62), 1 << 62)


class Places:
    """The partials of one keyspace.

    Args:
        session: Requests to it.
        do: Its statements.
        buckets: How many it has.
    """

    def __init__(self, session: Session, do: Statements, buckets: int) -> None:
        self._session = session
        self._do = do
        self._buckets = buckets
        self._known: dict[Row, int] = {}

    async def put(self, partials: Collection[Partial]) -> None:
        """Write partials, at most one of each key; the larger stamp stays.

        Raises:
            CommitUnknownError: Some may not be written.
            StoreUnavailableError: Some are not written.
        """
        rows: dict[Row, list[Row]] = defaultdict(list)
        last: dict[Row, int] = {}
        for p in partials:
            bucket = bucket_of(p.dims, self._buckets)
            key = (p.metric, rules.span_of(p.window), p.partition, bucket)
            cell = dump_partial(p.stamp, p.state)
            rows[key].append((schema.write_time(p), cell, *key, p.segment, p.window, p.dims))
            last[key] = max(last.get(key, p.segment), p.segment)
        await self._note(last)
        await self._session.write(
            batch for own in rows.values() for batch in batches(self._do.put_partial, own)
        )

    async def _note(self, last: dict[Row, int]) -> None:
        new = {key: segment for key, segment in last.items() if segment > self._known.get(key, -1)}
        rows: dict[str, list[Row]] = defaultdict(list)
        for key, segment in new.items():
            rows[key[0]].append((segment + 1, segment, *key))
        await self._session.write(
            batch for own in rows.values() for batch in batches(self._do.put_place, own)
        )
        if len(self._known) > _KNOWN:
            self._known.clear()
        self._known.update(new)

    async def read(
        self, metric: str, start: int, end: int, first: Callable[[int, int], int]
    ) -> list[Partial]:
        """The partials of the spans in `[start, end)`, sorted by key.

        Args:
            first: The first segment that is wanted of a span and Kafka partition.
        """
        asked = [
            self._read_place(place, segment)
            for place in await self._find(metric, start, end)
            if place.segment >= (segment := first(place.span, place.partition))
        ]
        found = [partial for own in await asyncio.gather(*asked) for partial in own]
        return sorted(found, key=lambda p: (p.window, p.dims, p.partition, p.segment))

    async def has_any(self, metric: str) -> bool:
        """Whether there is a partial of the metric; a place may have been noted without one."""
        for place in await self._find(metric, *_EVER):
            if await self._session.read(self._do.any_partial, place.key):
                return True
        return False

    async def _read_place(self, place: Place, first: int) -> list[Partial]:
        values = (*place.key, first)
        read = self._session.read(self._do.read_partials, values, page_rows=_PAGE_ROWS)
        return [load_partial(place, row) for row in await read]

    async def tally(
        self, metric: str, start: int, end: int, first: Callable[[int, int], int]
    ) -> dict[int, Tally]:
        """How many partials `read` would find, and the sum of their stamps, by span."""
        places = {
            place: segment
            for place in await self._find(metric, start, end)
            if place.segment >= (segment := first(place.span, place.partition))
        }
        read = self._session.read
        found = await asyncio.gather(
            *(read(self._do.tally_partials, (*p.key, segment)) for p, segment in places.items())
        )
        tallies: dict[int, Tally] = {}
        for place, ((count, stamps),) in zip(places, found, strict=True):
            if count:
                known = tallies.get(place.span, Tally(0, 0))
                tallies[place.span] = Tally(known.partials + count, known.stamps + stamps)
        return tallies

    async def drop(
        self, metric: str, start: int, end: int, behind: Callable[[int], Coverage]
    ) -> int:
        """Drop the partials of the spans in `[start, end)` that the coverage of theirs has.

        Returns:
            How many.
        """
        ends = {
            place: end_segment
            for place in await self._find(metric, start, end)
            if (end_segment := behind(place.span).get(place.partition))
        }
        read = self._session.read
        found = await asyncio.gather(
            *(read(self._do.newest_partial, (*place.key, until)) for place, until in ends.items())
        )
        drops: list[tuple[Any, Row]] = []
        dropped = 0
        for (place, until), ((count, newest),) in zip(ends.items(), found, strict=True):
            if count:
                dropped += count
                drops.append((self._do.drop_partials, (newest, *place.key, until)))
        await self._session.write(Batch([row]) for row in drops)
        empty = [
            (place.segment + 1, *place.key)
            for place, until in ends.items()
            if place.segment < until
        ]
        await self._session.write(batches(self._do.drop_place, empty))
        return dropped

    async def _find(self, metric: str, start: int, end: int) -> list[Place]:
        rows = await self._session.read(
            self._do.read_places, (metric, start, end), page_rows=_PAGE_ROWS
        )
        return [Place(metric, *row) for row in rows]
