"""A flat table in PostgreSQL, SQLite, DuckDB or MySQL.

The rows of some adjacent parts are replaced in one transaction, with their marks: new rows go into
a temporary table, then rows that differ or have vanished are deleted, and rows that are not there
inserted. So readers see the parts before or after. A row that stayed keeps `updated_at` and
`read_until`: both are of the moment when it became what it is.

**Another definition** (of the metric, or of the table) is built beside, as `<table>_<definition>`,
and takes the place of the old one in one transaction when it holds all that the store has. The old
table is kept as `<table>_<its definition>`; no table is ever dropped. MySQL ends a transaction when
it renames a table, so there it takes another name.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    cast,
    delete,
    exists,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from fastdata import failpoints
from fastdata.coordinates.instants import HOUR_MS, to_datetime
from fastdata.errors import ExportError
from fastdata.exports.sql_columns import KEY, NAME, columns_of, records_of
from fastdata.exports.table import FlatTable
from fastdata.exports.target import PartMarks
from fastdata.store.sql import tables
from fastdata.store.sql.dialect import WRITE, Database, to_its_end, transaction

__all__ = ["SqlTarget"]

_ROWS_AT_ONCE = 5_000
_STAGE = "fastdata_export_stage"

_metadata = MetaData()
_exports = Table(
    "fastdata_exports",
    _metadata,
    Column("table_name", NAME, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("metric", Text, nullable=False),
)
_marks = Table(
    "fastdata_export_marks",
    _metadata,
    Column("table_name", NAME, primary_key=True),
    Column("part", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", Text, nullable=False),
)
_RESERVED = {*tables.metadata.tables, *_metadata.tables, _STAGE}


class SqlTarget:
    """A `Target` that is a table of an SQL database.

    Args:
        flat: The table.
        dialect: The database.
    """

    def __init__(self, flat: FlatTable, dialect: Database) -> None:
        self.parts = flat.parts(HOUR_MS)
        self._flat = flat
        self._dialect = dialect
        self._engine = dialect.engine()
        self._transaction = partial(transaction, self._engine, dialect)
        self._written = flat.name
        self._is_mysql = self._engine.dialect.name == "mysql"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    @to_its_end
    async def open(self) -> dict[int, str]:
        """Make the table if there is none; the marks of what it holds. See `Target`.

        Raises:
            ExportError: A table of that name was not made by an export, or is of another metric.
        """
        if self._flat.name.lower() in _RESERVED:
            raise ExportError(
                f"the table {self._flat.name!r} is one of fastdata's own; name another"
            )
        async with self._transaction("open the table", WRITE) as connection:
            await self._dialect.lock(connection, _exports.name)
            await connection.run_sync(_metadata.create_all)
            await self._bring_up(connection)
            shown = await self._book_entry(connection, self._flat.name)
            self._written = self._flat.name
            if shown is not None and shown.definition != self._flat.definition:
                # One metric may follow another only under the same name.
                if (name := shown.metric.rpartition("-")[0]) != self._flat.metric.name:
                    raise ExportError(
                        f"the table {self._flat.name!r} in {self._dialect.shown} is of the metric"
                        f" {name!r}: choose another name with --table"
                    )
                if self._is_mysql:
                    raise ExportError(
                        f"the table {self._flat.name!r} in {self._dialect.shown} is of an earlier"
                        " definition, and MySQL cannot put another one in its place in one"
                        " transaction: name a new table with --table"
                    )
                self._written = f"{self._flat.name}_{self._flat.definition}"
            await self._make(connection)
            of_this = _marks.c.table_name == self._written
            rows = await connection.execute(select(_marks.c.part, _marks.c.mark).where(of_this))
            return {row.part: row.mark for row in rows}

    async def _bring_up(self, connection: AsyncConnection) -> None:
        """Let a table be of the present layout that lacks a column, or has one of another name."""
        instant = DateTime(timezone=True).compile(dialect=connection.dialect)
        steps = ('RENAME COLUMN "window" TO window_start', f"ADD COLUMN read_until {instant}")
        former, present = self._flat.former_definitions, self._flat.definition
        name, table = self._flat.name, connection.dialect.identifier_preparer.quote(self._flat.name)
        for step, before, after in zip(steps, former, (*former[1:], present), strict=True):
            of_this = and_(_exports.c.table_name == name, _exports.c.definition == before)
            changed = update(_exports).where(of_this).values(definition=after)
            if (await connection.execute(changed)).rowcount:
                await connection.execute(text(f"ALTER TABLE {table} {step}"))

    async def _make(self, connection: AsyncConnection) -> None:
        is_ours = await self._book_entry(connection, self._written) is not None
        if await connection.run_sync(lambda c: inspect(c).has_table(self._written)):
            if not is_ours:
                raise ExportError(
                    f"there is a table {self._written!r} in {self._dialect.shown} that no export"
                    " made: choose another name with --table, or drop it if nobody needs it"
                )
            return
        for book in (_marks, _exports):
            await connection.execute(delete(book).where(book.c.table_name == self._written))
        values = {"definition": self._flat.definition, "metric": self._flat.metric.id}
        await connection.execute(insert(_exports).values(table_name=self._written, **values))
        # The last, since MySQL commits with it: an entry without a table is of one yet to be made.
        await connection.run_sync(self._table(self._written).create)

    @to_its_end
    async def replace(self, marks: PartMarks, rows: pa.Table) -> int:
        """Replace the rows of adjacent parts in one transaction; see `Target`."""
        is_exact = self._engine.dialect.name != "sqlite"
        records = records_of(rows, self._flat.by, is_exact, has_nan=not self._is_mysql)
        last = self.parts.of(max(marks))
        begins = self.parts.of(min(marks)).begins, self.parts.of(last.end).begins
        start, end = map(to_datetime, begins)
        table, stage = self._table(self._written), self._table(_STAGE, is_temporary=True)
        async with self._transaction("export rows", WRITE) as connection:
            await self._dialect.lock(connection, self._written)
            await connection.run_sync(stage.create, checkfirst=False)
            for first in range(0, len(records), _ROWS_AT_ONCE):
                await connection.execute(insert(stage), records[first : first + _ROWS_AT_ONCE])
            names = [c.name for c in table.c if c.name not in ("read_until", "updated_at")]
            gone = _missing_in(stage, table, names, by_bytes=self._is_mysql)
            window = table.c.window_start
            await connection.execute(delete(table).where(window >= start, window < end, gone))
            new = select(stage).where(_missing_in(table, stage, ["window_start", KEY]))
            done = await connection.execute(insert(table).from_select(stage.c.keys(), new))
            temporary = "TEMPORARY " if self._is_mysql else ""  # or it would commit
            await connection.execute(text(f"DROP {temporary}TABLE {_STAGE}"))
            await self._remember(connection, marks)
            failpoints.reach("export.before_commit")
            return done.rowcount

    async def _remember(self, connection: AsyncConnection, marks: PartMarks) -> None:
        parts = _marks.c.part
        of_these = and_(
            _marks.c.table_name == self._written, parts >= min(marks), parts <= max(marks)
        )
        await connection.execute(delete(_marks).where(of_these))
        rows = [
            {"table_name": self._written, "part": part, "mark": mark}
            for part, mark in marks.items()
            if mark is not None
        ]
        if rows:
            await connection.execute(insert(_marks), rows)

    @to_its_end
    async def finish(self) -> bool:
        """Put the table in the place of one of another definition; see `Target`."""
        if self._written == self._flat.name:
            return False
        async with self._transaction("swap the tables", WRITE) as connection:
            await self._dialect.lock(connection, _exports.name)
            old = await self._book_entry(connection, self._flat.name)
            if old is not None:
                kept = f"{self._flat.name}_{old.definition}"
                await self._rename(connection, self._flat.name, kept)
            await self._rename(connection, self._written, self._flat.name)
            failpoints.reach("export.before_swap")
        self._written = self._flat.name
        return True

    async def _rename(self, connection: AsyncConnection, name: str, to: str) -> None:
        quote = connection.dialect.identifier_preparer.quote
        if await connection.run_sync(lambda c: inspect(c).has_table(name)):
            await connection.execute(text(f"ALTER TABLE {quote(name)} RENAME TO {quote(to)}"))
        for book in (_marks, _exports):
            renamed = update(book).where(book.c.table_name == name).values(table_name=to)
            await connection.execute(renamed)

    async def _book_entry(self, connection: AsyncConnection, table: str) -> Row[Any] | None:
        of_this = select(_exports).where(_exports.c.table_name == table)
        return (await connection.execute(of_this)).one_or_none()

    def _table(self, name: str, is_temporary: bool = False) -> Table:
        prefixes = ["TEMPORARY"] if is_temporary else []
        return Table(name, MetaData(), *columns_of(self._flat.schema), prefixes=prefixes)


def _missing_in(other: Table, table: Table, names: Sequence[str], by_bytes: bool = False) -> Any:
    """That `other` has no row with the values of these columns of a row of `table`.

    Args:
        by_bytes: Of text, whose trailing spaces MySQL passes over.
    """

    def value(column: ColumnElement[Any]) -> ColumnElement[Any]:
        is_text = by_bytes and isinstance(column.type, Text)
        return cast(column, LargeBinary) if is_text else column

    same = [
        other.c[name] == table.c[name]
        if name in ("window_start", KEY)
        else value(other.c[name]).is_not_distinct_from(value(table.c[name]))
        for name in names
    ]
    return ~exists(select(literal(1)).select_from(other).where(*same).correlate(table))
