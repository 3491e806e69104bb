"""What an SQL database must offer to hold a store, and how a transaction on it ends."""

import asyncio
import functools
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from sqlalchemy import ColumnElement, Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fastdata.errors import FastdataError, StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

__all__ = [
    "NONE",
    "READ",
    "WRITE",
    "Database",
    "Dialect",
    "SqlRow",
    "UndoneError",
    "to_its_end",
    "transaction",
]

READ, WRITE, NONE = "read", "write", "none"
"""How a transaction begins: one snapshot of everything, to write, or not at all."""

SqlRow = tuple[object, ...]
"""The values of a row, in the order of its table's columns."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

_PATIENCE_S = 15.0


class UndoneError(StoreUnavailableError):
    """The database undid the transaction, or went away before its end: again, it may succeed."""


def to_its_end(
    call: Callable[_P, Coroutine[object, object, _T]],
) -> Callable[_P, Coroutine[object, object, _T]]:
    """Let a transaction end before its caller is cancelled; try again for 15 s what was undone.

    SQLAlchemy closes the connection of a cancelled call without a rollback, and SQLite keeps the
    lock of a closed connection as long as anything refers to one of its statements.
    """

    @functools.wraps(call)
    async def persist(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        deadline = time.monotonic() + _PATIENCE_S
        longest_s = 0.02
        while True:
            try:
                return await _finish(call(*args, **kwargs))
            except UndoneError:
                if time.monotonic() > deadline:
                    raise
            # Those who were in each other's way shall not meet again.
            await asyncio.sleep(random.uniform(0, longest_s))  # noqa: S311
            longest_s = min(2 * longest_s, 2.0)

    return persist


async def _finish(attempt: Coroutine[object, object, _T]) -> _T:
    task = asyncio.create_task(attempt)
    try:
        return await asyncio.shield(task)
    finally:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # the caller was cancelled, and asks no more


class Database(Protocol):
    """One database, in which there can be flat tables.

    Attributes:
        shown: Where it is, without secrets, for messages.
    """

    shown: str

    def engine(self) -> AsyncEngine:
        """An engine that connects when it is first used."""

    async def begin(self, connection: AsyncConnection, how: str) -> None:
        """Say how the transaction of `connection` begins: READ, WRITE or NONE."""

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Let nobody else pass here with this name until the transaction ends."""

    def failure(self, error: Exception, doing: str, is_committing: bool) -> FastdataError:
        """What we raise for an error of the driver."""


class Dialect(Database, Protocol):
    """A database in which there can be a store, too, and what is peculiar to its kind."""

    async def prepare(self, engine: AsyncEngine) -> None:
        """Make a new database ready for the tables."""

    def insert(self, table: Table, rows: int) -> "sqlite.Insert | postgresql.Insert":
        """An insert of so many rows, as `portions` says, that knows ON CONFLICT."""

    def portions(self, rows: Sequence[SqlRow]) -> list[tuple[int, list[SqlRow]]]:
        """By inserts of how many rows all of them are inserted, and with what parameters each."""

    def covered_until(
        self, coverage: ColumnElement[str], partition: ColumnElement[int]
    ) -> ColumnElement[int]:
        """The first segment of `partition` that `coverage` does not count; NULL when none is."""


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, dialect: Database, doing: str, how: str
) -> AsyncIterator[AsyncConnection]:
    """One transaction; committed at the end, undone when an exception leaves it.

    Args:
        engine: That of the dialect.
        dialect: Makes our errors of the driver's.
        doing: For messages, as in "write partials".
        how: READ, WRITE or NONE.
    """
    is_committing = False
    try:
        async with engine.connect() as connection:
            await dialect.begin(connection, how)
            yield connection
            is_committing = True
            await connection.commit()
    except (SQLAlchemyError, OSError) as error:  # asyncpg lets those of the network through
        raise dialect.failure(error, doing, is_committing) from error
