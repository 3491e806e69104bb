"""From a URL to a serving store."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from fastdata.errors import SettingsError, StoreUnavailableError
from fastdata.serving.memory import MemoryStore
from fastdata.serving.stores import ServingStore

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["open_store"]

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "sqlite+aiosqlite": "sqlite+aiosqlite"}
_EXAMPLES = "write memory: or sqlite:///folder/store.db"


def open_store(url: str, create: bool = True) -> ServingStore:
    """The store of a URL, to be entered with `async with`.

    Args:
        url: `memory:`, gone with the process, or an SQLAlchemy URL such as
            `sqlite:///store.db` (relative) or `sqlite:////var/lib/store.db`; the driver is
            chosen here.
        create: Whether a new store is made where there is none. Readers say False.

    Raises:
        SettingsError: The URL is not understood; no secret of it is shown.
        StoreUnavailableError: There is no store at that place and none shall be made.
    """
    if url.rstrip("/") == "memory:":
        return MemoryStore()
    parsed = _parse(url)
    _check_file(parsed, create)
    # SQLAlchemy is slow to import, and a store in memory does without.
    from fastdata.serving.sql import SqlStore
    from fastdata.serving.sqlite import Sqlite

    return SqlStore(Sqlite(parsed), create)


def _parse(url: str) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"the store's URL {_masked(url)} is not understood: {_EXAMPLES}"
        ) from None
    if parsed.drivername.startswith("postgres"):
        raise SettingsError(
            f"the store {_masked(url)} needs PostgreSQL's driver asyncpg, which this version of"
            f" fastdata does not use yet: {_EXAMPLES}"
        )
    if parsed.drivername not in _DRIVERS:
        known = ", ".join(_DRIVERS)
        raise SettingsError(
            f"no store is known for {_masked(url)} (known: memory, {known}): {_EXAMPLES}"
        )
    if not parsed.database or ":memory:" in parsed.database or parsed.host:
        raise SettingsError(
            f"the store's URL {_masked(url)} names no file: {_EXAMPLES}; four slashes begin an"
            " absolute path"
        )
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def _check_file(url: "URL", create: bool) -> None:
    path = Path(url.database or "")
    if not create and not path.is_file():
        raise StoreUnavailableError(
            f"there is no store at {path}: start a worker or a replay first, or check"
            " FASTDATA_STORE"
        )
    if create and not path.parent.is_dir():
        raise StoreUnavailableError(
            f"the store {path} cannot be made, its folder does not exist: make the folder, or"
            " check FASTDATA_STORE"
        )


def _masked(url: str) -> str:
    """Only the scheme: the rest of what is not understood may hold a password anywhere."""
    match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url)
    return f"{match[0]}…" if match else "(without a scheme)"
