"""What is peculiar to DuckDB: one process at a time, the words of its SQL, its errors.

The file is open only while a transaction lasts, so that others can read it between two of them.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection, NullPool
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.compiler import GenericTypeCompiler, IdentifierPreparer
from sqlalchemy.util import await_only

from fastdata.errors import CommitUnknownError, ExportError, FastdataError, StoreUnavailableError
from fastdata.store.sql.dialect import Database, UndoneError

__all__ = ["DuckDb"]


class DuckDb(Database):
    """One DuckDB file, which is made if there is none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.shown = f"duckdb:///{path}"

    def engine(self) -> AsyncEngine:
        """An engine that opens the file for each transaction."""
        return create_async_engine("flat+duckdb://", creator=self._connect, hide_parameters=True)

    def _connect(self) -> "_Connection":
        return _Connection(await_only(asyncio.to_thread(duckdb.connect, self._path)))

    async def begin(self, connection: AsyncConnection, how: str) -> None:
        """Nothing to do: each transaction is one snapshot and may write."""

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Nothing to do: the process has the file for itself."""

    def failure(self, error: Exception, doing: str, is_committing: bool) -> FastdataError:
        """What we raise for an error of the driver."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        said = str(cause).partition("\n")[0]
        message = f"cannot {doing} in {self.shown}: {said}"
        if "Conflicting lock" in said:
            return UndoneError(
                f"{message}; DuckDB lets no other process open a file that one writes: end that"
                " process or let it close the file, also if it only reads, and try again"
            )
        if isinstance(cause, duckdb.TransactionException):  # another thread of ours wrote, too
            return UndoneError(message)
        if "not a valid DuckDB" in said:
            return ExportError(f"{message} Name another file with --to")
        if is_committing:
            return CommitUnknownError(f"{message}; whether it is done is unknown, so do it again")
        if isinstance(cause, duckdb.IOException):
            message += "; check that the folder exists, has room, and that you may write to it"
        return StoreUnavailableError(message)


class _TypeCompiler(GenericTypeCompiler):
    def visit_datetime(self, type_: Any, **options: Any) -> str:
        return "TIMESTAMP WITH TIME ZONE"

    def visit_JSON(self, type_: Any, **options: Any) -> str:  # noqa: N802
        return "JSON"


class _IdentifierPreparer(IdentifierPreparer):
    def _requires_quotes(self, value: str) -> bool:
        return True  # DuckDB reserves more words than SQLAlchemy knows, as `at` and `pivot`


class _DuckDbDialect(DefaultDialect):
    """As much of DuckDB's SQL as flat tables need, for SQLAlchemy; a thread waits for the file."""

    name = "duckdb"
    is_async = True
    poolclass = NullPool
    preparer = _IdentifierPreparer
    type_compiler_cls = _TypeCompiler
    supports_native_boolean = True
    supports_native_decimal = True
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        return duckdb

    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> bool:
        tables = connection.exec_driver_sql(
            "SELECT 1 FROM information_schema.tables WHERE table_catalog = current_database()"
            " AND table_schema = current_schema() AND lower(table_name) = lower(?)",
            (table_name,),
        )
        return tables.first() is not None


class _Connection:
    """A connection as SQLAlchemy takes it, for one transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection.begin()

    def cursor(self) -> "_Cursor":
        return _Cursor(self._connection)

    def commit(self) -> None:
        await_only(asyncio.to_thread(self._connection.commit))

    def rollback(self) -> None:
        """Nothing to do: what is not committed ends with the connection, which is closed next."""

    def close(self) -> None:
        await_only(asyncio.to_thread(self._connection.close))


class _Cursor:
    """A cursor in the transaction of its connection, which those of the driver are not."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        await_only(asyncio.to_thread(self._connection.execute, statement, parameters))
        self._rows = self._connection.fetchall()
        if statement.startswith("SELECT"):
            self.description = self._connection.description
        elif self._rows:  # the driver gives a count as a row
            self.rowcount = self._rows.pop()[0]

    def executemany(self, statement: str, parameters: Sequence[Sequence[object]]) -> None:
        """Insert rows as one Arrow table; one by one takes the driver 0.3 ms each."""
        columns = {str(n): pa.array(c) for n, c in enumerate(zip(*parameters, strict=True))}
        self._connection.register("fastdata_export_rows", pa.table(columns))
        insert = statement.rpartition(" VALUES ")[0]
        self.execute(f"{insert} SELECT * FROM fastdata_export_rows")  # noqa: S608  (all ours)

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def close(self) -> None:
        """Nothing to do: it is the connection."""

    async def _async_soft_close(self) -> None:
        """What SQLAlchemy calls when a result has no more rows."""


registry.register("flat.duckdb", __name__, _DuckDbDialect.__name__)
