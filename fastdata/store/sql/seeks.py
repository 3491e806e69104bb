"""How totals and partials of some dimensions are read: all rows, or a look at each window.

The keys have the window before the dimensions. So a walk goes from window to window, and looks
there for the dimensions alone. A step costs as much as reading some twenty rows, so it is for hours
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
"""How many rows an hour has at least that is walked."""

_totals, _partials = tables.totals.c, tables.partials.c


async def totals_of(
    connection: AsyncConnection, metric: str, heads: Mapping[int, Head], dims: Sequence[str]
) -> Select[Any]:
    """What reads those of `statements.READ_TOTALS` whose dimensions begin with one of some texts.

    Args:
        heads: Of the same metric and spans.
    """
    if heads and _is_some(dims):
        head = list(heads.values())[len(heads) // 2]  # the middle hour tells of all
        of_head = _totals.metric == metric, _totals.version == head.version
        hour = select(_totals.window).where(*of_head, _totals.span == head.span)
        if await _are_many(connection, hour):
            return statements.walked_totals(dims)
    return statements.of_dims(statements.READ_TOTALS, dims)


async def partials_of(
    connection: AsyncConnection,
    dialect: Dialect,
    metric: str,
    start: int,
    end: int,
    dims: Sequence[str],
) -> Select[Any]:
    """What reads the visible partials whose dimensions begin with one of some texts.

    Args:
        start: ms UTC, of the windows; `end` likewise, exclusive.
    """
    if _is_some(dims):
        of_metric, window = _partials.metric == metric, _partials.window
        oldest = select(func.min(window)).where(of_metric, window >= start, window < end)
        first = await connection.scalar(oldest)
        if first is not None:
            hour = select(window).where(of_metric, window >= first, window < first + HOUR_MS)
            if await _are_many(connection, hour):
                return statements.walked_partials(dialect, dims)
    return statements.of_dims(statements.visible_partials(dialect), dims)


def _is_some(dims: Sequence[str]) -> bool:
    return bool(dims) and "" not in dims


async def _are_many(connection: AsyncConnection, hour: Select[Any]) -> bool:
    rows = select(func.count()).select_from(hour.limit(_MANY).subquery())
    return await connection.scalar(rows) == _MANY
