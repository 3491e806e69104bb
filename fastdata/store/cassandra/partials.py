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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from fastdata.coordinates.segments import Coverage
from fastdata.store import rules
from fastdata.store.cassandra import schema
from fastdata.store.cassandra.schema import PartialsPlace, Statements
from fastdata.store.cassandra.session import Batch, CqlRow, Session, batches
from fastdata.store.protocol import Partial, Tally

__all__ = ["PartialsTable"]

_NOTED = 100_000
_PAGE_ROWS = 1_000
_EVER = (-(1 << 62), 1 << 62)


class PartialsTable:
    """The partials of one keyspace.

    Every method raises `StoreUnavailableError` and `CommitUnknownError` as those of `ServingStore`.

    Args:
        session: Requests to it.
        do: Its statements.
        buckets: How many it has.
    """

    def __init__(self, session: Session, do: Statements, buckets: int) -> None:
        self._session = session
        self._do = do
        self._buckets = buckets
        self._noted: dict[CqlRow, int] = {}

    async def put(self, partials: Collection[Partial]) -> None:
        """Write partials, at most one of each key; the larger stamp stays."""
        rows: dict[CqlRow, list[CqlRow]] = defaultdict(list)
        last: dict[CqlRow, int] = {}
        for p in partials:
            bucket = schema.bucket_of(p.dims, self._buckets)
            key = (p.metric, rules.span_of(p.window), p.partition, bucket)
            cell = schema.dump_partial(p.stamp, p.state)
            rows[key].append((schema.write_time(p), cell, *key, p.segment, p.window, p.dims))
            last[key] = max(last.get(key, p.segment), p.segment)
        await self._note(last)
        await self._write(self._do.put_partial, rows.values())

    async def _note(self, last: dict[CqlRow, int]) -> None:
        new = {key: segment for key, segment in last.items() if segment > self._noted.get(key, -1)}
        rows: dict[str, list[CqlRow]] = defaultdict(list)
        for key, segment in new.items():
            rows[key[0]].append((segment + 1, segment, *key))
        await self._write(self._do.put_place, rows.values())
        if len(self._noted) > _NOTED:
            self._noted.clear()
        self._noted.update(new)

    async def _write(self, statement: Any, rows: Iterable[Iterable[CqlRow]]) -> None:
        """Write rows, given by partition of the table: a batch is of one alone."""
        await self._session.write(b for part in rows for b in batches(statement, part))

    async def read(
        self,
        metric: str,
        start: int,
        end: int,
        first: Callable[[int, int], int],
        dims: Sequence[str] = ("",),
    ) -> list[Partial]:
        """The partials of the spans in `[start, end)`, sorted by key.

        Args:
            first: The first segment that is wanted of a span and Kafka partition.
            dims: Texts; their dimensions begin with one of these.
        """
        between, begins = rules.between(dims), tuple(dims)
        places = await self._open_places(metric, start, end, first)
        asked = (self._read_place(place, segment, between) for place, segment in places.items())
        read = (partial for of_place in await asyncio.gather(*asked) for partial in of_place)
        partials = [partial for partial in read if partial.dims.startswith(begins)]
        return sorted(partials, key=lambda p: (p.window, p.dims, p.partition, p.segment))

    async def has_any(self, metric: str) -> bool:
        """Whether there is a partial of the metric; a place may have been noted without one."""
        for place in await self._places(metric, *_EVER):
            if await self._session.read(self._do.any_partial, place.key):
                return True
        return False

    async def _read_place(
        self, place: PartialsPlace, first: int, between: tuple[str, ...]
    ) -> list[Partial]:
        values = (*place.key, first, *between)
        statement = self._do.filter_partials if between else self._do.read_partials
        read = self._session.read(statement, values, page_rows=_PAGE_ROWS)
        return [schema.load_partial(place, row) for row in await read]

    async def tally(
        self, metric: str, start: int, end: int, first: Callable[[int, int], int]
    ) -> dict[int, Tally]:
        """How many partials `read` would find, and the sum of their stamps, by span."""
        places = await self._open_places(metric, start, end, first)
        answers = await self._ask(self._do.tally_partials, places)
        tallies: dict[int, Tally] = {}
        for place, (count, stamps) in zip(places, answers, strict=True):
            if count:
                tally = tallies.get(place.span, Tally(0, 0))
                tallies[place.span] = Tally(tally.partials + count, tally.stamps + stamps)
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
            for place in await self._places(metric, start, end)
            if (end_segment := behind(place.span).get(place.partition))
        }
        answers = await self._ask(self._do.newest_partial, ends)
        drops: list[tuple[Any, CqlRow]] = []
        dropped = 0
        for (place, until), (count, newest) in zip(ends.items(), answers, strict=True):
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

    async def _ask(self, statement: Any, places: Mapping[PartialsPlace, int]) -> list[CqlRow]:
        """The one row that a statement counts of each place, from or up to a segment."""
        asked = (self._session.read(statement, (*p.key, until)) for p, until in places.items())
        return [row for (row,) in await asyncio.gather(*asked)]

    async def _open_places(
        self, metric: str, start: int, end: int, first: Callable[[int, int], int]
    ) -> dict[PartialsPlace, int]:
        """The places with segments that are wanted, and the first one of each."""
        return {
            place: segment
            for place in await self._places(metric, start, end)
            if place.segment >= (segment := first(place.span, place.partition))
        }

    async def _places(self, metric: str, start: int, end: int) -> list[PartialsPlace]:
        rows = await self._session.read(
            self._do.read_places, (metric, start, end), page_rows=_PAGE_ROWS
        )
        return [PartialsPlace(metric, *row) for row in rows]
