"""What the SQL stores ask of the database, as SQLAlchemy expressions, and how rows are read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Delete,
    Dialect,
    FromClause,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from fastdata.store import rules
from fastdata.store.hours import hours_id
from fastdata.store.protocol import Gap, Head, Progress, Tally
from fastdata.store.sql import tables
from fastdata.store.sql.dialect import Dialect as Database

__all__ = [
    "CLOSE_RUN",
    "DROP_OBSOLETE",
    "DROP_VERSION",
    "HAS_PARTIALS",
    "READ_CLOSED_VERSIONS",
    "READ_LAST_RUN",
    "READ_PARTIALS",
    "READ_PUBLISHED",
    "READ_REPLAYED",
    "READ_TOTALS",
    "count_totals",
    "drop_partials",
    "fetch_gaps",
    "fetch_heads",
    "fetch_progress",
    "fetch_rows",
    "fetch_tallies",
    "heads_within",
    "is_newer",
    "is_of_own_span",
    "is_open",
    "of_dims",
    "of_spans",
    "previous_coverage",
    "put",
    "tally_partials",
    "visible_partials",
    "walked_partials",
    "walked_totals",
]

_heads, _partials = tables.heads.c, tables.partials.c
_totals, _runs = tables.totals.c, tables.runs.c
_metric: BindParameter[str] = bindparam("metric")
_judge: BindParameter[str] = bindparam("judge")
_start: BindParameter[int] = bindparam("start")
_end: BindParameter[int] = bindparam("end")
_span: BindParameter[int] = bindparam("span")
_version: BindParameter[int] = bindparam("version")
_Columns = ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]

_STAMPS_UNIT = 1 << 32
"""Stamps are summed in two parts: SQLite refuses sums of more than 64 bits."""

heads_within = _heads.metric == _metric, _heads.span >= _start, _heads.span < _end
_totals_within = _totals.metric == _metric, _totals.span >= _start, _totals.span < _end
_partials_within = (
    _partials.metric == _metric,
    _partials.window >= _start,
    _partials.window < _end,
)
_is_published = or_(_heads.version == _version, _heads.previous_version == _version)

# The heads of the spans in `[start, end)`, by span, without the name of the metric.
_READ_HEADS = (
    select(*(column for column in tables.heads.c if column.name != "metric"))
    .where(*heads_within)
    .order_by(_heads.span)
)

# The totals that the heads of the spans in `[start, end)` point to.
READ_TOTALS = (
    select(_totals.window, _totals.dims, _totals.state)
    .select_from(tables.heads)
    .join(
        tables.totals,
        and_(
            _totals.metric == _heads.metric,
            _totals.version == _heads.version,
            # Bare, SQLite gives the range of the heads' spans to the totals, and reads all of it.
            _totals.span == _heads.span + 0,
        ),
    )
    .where(*heads_within)
)

# All partials of the windows in `[start, end)`, sorted by key.
READ_PARTIALS = (
    select(*(column for column in tables.partials.c if column.name != "span"))
    .where(*_partials_within)
    .order_by(*tables.partials.primary_key)
)

HAS_PARTIALS = select(exists().where(_partials.metric == _metric))

# Each (span, version) that has totals and is of no open run.
READ_CLOSED_VERSIONS = (
    select(_totals.span, _totals.version)
    .where(*_totals_within)
    .where(_totals.version.not_in(select(_runs.number).where(_runs.is_done.is_(False))))
    .group_by(_totals.version, _totals.span)
)

# The spans in `[start, end)` whose head, or the one before it, is of a version.
READ_PUBLISHED = select(_heads.span).where(*heads_within, _is_published)

# Span, version and number of the totals of some versions in `[start, end)`.
_COUNT_TOTALS = (
    select(_totals.span, _totals.version, func.count())
    .where(*_totals_within)
    .where(_totals.version.in_(bindparam("versions", expanding=True)))
    .group_by(_totals.version, _totals.span)
)

DROP_VERSION = delete(tables.totals).where(
    _totals.metric == _metric, _totals.version == _version, _totals.span == _span
)

# The same, unless a head, of metric `judge`, needs it.
DROP_OBSOLETE = DROP_VERSION.where(
    ~exists().where(_heads.metric == _judge, _heads.span == _span, _is_published)
)

_READ_GAPS = (
    select(tables.gaps)
    .where(tables.gaps.c.topic.in_(bindparam("topics", expanding=True)))
    .order_by(*tables.gaps.primary_key)
)

_READ_PROGRESS = (
    select(tables.progress)
    .where(tables.progress.c.topic == bindparam("topic"))
    .order_by(*tables.progress.primary_key)
)

CLOSE_RUN = update(tables.runs).where(_runs.number == bindparam("run")).values(is_done=True)

READ_LAST_RUN = (
    select(tables.runs).where(_runs.metric == _metric).order_by(_runs.number.desc()).limit(1)
)

# The ids of metrics with a run; those of the newest runs first.
READ_REPLAYED = select(_runs.metric).group_by(_runs.metric).order_by(func.max(_runs.number).desc())


def put(dialect: Database, engine_dialect: Dialect, table: Table, rows: int) -> str:
    """The text that inserts or replaces so many rows of `table`, their columns in order.

    Of partials the larger stamp stays, of progress the larger offset. The database compares while
    it has the row locked: a worker that read first could overwrite what came in between.
    """
    insert = dialect.insert(table, rows)
    new = insert.excluded
    values = {column.name: new[column.name] for column in table.c if not column.primary_key}
    key = list(table.primary_key)
    if values:
        replaces = _replaces(table, new)
        insert = insert.on_conflict_do_update(index_elements=key, set_=values, where=replaces)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=key)
    return str(insert.compile(dialect=engine_dialect))


def is_newer(new: _Columns) -> ColumnElement[bool]:
    """Whether a partial replaces the stored one of its key: `rules.is_newer`."""
    return new["stamp"] > _partials.stamp


def _replaces(table: Table, new: _Columns) -> ColumnElement[bool] | None:
    if table is tables.partials:
        return is_newer(new)
    if table is tables.progress:
        old = table.c
        return or_(
            new["next_offset"] > old.next_offset,
            and_(new["next_offset"] == old.next_offset, new["updated"] > old.updated),
        )
    return None


def of_spans(rows: Select[Any]) -> Select[Any]:
    """Of totals those of some `spans`."""
    return rows.where(_heads.span.in_(bindparam("spans", expanding=True)))


def of_dims(rows: Select[Any], dims: Sequence[str]) -> Select[Any]:
    """Of totals or partials those whose dimensions lie where all lie that begin with some texts."""
    between = rules.between(dims)
    column = rows.selected_columns["dims"]
    return rows.where(column >= between[0], column < between[1]) if between else rows


def walked_totals(dims: Sequence[str], is_of_spans: bool) -> Select[Any]:
    """The same of READ_TOTALS, by a walk from window to window that looks there for `dims`."""
    every, other = tables.totals.alias(), tables.totals.alias()
    first = select(func.min(every.c.window)).where(*_same(every, _heads, "version", "span"))
    head = _heads.metric, _heads.version, _heads.span
    begun = select(*head, _window(first.correlate(tables.heads))).where(*heads_within)
    walk = (of_spans(begun) if is_of_spans else begun).cte("walk", recursive=True)
    later = select(func.min(other.c.window)).where(*_same(other, walk.c, "version", "span"))
    later = later.where(other.c.window > walk.c.window).correlate(walk)
    further = select(walk.c.metric, walk.c.version, walk.c.span, _window(later))
    walk = walk.union_all(further.where(walk.c.window.is_not(None)))
    here = _same(tables.totals, walk.c, "version", "span", "window")
    return select(*READ_TOTALS.selected_columns).select_from(
        _looking(walk, dims, tables.totals, here)
    )


def walked_partials(dialect: Database, dims: Sequence[str]) -> Select[Any]:
    """Those of `visible_partials` whose dimensions begin so, by a walk likewise."""
    other = tables.partials.alias()
    first = select(func.min(_partials.window)).where(*_partials_within)
    # PostgreSQL has to be told of what type a parameter is that nothing is compared with.
    begun = select(cast(_metric, tables.TEXT).label("metric"), _window(first))
    walk = begun.cte("walk", recursive=True)
    later = select(func.min(other.c.window)).where(*_same(other, walk.c))
    later = later.where(other.c.window > walk.c.window, other.c.window < _end).correlate(walk)
    further = select(walk.c.metric, _window(later))
    walk = walk.union_all(further.where(walk.c.window.is_not(None)))
    here = _same(tables.partials, walk.c, "window")
    rows = select(*READ_PARTIALS.selected_columns).order_by(*tables.partials.primary_key)
    return _visible(dialect, rows, _looking(walk, dims, tables.partials, here))


def _window(of_one: Select[Any]) -> ColumnElement[int]:
    return of_one.scalar_subquery().label("window")


def _same(table: FromClause, other: _Columns, *names: str) -> list[ColumnElement[bool]]:
    """Rows of one metric that agree in other columns, too.

    The metric is that of the other row, and no parameter: SQLite would begin with all of its rows.
    """
    return [table.c[name] == other[name] for name in ("metric", *names)]


def _looking(
    walk: CTE, dims: Sequence[str], table: Table, here: Sequence[ColumnElement[bool]]
) -> FromClause:
    """The rows of a table where a walk has come to, with dimensions that begin with some texts."""
    # Of VALUES, SQLAlchemy would make the text of the statement anew each time.
    begin = union_all(
        *[select(_text(text, "low"), _text(rules.after(text), "high")) for text in dims]
    ).cte("beginnings")
    is_chosen = table.c.dims >= begin.c.low, table.c.dims < begin.c.high
    return walk.join(begin, true()).join(table, and_(*here, *is_chosen))


def _text(value: str, name: str) -> ColumnElement[str]:
    return cast(literal(value, tables.TEXT), tables.TEXT).label(name)


def visible_partials(dialect: Database) -> Select[Any]:
    """Those of READ_PARTIALS that the head of their own span, of metric `judge`, does not cover."""
    return _visible(dialect, READ_PARTIALS)


def tally_partials(dialect: Database) -> Select[Any]:
    """Per span, of those of `visible_partials`: how many, and the sum of their stamps in two."""
    stamps = [func.sum(_partials.stamp // _STAMPS_UNIT), func.sum(_partials.stamp % _STAMPS_UNIT)]
    counted = select(_partials.span, func.count(), *stamps).where(*_partials_within)
    return _visible(dialect, counted).group_by(_partials.span)


def _visible(
    dialect: Database, partials: Select[Any], source: FromClause = tables.partials
) -> Select[Any]:
    own_head = and_(_heads.metric == _judge, _heads.span == _partials.span)
    return partials.select_from(source.outerjoin(tables.heads, own_head)).where(is_open(dialect))


def is_open(dialect: Database) -> ColumnElement[bool]:
    """Whether a partial counts beside the totals of its head: `rules.first_open`."""
    covered = dialect.covered_until(_heads.coverage, _partials.partition)
    return _partials.segment >= func.coalesce(covered, 0)


def drop_partials(dialect: Database) -> Delete:
    """Drop those in `[start, end)` that the previous head of their span, of `judge`, covers."""
    behind = select(previous_coverage()).where(_heads.metric == _judge, is_of_own_span())
    return delete(tables.partials).where(
        *_partials_within,
        _partials.segment < dialect.covered_until(behind.scalar_subquery(), _partials.partition),
    )


def previous_coverage() -> ColumnElement[str]:
    """The coverage that partials of a head are dropped by: `rules.previous_coverage`."""
    return _heads.previous_coverage


def is_of_own_span() -> ColumnElement[bool]:
    """Whether a head judges what may be dropped: `rules.of_own_span`."""
    return _heads.span == _partials.span


async def fetch_rows(
    connection: AsyncConnection, statement: Select[Any], parameters: Mapping[str, object]
) -> Sequence[tuple[Any, ...]]:
    """All rows as the driver has them: of many, SQLAlchemy's own take as long as reading them."""
    result = await connection.execute(statement, parameters)
    cursor = result.cursor
    rows = cursor.fetchall() if cursor is not None else []
    result.close()
    return rows


async def fetch_heads(
    connection: AsyncConnection, metric: str, start: int, end: int
) -> dict[int, Head]:
    """The heads of the spans in `[start, end)`, by span."""
    coverages = rules.Coverages()
    heads = {}
    parameters = {"metric": metric, "start": start, "end": end}
    for row in await fetch_rows(connection, _READ_HEADS, parameters):
        span, version, coverage, previous_version, behind = row
        previous = None if behind is None else (previous_version, coverages[behind])
        heads[span] = Head(span, version, coverages[coverage], previous)
    return heads


async def count_totals(
    connection: AsyncConnection, metric: str, versions: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """How many totals each (span, version) has; at least those of `versions`."""
    if not versions:
        return {}
    spans, numbers = zip(*versions, strict=True)
    within = {"start": min(spans), "end": max(spans) + 1, "versions": set(numbers)}
    counts = Counter[tuple[int, int]]()
    for id in (metric, hours_id(metric)):
        rows = await connection.execute(_COUNT_TOTALS, within | {"metric": id})
        counts.update({(span, version): count for span, version, count in rows})
    return counts


async def fetch_tallies(
    connection: AsyncConnection, tally: Select[Any], parameters: Mapping[str, object]
) -> dict[int, Tally]:
    """What `tally_partials` counts, by span."""
    rows = await connection.execute(tally, parameters)
    return {span: Tally(n, int(high) * _STAMPS_UNIT + int(low)) for span, n, high, low in rows}


async def fetch_gaps(connection: AsyncConnection, *topics: str) -> list[Gap]:
    """All gaps of each topic, or metric, in order."""
    gaps = [Gap(*row) for row in await connection.execute(_READ_GAPS, {"topics": topics})]
    return [gap for topic in topics for gap in gaps if gap.topic == topic]


async def fetch_progress(connection: AsyncConnection, topic: str) -> list[Progress]:
    """How far each partition of the topic is folded, in order."""
    return [Progress(*row) for row in await connection.execute(_READ_PROGRESS, {"topic": topic})]
