"""What the SQL stores ask of the database, as SQLAlchemy expressions; nothing here runs."""

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Delete,
    Dialect,
    FromClause,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from fastdata.store.sql import tables
from fastdata.store.sql.dialect import Dialect as Database

__all__ = [
    "CLOSE_RUN",
    "COUNT_TOTALS",
    "DROP_OBSOLETE",
    "DROP_VERSION",
    "HAS_PARTIALS",
    "READ_CLOSED_VERSIONS",
    "READ_HEADS",
    "READ_LAST_RUN",
    "READ_PARTIALS",
    "READ_PUBLISHED",
    "READ_TOTALS",
    "STAMPS_UNIT",
    "covered_behind",
    "drop_partials",
    "is_newer",
    "is_of_own_span",
    "is_open",
    "of_dims",
    "put",
    "tally_partials",
    "visible_partials",
]

_heads, _partials, _totals, _runs = (
    tables.heads.c,
    tables.partials.c,
    tables.totals.c,
    tables.runs.c,
)
_metric: BindParameter[str] = bindparam("metric")
_judge: BindParameter[str] = bindparam("judge")
_start: BindParameter[int] = bindparam("start")
_end: BindParameter[int] = bindparam("end")
_span: BindParameter[int] = bindparam("span")
_version: BindParameter[int] = bindparam("version")
_Columns = ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]

STAMPS_UNIT = 1 << 32
"""Stamps are summed in two parts: SQLite refuses sums of more than 64 bits."""

# The heads of the spans in `[start, end)`, by span, without the name of the metric.
READ_HEADS = (
    select(*(column for column in tables.heads.c if column.name != "metric"))
    .where(_heads.metric == _metric, _heads.span >= _start, _heads.span < _end)
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
    .where(_heads.metric == _metric, _heads.span >= _start, _heads.span < _end)
)

# All partials of the windows in `[start, end)`, sorted by key.
READ_PARTIALS = (
    select(*(column for column in tables.partials.c if column.name != "span"))
    .where(_partials.metric == _metric, _partials.window >= _start, _partials.window < _end)
    .order_by(*tables.partials.primary_key)
)

HAS_PARTIALS = select(exists().where(_partials.metric == _metric))

# Each (span, version) that has totals and is of no open run.
READ_CLOSED_VERSIONS = (
    select(_totals.span, _totals.version)
    .where(_totals.metric == _metric, _totals.span >= _start, _totals.span < _end)
    .where(_totals.version.not_in(select(_runs.number).where(_runs.is_done.is_(False))))
    .group_by(_totals.version, _totals.span)
)

# The spans in `[start, end)` whose head, or the one before it, is of a version.
READ_PUBLISHED = select(_heads.span).where(
    _heads.metric == _metric,
    _heads.span >= _start,
    _heads.span < _end,
    or_(_heads.version == _version, _heads.previous_version == _version),
)

# Span, version and number of the totals of some versions in `[start, end)`.
COUNT_TOTALS = (
    select(_totals.span, _totals.version, func.count())
    .where(_totals.metric == _metric, _totals.span >= _start, _totals.span < _end)
    .where(_totals.version.in_(bindparam("versions", expanding=True)))
    .group_by(_totals.version, _totals.span)
)

DROP_VERSION = delete(tables.totals).where(
    _totals.metric == _metric, _totals.version == _version, _totals.span == _span
)

# The same, unless a head needs it.
DROP_OBSOLETE = DROP_VERSION.where(
    ~exists().where(
        _heads.metric == _metric,
        _heads.span == _span,
        or_(_heads.version == _version, _heads.previous_version == _version),
    )
)

CLOSE_RUN = update(tables.runs).where(_runs.number == bindparam("run")).values(is_done=True)

READ_LAST_RUN = (
    select(tables.runs).where(_runs.metric == _metric).order_by(_runs.number.desc()).limit(1)
)


def put(dialect: Database, engine_dialect: Dialect, table: Table) -> str:
    """The text that inserts or replaces rows of `table`, their columns in order.

    Of partials the larger stamp stays, of progress the larger offset.
    """
    insert = dialect.insert(table)
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


def of_dims(rows: Select[Any], dims: str) -> Select[Any]:
    """Of totals or partials those whose dimensions begin with that text."""
    begin = func.substr(rows.selected_columns["dims"], 1, len(dims))
    return rows.where(begin == dims) if dims else rows


def visible_partials(dialect: Database) -> Select[Any]:
    """Those of READ_PARTIALS that the head of their own span, of metric `judge`, does not cover."""
    return _visible(dialect, READ_PARTIALS)


def tally_partials(dialect: Database) -> Select[Any]:
    """Per span, of those of `visible_partials`: how many, and the sum of their stamps in two."""
    stamps = [func.sum(_partials.stamp // STAMPS_UNIT), func.sum(_partials.stamp % STAMPS_UNIT)]
    counted = select(_partials.span, func.count(), *stamps).where(
        _partials.metric == _metric, _partials.window >= _start, _partials.window < _end
    )
    return _visible(dialect, counted).group_by(_partials.span)


def _visible(dialect: Database, partials: Select[Any]) -> Select[Any]:
    own = and_(_heads.metric == _judge, _heads.span == _partials.span)
    source: FromClause = tables.partials.outerjoin(tables.heads, own)
    return partials.select_from(source).where(is_open(dialect))


def is_open(dialect: Database) -> ColumnElement[bool]:
    """Whether a partial counts beside the totals of its head: `rules.first_open`."""
    covered = dialect.covered_until(_heads.coverage, _partials.partition)
    return _partials.segment >= func.coalesce(covered, 0)


def drop_partials(dialect: Database) -> Delete:
    """Drop those in `[start, end)` that the previous head of their span, of `judge`, covers."""
    own = select(covered_behind()).where(_heads.metric == _judge, is_of_own_span())
    return delete(tables.partials).where(
        _partials.metric == _metric,
        _partials.window >= _start,
        _partials.window < _end,
        _partials.segment < dialect.covered_until(own.scalar_subquery(), _partials.partition),
    )


def covered_behind() -> ColumnElement[str]:
    """The coverage that partials of a head are dropped by: `rules.covered_behind`."""
    return _heads.previous_coverage


def is_of_own_span() -> ColumnElement[bool]:
    """Whether a head judges what may be dropped: `rules.of_own_span`."""
    return _heads.span == _partials.span
