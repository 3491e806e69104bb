"""What is peculiar to MySQL and MariaDB: locks of a session, statements that commit, its errors."""

import hashlib
import re
import ssl
from collections.abc import Mapping

from sqlalchemy import URL, NullPool, func, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fastdata.errors import CommitUnknownError, FastdataError, SettingsError, StoreUnavailableError
from fastdata.store.sql.dialect import Database, UndoneError

__all__ = ["MySql"]

_EXAMPLE = "write mysql://user:password@host:port/database, with ?ssl_ca=file for TLS"
_NAME = re.compile(r"[^/?#]+")
_LOCK_S = 30
_SESSION = (
    "SET time_zone = '+00:00', sql_mode = 'TRADITIONAL', innodb_lock_wait_timeout = 30,"
    " default_storage_engine = 'InnoDB'"
)

_WRONG_SETTINGS = {
    1044: "give the user rights in that database: CREATE, CREATE TEMPORARY TABLES, SELECT, INSERT,"
    " UPDATE and DELETE",
    1045: "check the user and password in --to",
    1049: "make the database with CREATE DATABASE, or check --to",
    1142: "give the user that right in the database",
    1698: "check the user and password in --to",
}
_ADVICE = {
    1021: "the server's disk is full; free some space and try again",
    1040: "raise max_connections of the server",
    1114: "the server has no room for the table; give it some and try again",
    1205: "another process keeps it locked; look for one that hangs, or try again",
    1290: "the server only reads: name the one that writes",
}
_DEADLOCK = 1213
_LOST = (2006, 2013, 2014, 1053, 1077, 1079, 1927)  # gone away, lost, shuts down, killed
_NO_CONNECTION = (2002, 2003, 2005)


class MySql(Database):
    """One database of MySQL 8 or MariaDB 10.6, and newer.

    Args:
        url: As in `_EXAMPLE`.

    Raises:
        SettingsError: The URL is not understood, or the file of its `ssl_ca` cannot be read.
    """

    def __init__(self, url: str) -> None:
        self._url, options = _parsed(url)
        self.shown = f"mysql://{self._url.host}:{self._url.port or 3306}/{self._url.database}"
        self._options: dict[str, object] = {
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "init_command": _SESSION,
        }
        if (file := options.get("ssl_ca")) is not None:
            try:
                self._options["ssl"] = ssl.create_default_context(cafile=file)
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(f"--to: ssl_ca={file} cannot be used: {error}") from error

    def engine(self) -> AsyncEngine:
        """An engine that connects for each transaction, so that its locks end with it."""
        return create_async_engine(
            self._url,
            connect_args=self._options,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            poolclass=NullPool,
        )

    async def begin(self, connection: AsyncConnection, how: str) -> None:
        """Nothing to do: each statement sees what others have committed."""

    async def lock(self, connection: AsyncConnection, name: str) -> None:
        """Let nobody else pass here with this name until the session ends."""
        # A name has 64 characters at most, and is one of the whole server.
        text = hashlib.sha256(f"fastdata {self._url.database}.{name}".encode()).hexdigest()[:40]
        if not await connection.scalar(select(func.get_lock(text, _LOCK_S))):
            raise UndoneError(
                f"another exporter has had {name} in {self.shown} locked for {_LOCK_S} s: let it"
                " end, or end it, and try again"
            )

    def failure(self, error: Exception, doing: str, is_committing: bool) -> FastdataError:
        """What we raise for an error of the driver."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        code = cause.args[0] if cause.args and isinstance(cause.args[0], int) else 0
        said = str(cause.args[1] if code and len(cause.args) > 1 else cause).partition("\n")[0]
        message = f"cannot {doing} in {self.shown}: {said or type(cause).__name__}"
        if code in _WRONG_SETTINGS:
            return SettingsError(f"{message}; {_WRONG_SETTINGS[code]}")
        if code == _DEADLOCK:
            return UndoneError(message)
        if is_committing:
            return CommitUnknownError(f"{message}; whether it is done is unknown, so do it again")
        if code in _ADVICE:
            return StoreUnavailableError(f"{message}; {_ADVICE[code]}")
        if isinstance(cause.__cause__, ssl.SSLError):
            return StoreUnavailableError(f"{message}: {cause.__cause__}; check ssl_ca in --to")
        if code in _NO_CONNECTION:
            ask = "is the server running, at the host and port of --to?"
            return StoreUnavailableError(f"{message}; {ask}")
        if code in _LOST or (isinstance(error, DBAPIError) and error.connection_invalidated):
            return UndoneError(message)
        return StoreUnavailableError(message)


def _parsed(text: str) -> tuple[URL, Mapping[str, str]]:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(f"--to is not understood: {_EXAMPLE}") from error
    options = {name: str(value) for name, value in url.query.items()}
    if not url.host or not url.database or not _NAME.fullmatch(url.database):
        raise SettingsError(f"--to names no host or no database: {_EXAMPLE}")
    if unknown := options.keys() - {"ssl_ca"}:
        raise SettingsError(f"--to has {', '.join(sorted(unknown))} behind ?: {_EXAMPLE}")
    return url.set(drivername="mysql+aiomysql", query={}), options
