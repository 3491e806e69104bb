"""The totals of a reading: where these are, and will do, those of whole hours instead of minutes.

They lie among the totals under an id of their own, of the same versions and spans: all in the first
window of their span.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fastdata.store import rules
from fastdata.store.hours import Hours, hours_id
from fastdata.store.protocol import Head
from fastdata.store.sql import seeks, statements, tables
from fastdata.store.sql.dialect import SqlRow

__all__ = ["fetch_totals"]

_SPANS_AT_ONCE = 500

_heads, _totals = tables.heads.c, tables.totals.c
_suffix = bindparam("suffix", hours_id(""), tables.TEXT)
_of_hour = (
    _totals.metric == _heads.metric + _suffix,
    _totals.version == _heads.version,
    # As in READ_TOTALS.
    _totals.span == _heads.span + 0,
    _totals.window == _heads.span + 0,
)

# The totals of the whole hour, of the versions that the heads of the spans in `[start, end)` have.
_READ_HOURS = (
    select(_totals.window, _totals.dims, _totals.state)
    .select_from(tables.heads)
    .join(tables.totals, and_(*_of_hour))
    .where(*statements.heads_within)
)

# The spans that have some with dimensions in `[low, high)`.
_FIND_HOURS = select(_heads.span).where(
    *statements.heads_within,
    exists().where(*_of_hour, _totals.dims >= bindparam("low"), _totals.dims < bindparam("high")),
)


async def fetch_totals(
    connection: AsyncConnection,
    metric: str,
    heads: Mapping[int, Head],
    intervals: Sequence[tuple[int, int]],
    dims: Sequence[str],
    hours: Hours | None,
) -> Sequence[SqlRow]:
    """What `ServingStore.read` says of totals, as rows.

    Args:
        heads: Of all spans of the reading.
        intervals: Those of the spans that are wanted.
    """
    wanted = rules.within(heads, intervals)
    whole = await _find_hours(connection, metric, wanted, hours)
    minutes = await seeks.totals_of(connection, metric, heads, dims, is_of_spans=bool(whole))
    rows: list[SqlRow] = []
    if not whole:
        for start, end in intervals:
            within = {"metric": metric, "start": start, "end": end}
            rows += await statements.fetch_rows(connection, minutes, within)
        return rules.beginning(rows, 1, dims)
    tips = statements.of_dims(statements.READ_TOTALS.where(~_totals.dims.endswith("]")), dims)
    for statement, spans in (
        (statements.of_spans(statements.of_dims(_READ_HOURS, dims)), sorted(whole)),
        (statements.of_spans(tips), [s for s in sorted(whole) if heads[s].coverage.has_tips]),
        (minutes, [span for span in wanted if span not in whole]),
    ):
        rows += await _fetch(connection, statement, metric, spans)
    return rules.beginning(rows, 1, dims)


async def _find_hours(
    connection: AsyncConnection, metric: str, wanted: Sequence[int], hours: Hours | None
) -> set[int]:
    """The spans that are read by the hour."""
    spans = rules.within(wanted, hours.intervals) if hours else []
    if not hours or not spans:
        return set()
    within = {"metric": metric, "start": min(spans), "end": max(spans) + 1}
    between = {"low": hours.begin, "high": rules.after(hours.begin)}
    rows = await statements.fetch_rows(connection, _FIND_HOURS, within | between)
    return {span for (span,) in rows}.intersection(spans)


async def _fetch(
    connection: AsyncConnection, statement: Select[Any], metric: str, spans: Sequence[int]
) -> list[SqlRow]:
    """What a statement reads of some spans, in order."""
    rows: list[SqlRow] = []
    for portion in rules.portions(spans, _SPANS_AT_ONCE):
        within = {"metric": metric, "start": portion[0], "end": portion[-1] + 1, "spans": portion}
        rows += await statements.fetch_rows(connection, statement, within)
    return rows
