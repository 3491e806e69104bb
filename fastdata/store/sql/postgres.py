"""What is peculiar to PostgreSQL: its driver, its transactions, its errors, its expressions."""

import re
import ssl
from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    LargeBinary,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastdata.errors import CommitUnknownError, FastdataError, SettingsError, StoreUnavailableError
from fastdata.store.sql.dialect import READ, Dialect, SqlRow, UndoneError

__all__ = ["Postgres"]

_HOST = r"(?:[\w.-]+|\[[\da-fA-F:.]+\])?(?::\d+)?"
# A password with one of @ / ? # in it must not be taken for a host that may be shown.
_URL = re.compile(
    r"postgres(?:ql)?(?:\+asyncpg)?://"
    rf"([^@/?#]*@)?({_HOST}(?:,{_HOST})*)/([^@/?#]+)(\?\w+=[^&#]*(?:&\w+=[^&#]*)*)?"
)
_EXAMPLE = (
    "write postgresql://user:password@host:port/database?sslmode=verify-full&sslrootcert=file,"
    " with %40 for @, %2F for / and the like in a password"
)
_SESSION = {
    "application_name": "fastdata",
    "lock_timeout": "30s",
    # One that vanished with its machine keeps its locks no longer than this.
    "idle_in_transaction_session_timeout": "60s",
    # Plans for any range are made for half of the table.
    "plan_cache_mode": "force_custom_plan",
}
_ARRAYS: dict[type, ARRAY[Any]] = {
    Text: ARRAY(Text),
    BigInteger: ARRAY(BigInteger),
    Boolean: ARRAY(Boolean),
    LargeBinary: ARRAY(LargeBinary),
}
# A message of PostgreSQL holds at most 1 GiB, a state at most 1 MiB.
_ROWS_AT_ONCE = 500

_ADVICE = {
    "25006": "the server is a standby: name both, and ?target_session_attrs=primary",
    "42501": "give the user that right, or make the user the owner of the database",
    "53100": "the server's disk is full; free some space and try again",
    "53300": "raise max_connections of the server",
    "55P03": "another process keeps it locked; look for one that hangs, or try again",
}
_WRONG_SETTINGS = {
    "28000": "check the user in {}, and the server's pg_hba.conf",
    "28P01": "check the user and password in {}",
    "3D000": "make the database with createdb, or check {}",
    "42704": "check what follows ? in {}",
}
_SURELY_UNDONE = ("40001", "40P01")  # serialization failure, deadlock
_SURELY_NOT_COMMITTED = (*_SURELY_UNDONE, "23")  # a constraint that is checked at the end
_LOST = ("08", "57P")  # connection failed, server shuts down or starts up


class Postgres(Dialect):
    """One PostgreSQL database.

    Args:
        url: As libpq takes it; see `_EXAMPLE`.
        setting: Where the URL is from, for messages.

    Attributes:
        shown: Host and database, for messages.

    Raises:
        SettingsError: The URL is not understood.
    """

    def __init__(self, url: str, setting: str = "FASTDATA_STORE") -> None:
        self._setting = setting
        parts = _URL.fullmatch(url)
        if parts is None:
            raise SettingsError(f"the store's URL postgresql:… is not understood: {_EXAMPLE}")
        user, hosts, database, query = (part or "" for part in parts.groups())
        self._url = f"postgresql://{user}{hosts}/{database}{query}"
        self.shown = f"postgresql://{hosts}/{database}"
        self._has_connected = False

    def engine(self) -> AsyncEngine:
        """An engine with a few connections; connects when it is first used."""
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            hide_parameters=True,
            pool_size=4,
            max_overflow=0,
        )

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        try:
            connection = await asyncpg.connect(
                self._url, timeout=10, command_timeout=60, server_settings=_SESSION
            )
        except (asyncpg.ClientConfigurationError, ssl.SSLError, FileNotFoundError) as error:
            raise SettingsError(
                f"cannot connect to {self.shown}: {error}; check the host, sslmode and sslrootcert"
                f" in {self._setting}"
            ) from error
        self._has_connected = True
        return connection

    async def begin(self, connection: AsyncConnection, how: str) -> None:
        """Say how the transaction of `connection` begins.

        One that reads sees one snapshot. One that writes sees in each statement what others
        have committed, so that it sees everything once it has the lock.
        """
        if how == READ:
            await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    async def prepare(self, engine: AsyncEngine) -> None:
        """Nothing to do: tables are made in a transaction, as rows are."""

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def insert(self, table: Table, rows: int) -> postgresql.Insert:
        """An insert of an array for each column: ten times as fast as a row for each VALUES."""
        arrays = [bindparam(c.name, type_=_ARRAYS[type(c.type)]) for c in table.c]
        unnested = func.unnest(*arrays).table_valued(*table.c.keys()).render_derived()
        return postgresql.insert(table).from_select(table.c.keys(), select(unnested))

    def portions(self, rows: Sequence[SqlRow]) -> list[tuple[int, list[SqlRow]]]:
        """The columns of some rows at a time; to the insert they are all the same."""
        columns: list[SqlRow] = [
            tuple(zip(*rows[first : first + _ROWS_AT_ONCE], strict=True))
            for first in range(0, len(rows), _ROWS_AT_ONCE)
        ]
        return [(_ROWS_AT_ONCE, columns)]

    def covered_until(
        self, coverage: ColumnElement[str], partition: ColumnElement[int]
    ) -> ColumnElement[int]:
        segment = func.json_extract_path_text(cast(coverage, JSON), cast(partition, Text))
        return cast(segment, BigInteger)

    def failure(self, error: Exception, doing: str, is_committing: bool) -> FastdataError:
        orig = error.orig if isinstance(error, DBAPIError) else None
        cause = (orig and orig.__cause__) or orig or error
        code = getattr(cause, "sqlstate", None) or ""
        said = next(iter(str(cause).splitlines()), "") or type(cause).__name__
        message = f"cannot {doing} in {self.shown}: {said}"
        if code in _WRONG_SETTINGS:
            return SettingsError(f"{message}; {_WRONG_SETTINGS[code].format(self._setting)}")
        if code in _SURELY_UNDONE:
            return UndoneError(message)
        if is_committing and not code.startswith(_SURELY_NOT_COMMITTED):
            return CommitUnknownError(f"{message}; whether it is done is unknown, so do it again")
        if code in _ADVICE:
            return StoreUnavailableError(f"{message}; {_ADVICE[code]}")
        if _is_lost(error, cause, code):
            message += f"; is the server running, at the host and port of {self._setting}?"
            return UndoneError(message) if self._has_connected else StoreUnavailableError(message)
        return StoreUnavailableError(message)


def _is_lost(error: Exception, cause: BaseException, code: str) -> bool:
    """Whether there is no connection any more, or yet."""
    is_closed = isinstance(error, DBAPIError) and error.connection_invalidated
    return is_closed or isinstance(cause, OSError) or code.startswith(_LOST)
