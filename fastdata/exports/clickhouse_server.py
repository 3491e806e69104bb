"""What is peculiar to a ClickHouse server: its URL, the settings of a session, its errors."""

import logging

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from fastdata.errors import CommitUnknownError, FastdataError, SettingsError, StoreUnavailableError
from fastdata.exports.server_url import ServerUrl

__all__ = ["SETTINGS", "ClickHouse"]

_EXAMPLE = (
    "write clickhouse://user:password@host:port/database, with ?secure=1 for TLS, or ?ssl_ca=file"
    " for TLS with a server that this file vouches for"
)
SETTINGS: dict[str, object] = {
    # All blocks of an INSERT are one, so that they come in as a whole.
    "async_insert": 0,
    "min_insert_block_size_rows": 1_000_000_000,
    "min_insert_block_size_bytes": 0,
    # An older state is no reason not to write it again.
    "insert_deduplicate": 0,
}
_WRONG_SETTINGS = {
    81: "make the database with CREATE DATABASE, or check --to",
    192: "check the user and password in --to",
    193: "check the user and password in --to",
    194: "check the user and password in --to",
    497: "give the user rights in that database: CREATE TABLE, CREATE VIEW, DROP VIEW, SELECT and"
    " INSERT",
    516: "check the user and password in --to",
}
_ADVICE = {
    202: "the server has too much to do; try again",
    241: "the server has no memory for it; give it some, or export less at once with --from and"
    " --until",
    242: "the table only reads: look at the server's Keeper",
    243: "the server's disk is full; free some space and try again",
    252: "the server merges too slowly for so many refreshes; give --follow a longer --interval",
}


class ClickHouse:
    """One database of a server, 23.8 or newer, which is asked over HTTP.

    Args:
        url: As in `_EXAMPLE`.

    Raises:
        SettingsError: The URL is not understood, or the file of its `ssl_ca` cannot be read.
    """

    errors = (ClickHouseError, OSError)
    """What its driver raises."""

    def __init__(self, url: str) -> None:
        self._url = ServerUrl.parse(url, _EXAMPLE)
        self.database = self._url.path
        if not self._url.host or not self.database or "/" in self.database:
            raise SettingsError(f"--to names no host or no database: {_EXAMPLE}")
        self._port = self._url.port or (8443 if self._url.is_secure else 8123)
        self.shown = f"clickhouse://{self._url.host}:{self._port}/{self.database}"

    def client(self) -> Client:
        """A client of the database, for one thread at a time; it blocks."""
        logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)  # warns of what it raises
        return clickhouse_connect.get_client(
            host=self._url.host,
            port=self._port,
            username=self._url.user or None,
            password=self._url.password,
            database=self.database,
            interface="https" if self._url.is_secure else "http",
            ca_cert=self._url.ca,
            settings=SETTINGS,
            connect_timeout=10,
            query_limit=0,
            autogenerate_session_id=False,
        )

    def failure(self, error: Exception, doing: str, is_writing: bool) -> FastdataError:
        """What we raise for an error of the driver."""
        code = error.code if isinstance(error, Error) else None
        cause: BaseException = error
        while code is None and (before := cause.__cause__ or cause.__context__) is not None:
            cause = before  # its own message is one of the pool, the address and a query's number
        said = str(cause).strip().partition("\n")[0]
        message = f"cannot {doing} in {self.shown}: {said or type(cause).__name__}"
        if code in _WRONG_SETTINGS:
            return SettingsError(f"{message}; {_WRONG_SETTINGS[code]}")
        if code in _ADVICE:
            return StoreUnavailableError(f"{message}; {_ADVICE[code]}")
        if code is None:
            message += "; is the server running, at the host and the HTTP port of --to?"
            return CommitUnknownError(message) if is_writing else StoreUnavailableError(message)
        return StoreUnavailableError(message)
