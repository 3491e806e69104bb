"""Where the archive's objects are: the one module that knows the object store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore

from fastdata.errors import ArchiveUnavailableError, SettingsError

__all__ = ["ArchiveStorage", "open_archive_storage"]

# A lost object raises the builtin error from some stores.
_MISSING = (NotFoundError, FileNotFoundError)
_FAILURES = (BaseError, OSError)


class ArchiveStorage:
    """Objects by name, written once. Safe for concurrent use by many processes.

    An object is there whole or not at all. Every method raises `ArchiveUnavailableError` when
    the store did not do it, or nobody knows whether it did; all are idempotent: call again.
    """

    def __init__(self, store: LocalStore | MemoryStore) -> None:
        self._store = store

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless one of that name exists; whether this call wrote it."""
        try:
            await obstore.put_async(self._store, name, data, mode="create")
        except AlreadyExistsError:
            return False
        except _FAILURES as error:
            raise _unavailable("write", name, error) from error
        return True

    async def get(self, name: str) -> bytes | None:
        """The bytes of an object; None when there is none."""
        try:
            result = await obstore.get_async(self._store, name)
            return bytes(await result.bytes_async())
        except _MISSING:
            return None
        except _FAILURES as error:
            raise _unavailable("read", name, error) from error

    def get_now(self, name: str) -> bytes | None:
        """The same as `get`, for a process without an event loop. May block."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except _MISSING:
            return None
        except _FAILURES as error:
            raise _unavailable("read", name, error) from error

    async def names(self, prefix: str) -> list[str]:
        """The sorted names of all objects in a folder and below it.

        Objects written or deleted meanwhile may be missing or listed.
        """
        try:
            found = await obstore.list(self._store, prefix=prefix).collect_async()
        except _MISSING:
            return []
        except _FAILURES as error:
            raise _unavailable("list", prefix, error) from error
        return sorted(meta["path"] for meta in found)

    async def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        try:
            await obstore.delete_async(self._store, name)
        except _MISSING:
            return
        except _FAILURES as error:
            raise _unavailable("delete", name, error) from error


def open_archive_storage(url: str) -> ArchiveStorage:
    """The storage of `FASTDATA_ARCHIVE`.

    Args:
        url: `file:///folder` or a path, created if need be; or `memory:///`, which is a new
            and empty one at each call.

    Raises:
        SettingsError: It is another URL, or the folder cannot be created.
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return ArchiveStorage(LocalStore(folder))
    except _FAILURES as error:
        raise SettingsError(f"cannot keep an archive in {folder}: {_brief(error)}") from error


def _unavailable(action: str, name: str, error: Exception) -> ArchiveUnavailableError:
    return ArchiveUnavailableError(
        f"the archive could not {action} {name}: {_brief(error)}; nothing is lost: try again "
        "when the store is back (is it full, or not writable?)"
    )


def _brief(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
