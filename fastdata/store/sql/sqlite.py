"""What is peculiar to SQLite: its driver, its transactions, its errors, its few own expressions."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import URL, ColumnElement, Integer, Table, cast, event, func, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastdata.errors import CommitUnknownError, StoreError, StoreUnavailableError
from fastdata.store.sql.dialect import NONE, READ, WRITE, Dialect, SqlRow

__all__ = ["Sqlite"]

# A plain BEGIN that reads first and writes later fails at once when another process wrote between.
_BEGIN = {READ: "BEGIN", WRITE: "BEGIN IMMEDIATE", NONE: ""}
_OPTION = "fastdata_begin"
_FILE = "fastdata_file"
# Their values are less than 1,000: SQLite before 3.32 takes no more.
_ROWS_AT_ONCE = 50

_ADVICE = {
    "SQLITE_BUSY": "another process keeps it locked; look for one that hangs, or try again",
    "SQLITE_LOCKED": "another process keeps it locked; look for one that hangs, or try again",
    "SQLITE_FULL": "the disk is full; free some space and try again",
    "SQLITE_CANTOPEN": "check that the folder exists and that you may write to it",
    "SQLITE_READONLY": "you may not write to the file or its folder",
    "SQLITE_NOTADB": "the file is no SQLite database; check {}",
    "SQLITE_CORRUPT": "the file is damaged; restore it, or start a new one and replay",
    "SQLITE_IOERR": "the disk does not work; look at the system's log",
}
_SURELY_NOT_COMMITTED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")


class Sqlite(Dialect):
    """One SQLite file.

    Attributes:
        shown: The URL without its secrets, for messages.
    """

    def __init__(
        self, url: URL, busy_timeout_s: float = 30.0, setting: str = "FASTDATA_STORE"
    ) -> None:
        self._setting = setting
        self._url = url
        self._busy_timeout_s = busy_timeout_s
        self.shown = url.set(query={}).render_as_string(hide_password=True)

    def engine(self) -> AsyncEngine:
        """An engine that begins transactions itself; connects when it is first used."""
        engine = create_async_engine(self._url, hide_parameters=True, async_creator=self._connect)
        event.listen(engine.sync_engine, "connect", _on_connect)
        event.listen(engine.sync_engine, "begin", _on_begin)
        return engine

    async def _connect(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(self._url.database or "", timeout=self._busy_timeout_s)
        # A connection that nobody has closed must not keep the interpreter from its end.
        connection._thread.daemon = True
        try:
            return await connection
        except BaseException:
            # Its thread has a last word for an event loop that may be closed by then.
            await asyncio.to_thread(connection._thread.join)
            raise

    async def begin(self, connection: AsyncConnection, how: str) -> None:
        """Say how the transaction of `connection` begins; in the file that is there now.

        A connection goes on in the file that it has opened, although that was moved or deleted.

        Raises:
            StoreUnavailableError: There is no file any more.
        """
        info = (await connection.get_raw_connection()).info
        if (file := _file_of(self._url.database or "")) is None:
            raise StoreUnavailableError(f"{self.shown} was removed; start again what used it")
        if info.setdefault(_FILE, file) != file:
            await connection.invalidate()  # the next statement connects anew
        await connection.execution_options(**{_OPTION: _BEGIN[how]})

    async def prepare(self, engine: AsyncEngine) -> None:
        """Make a new file ready: readers shall go on while another process writes.

        Raises:
            StoreError: The file system cannot do that.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                async with engine.connect() as connection:
                    await self.begin(connection, NONE)
                    mode = await connection.scalar(text("PRAGMA journal_mode=WAL"))
                break
            except OperationalError as error:
                # SQLite does not wait by itself for this change, and others may make it now.
                if not _name(error).startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)
        if mode != "wal":
            raise StoreError(
                f"{self.shown}: the file system has no shared memory, which SQLite's write-ahead"
                f" log needs (journal mode {mode}); put the file on a local disk"
            )

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Nothing to do: a transaction that writes has the file for itself."""

    def insert(self, table: Table, rows: int) -> sqlite.Insert:
        """An insert of so many rows that knows ON CONFLICT."""
        return sqlite.insert(table).values([dict.fromkeys(table.c.keys())] * rows)

    def portions(self, rows: Sequence[SqlRow]) -> list[tuple[int, list[SqlRow]]]:
        """Many rows a statement, at half the time of one, and what is left one by one."""
        end = len(rows) - len(rows) % _ROWS_AT_ONCE
        many = [
            tuple(chain.from_iterable(rows[first : first + _ROWS_AT_ONCE]))
            for first in range(0, end, _ROWS_AT_ONCE)
        ]
        return [(_ROWS_AT_ONCE, many), (1, list(rows[end:]))]

    def covered_until(
        self, coverage: ColumnElement[str], partition: ColumnElement[int]
    ) -> ColumnElement[int]:
        return cast(func.json_extract(coverage, func.printf('$."%d"', partition)), Integer)

    def failure(self, error: Exception, doing: str, is_committing: bool) -> StoreError:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        name = _name(error)
        advice = next((text for code, text in _ADVICE.items() if name.startswith(code)), "")
        advice = advice and f"; {advice.format(self._setting)}"
        message = f"cannot {doing} in {self.shown}: {cause}{advice}"
        if is_committing and not name.startswith(_SURELY_NOT_COMMITTED):
            return CommitUnknownError(f"{message}; whether it is done is unknown, so do it again")
        return StoreUnavailableError(message)


def _file_of(path: str) -> tuple[int, int] | None:
    """Which file that is, whatever its name; None when there is none."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _name(error: Exception) -> str:
    return getattr(getattr(error, "orig", None), "sqlite_errorname", "")


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    if begin := connection.get_execution_options().get(_OPTION, _BEGIN[READ]):
        connection.exec_driver_sql(begin)
