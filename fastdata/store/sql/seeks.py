"""How totals and partials of some dimensions are read: all rows, or a look at each window.

The keys have the window before the dimensions. So a walk goes from window to window, and looks
there for the dimensions alone. A look costs as much as reading some twenty rows, so it is for hours
that have many.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fastdata.coordinates.instants import HOUR_MS
from fastdata.store.protocol import Head
from fastdata.store.sql import statements, tables
from fastdata.store.sql.dialect import Dialect

__all__ = ["partials_of", "totals_of"]

_MANY = 1_200
"""How many rows an hour has at least that is walked, for each of the texts."""
_MOST_TEXTS = 20

_totals, _partials = tables.totals.c, tables.partials.c


async def totals_of(
    connection: AsyncConnection,
    metric: str,
    heads: Mapping[int, Head],
    dims: Sequence[str],
    *,
    is_of_spans: bool,
) -> Select[Any]:
    """What reads those of `statements.READ_TOTALS` whose dimensions begin with one of some texts.

    Of several texts it may give others as well.

    Args:
        heads: Of the same metric and spans.
        is_of_spans: Whether it reads those of some `spans` only.
    """
    if heads and _are_few(dims):
        ordered = list(heads.values())
        hours = [
            select(_totals.window).where(
                _totals.metric == metric,
                _totals.version == head.version,
                _totals.span == head.span,
            )
            for head in (ordered[len(ordered) // 2], ordered[0], ordered[-1])
        ]
        if await _have_many(connection, hours, len(dims)):
            return statements.walked_totals(dims, is_of_spans)
    rows = statements.of_dims(statements.READ_TOTALS, dims)
    return statements.of_spans(rows) if is_of_spans else rows


async def partials_of(
    connection: AsyncConnection,
    dialect: Dialect,
    metric: str,
    start: int,
    end: int,
    dims: Sequence[str],
) -> Select[Any]:
    """What reads the visible partials whose dimensions begin with one of some texts.

    Of several texts it may give others as well.

    Args:
        start: ms UTC, of the windows; `end` likewise, exclusive.
    """
    if _are_few(dims):
        of_metric, window = _partials.metric == metric, _partials.window
        within = of_metric, window >= start, window < end
        first, last = [
            await connection.scalar(select(extreme(window)).where(*within))
            for extreme in (func.min, func.max)
        ]
        if first is not None:
            # The last one has most, but may have begun just now; the first may be a late one.
            begins = last - HOUR_MS, (first + last) // 2, first
            hours = [
                select(window).where(of_metric, window >= at, window < at + HOUR_MS)
                for at in begins
            ]
            if await _have_many(connection, hours, len(dims)):
                return statements.walked_partials(dialect, dims)
    return statements.of_dims(statements.visible_partials(dialect), dims)


def _are_few(dims: Sequence[str]) -> bool:
    return 0 < len(dims) <= _MOST_TEXTS and "" not in dims


async def _have_many(connection: AsyncConnection, hours: Sequence[Select[Any]], texts: int) -> bool:
    """Whether one of some hours has so many rows that a look for each text pays."""
    for hour in hours:
        rows = select(func.count()).select_from(hour.limit(_MANY * texts).subquery())
        if await connection.scalar(rows) == _MANY * texts:
            return True
    return False
