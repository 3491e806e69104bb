"""From a URL to a serving store."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastdata.errors import SettingsError, StoreUnavailableError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import ServingStore

if TYPE_CHECKING:
    from fastdata.store.sql.dialect import Dialect
    from fastdata.store.sql.postgres import Postgres
    from fastdata.store.sql.sqlite import Sqlite

__all__ = ["open_dialect", "open_store"]

_EXAMPLES = "write memory:, sqlite:///folder/store.db or postgresql://user:password@host/database"


def open_store(url: str, create: bool = True) -> ServingStore:
    """The store of a URL, to be entered with `async with`.

    ```python
    async with open_store("sqlite:///store.db", create=False) as store:
        heads = await store.heads(metric_id, start, end)
    ```

    Args:
        url: `memory:`, gone with the process; `sqlite:///store.db` (relative) or
            `sqlite:////var/lib/store.db`; `postgresql://user:password@host:port/database`, with
            the parameters of libpq; `cassandra://host/keyspace`. The driver is chosen here.
        create: Whether a new store is made where there is none. Readers say False.

    Raises:
        SettingsError: The URL is not understood, or its driver not installed; no secret of it is
            shown.
        StoreUnavailableError: There is no store at that place and none shall be made.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise SettingsError(f"the store's URL is not understood, it has no scheme: {_EXAMPLES}")
    opener = _OPENERS.get(scheme[1])
    if opener is None:
        schemes = ", ".join(_OPENERS)
        raise SettingsError(f"no store is known for {scheme[0]}… (known: {schemes}): {_EXAMPLES}")
    return opener(url, create)


def open_dialect(url: str, setting: str, create: bool = True) -> "Dialect":
    """The SQL database of a URL, for a store or other tables.

    Args:
        url: `sqlite:///…` or `postgresql://…`, written as those of `open_store`.
        setting: Where the URL is from, for messages.
        create: Whether a new SQLite file is made where there is none.

    Raises:
        SettingsError: The URL is not understood, or its driver not installed; no secret of it is
            shown.
        StoreUnavailableError: The SQLite file, or its folder, does not exist.
    """
    if url.startswith("sqlite"):
        return _sqlite(url, create, setting)
    return _postgres(url, setting)


# Drivers are slow to import, so each opener imports its own.
def _open_sql(url: str, create: bool) -> ServingStore:
    from fastdata.store.sql.store import SqlStore

    return SqlStore(open_dialect(url, "FASTDATA_STORE", create), create)


def _sqlite(url: str, create: bool, setting: str) -> "Sqlite":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from fastdata.store.sql.sqlite import Sqlite

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        scheme = url.partition(":")[0]
        raise SettingsError(f"the store's URL {scheme}:… is not understood: {_EXAMPLES}") from None
    if not parsed.database or ":memory:" in parsed.database or parsed.host:
        raise SettingsError(
            f"the store's URL sqlite:… names no file: {_EXAMPLES}; four slashes begin an"
            " absolute path"
        )
    _check_file(Path(parsed.database), create, setting)
    return Sqlite(parsed.set(drivername="sqlite+aiosqlite"), setting=setting)


def _postgres(url: str, setting: str) -> "Postgres":
    try:
        from fastdata.store.sql.postgres import Postgres
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise SettingsError(
            f"{setting} names PostgreSQL, whose driver is not installed:"
            " pip install 'fastdata-lambda[postgres]'"
        ) from error
    return Postgres(url, setting)


def _open_cassandra(url: str, create: bool) -> ServingStore:
    from fastdata.store.cassandra.options import parse
    from fastdata.store.cassandra.store import CassandraStore

    return CassandraStore(parse(url), create)


# The scheme alone is shown: the rest of what is not understood may hold a password anywhere.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SQL = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+asyncpg", "postgres")
_OPENERS: dict[str, Callable[[str, bool], ServingStore]] = {
    "memory": lambda _url, _create: MemoryStore(),
    **dict.fromkeys(_SQL, _open_sql),
    "cassandra": _open_cassandra,
}


def _check_file(path: Path, create: bool, setting: str) -> None:
    if not create and not path.is_file():
        raise StoreUnavailableError(
            f"there is no store at {path}: start a worker or a replay first, or check {setting}"
        )
    if create and not path.parent.is_dir():
        raise StoreUnavailableError(
            f"the store {path} cannot be made, its folder does not exist: make the folder, or"
            f" check {setting}"
        )
