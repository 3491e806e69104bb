"""Where the archive's objects are: the one module that knows the object store."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore

from fastdata.errors import ArchiveUnavailableError, SettingsError

__all__ = ["ArchiveStorage", "open_archive_storage"]

_FAILURES = (BaseError, OSError)
_T = TypeVar("_T")


class ArchiveStorage:
    """Objects by name, written once. Safe for concurrent use by many processes.

    An object is there whole or not at all. Every method is idempotent: call it again.
    """

    def __init__(self, store: LocalStore | MemoryStore) -> None:
        self._store = store

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless one of that name exists; whether this call wrote it.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        try:
            await self._do(
                "write", name, lambda: obstore.put(self._store, name, data, mode="create")
            )
        except AlreadyExistsError:
            return False
        return True

    async def get(self, name: str) -> bytes | None:
        """The bytes of an object; None when there is none.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        return await self._do("read", name, lambda: bytes(obstore.get(self._store, name).bytes()))

    async def names(self, prefix: str) -> list[str]:
        """The sorted names of all objects in a folder and below it.

        Objects written or deleted meanwhile may be missing or listed.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
        """
        found = await self._do(
            "list", prefix, lambda: obstore.list(self._store, prefix=prefix).collect()
        )
        return sorted(meta["path"] for meta in found or ())

    async def delete(self, name: str) -> None:
        """Delete an object, if it is there.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
        """
        await self._do("delete", name, lambda: obstore.delete(self._store, name))

    async def _do(self, action: str, name: str, call: Callable[[], _T]) -> _T | None:
        try:
            if isinstance(self._store, MemoryStore):
                return call()  # a thread would take forty times as long
            return await asyncio.to_thread(call)
        except AlreadyExistsError:
            raise
        except (NotFoundError, FileNotFoundError):
            return None
        except _FAILURES as error:
            raise ArchiveUnavailableError(
                f"the archive could not {action} {name}: {_brief(error)}; nothing is lost: try "
                "again when the store is back (is it full, or not writable?)"
            ) from error


def open_archive_storage(url: str, create: bool = True) -> ArchiveStorage:
    """The storage of `FASTDATA_ARCHIVE`.

    Args:
        url: `file:///folder` or a path; or `memory:///`, which is a new and empty one at
            each call.
        create: Whether a folder is made where there is none. Readers say False.

    Raises:
        SettingsError: It is another URL, or there is no such folder and none can be made.
    """
    if url.startswith("memory:"):
        return ArchiveStorage(MemoryStore())
    parts = urlsplit(url)
    if "://" in url and (parts.scheme != "file" or parts.netloc not in ("", "localhost")):
        # Only the scheme: the rest may hold a password.
        raise SettingsError(
            f"an archive at {parts.scheme}:// is not supported yet (S3 is next); "
            "set FASTDATA_ARCHIVE to file:///folder, a path or memory:///"
        )
    folder = Path(unquote(parts.path) if parts.scheme == "file" else url).absolute()
    if not create and not folder.exists():
        raise SettingsError(
            f"there is no archive at {folder}: start fastdata archive first, or check "
            "FASTDATA_ARCHIVE"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return ArchiveStorage(LocalStore(folder))
    except _FAILURES as error:
        raise SettingsError(f"cannot keep an archive in {folder}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
