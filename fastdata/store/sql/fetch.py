"""How the SQL stores fetch rows, inside of a transaction."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fastdata.coordinates.segments import Coverage
from fastdata.store.protocol import Gap, Head, Progress, Tally
from fastdata.store.sql import statements, tables

__all__ = ["count_totals", "fetch_gaps", "fetch_heads", "fetch_progress", "fetch_tallies"]


async def fetch_heads(
    connection: AsyncConnection, metric: str, start: int, end: int
) -> dict[int, Head]:
    """The heads of the spans in `[start, end)`, by span."""
    coverages = _Coverages()
    heads = {}
    of = {"metric": metric, "start": start, "end": end}
    for row in await connection.execute(statements.READ_HEADS, of):
        span, version, coverage, previous_version, behind = row
        previous = None if behind is None else (previous_version, coverages[behind])
        heads[span] = Head(span, version, coverages[coverage], previous)
    return heads


class _Coverages(dict[str, Coverage]):
    """Coverages by their text: those of one run are all the same."""

    def __missing__(self, text: str) -> Coverage:
        self[text] = coverage = Coverage.load(text)
        return coverage


async def count_totals(
    connection: AsyncConnection, metric: str, versions: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """How many totals each (span, version) has; at least those of `versions`."""
    if not versions:
        return {}
    spans, numbers = zip(*versions, strict=True)
    of = {"metric": metric, "start": min(spans), "end": max(spans) + 1, "versions": set(numbers)}
    rows = await connection.execute(statements.COUNT_TOTALS, of)
    return {(span, version): count for span, version, count in rows}


async def fetch_tallies(
    connection: AsyncConnection, tally: Select[Any], of: Mapping[str, object]
) -> dict[int, Tally]:
    """What `tally_partials` counts, by span."""
    rows = await connection.execute(tally, of)
    unit = statements.STAMPS_UNIT
    return {span: Tally(n, int(high) * unit + int(low)) for span, n, high, low in rows}


async def fetch_gaps(connection: AsyncConnection, *topics: str) -> list[Gap]:
    """All gaps of each topic, or metric, in order."""
    t, gaps = tables.gaps, []
    for topic in topics:
        found = select(t).where(t.c.topic == topic).order_by(*t.primary_key)
        gaps += [Gap(*row) for row in await connection.execute(found)]
    return gaps


async def fetch_progress(connection: AsyncConnection, topic: str) -> list[Progress]:
    """How far each partition of the topic is folded, in order."""
    t = tables.progress
    found = select(t).where(t.c.topic == topic).order_by(*t.primary_key)
    return [Progress(*row) for row in await connection.execute(found)]
