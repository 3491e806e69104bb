"""Where the archive's objects are: the one module that knows the object store."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from fastdata.archive.s3 import code_of, explain, is_missing, open_s3, was_cut
from fastdata.errors import ArchiveUnavailableError, SettingsError

__all__ = ["ArchiveStorage", "Stored", "open_archive_storage"]

_FAILURES = (BaseError, OSError)
_THREADS = 24
_CONFLICTS = 5
_PAGE = 1000
_T = TypeVar("_T")


class Stored(NamedTuple):
    """What a listing tells of an object."""

    name: str
    size: int


class ArchiveStorage:
    """Objects by name, written once. Safe for concurrent use by many processes.

    An object is there whole or not at all. Every method is idempotent: call it again. At most
    24 requests are under way at once; more wait.
    """

    def __init__(
        self, store: LocalStore | MemoryStore | S3Store, called: str = "the archive"
    ) -> None:
        self._store = store
        self._called = called
        # The driver's own coroutines can abort an interpreter that ends soon after.
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="fastdata-archive")

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless one of that name exists; whether this call wrote it.

        False may also mean that an earlier try did, whose answer was lost.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
            ArchiveRefusedError: The store refuses.
        """
        for _ in range(_CONFLICTS):
            try:
                # The store decides, in one step, who of two archivers was first; a look before the
                # write would let both of them write.
                await self._run(lambda: obstore.put(self._store, name, data, mode="create"))
            except AlreadyExistsError as error:
                # 409: another one is writing it, and may fail.
                if code_of(error) == "ConditionalRequestConflict":
                    continue
                return False
            except _FAILURES as error:
                if was_cut(error) and await self._has(name):
                    return False
                self._fail("write", name, error)
            return True
        raise ArchiveUnavailableError(
            f"the archive could not write {name}: others kept writing it; try again"
        )

    async def replace(self, name: str, data: bytes, aside: str) -> None:
        """Write an object in the place of the one of that name, if there is one. Atomic.

        Nothing of an archive is ever replaced: this is for what is made anew from other data.

        Args:
            aside: A name for what is not whole yet, in a folder that readers do not look into;
                needed in a file system only. For one writer at a time.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
            ArchiveRefusedError: The store refuses.
        """
        try:
            if isinstance(self._store, LocalStore):
                await self._run(lambda: obstore.put(self._store, aside, data))
                await self._run(lambda: obstore.rename(self._store, aside, name))
            else:
                await self._run(lambda: obstore.put(self._store, name, data))
        except _FAILURES as error:
            self._fail("write", name, error)

    async def get(self, name: str) -> bytes | None:
        """The bytes of an object; None when there is none.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
            ArchiveRefusedError: The store refuses.
        """
        try:
            return await self._run(lambda: bytes(obstore.get(self._store, name).bytes()))
        except FileNotFoundError as error:
            if self._is_s3 and code_of(error) != "NoSuchKey":
                self._fail("read", name, error)
            return None
        except _FAILURES as error:
            self._fail("read", name, error)

    async def listing(self, prefix: str) -> list[Stored]:
        """All objects in a folder and below it, by name.

        Objects written or deleted meanwhile may be missing or listed.

        Raises:
            ArchiveUnavailableError: The store did not answer; retriable.
            ArchiveRefusedError: The store refuses.
        """
        try:
            return await self._run(lambda: self._list(prefix))
        except FileNotFoundError as error:
            if self._is_s3:
                self._fail("list", prefix, error)
            return []
        except _FAILURES as error:
            self._fail("list", prefix, error)

    async def names(self, prefix: str) -> list[str]:
        """The sorted names of what `listing` lists; raises what that raises."""
        return [stored.name for stored in await self.listing(prefix)]

    async def delete(self, *names: str) -> None:
        """Delete objects, as far as they are there.

        Raises:
            ArchiveUnavailableError: The store did not do it, or nobody knows; retriable.
            ArchiveRefusedError: The store refuses.
        """
        if not names:
            return
        try:
            await self._run(lambda: self._delete(names))
        except _FAILURES as error:
            self._fail("delete", names[0], error)

    @property
    def _is_s3(self) -> bool:
        return isinstance(self._store, S3Store)

    def _list(self, prefix: str) -> list[Stored]:
        pages = obstore.list(self._store, prefix=prefix, chunk_size=_PAGE)
        return sorted(Stored(meta["path"], meta["size"]) for page in pages for meta in page)

    def _delete(self, names: Sequence[str]) -> None:
        if self._is_s3:
            try:
                obstore.delete(self._store, names)  # in one request for each thousand
            except BaseError as error:
                if not is_missing(error):
                    raise
            else:
                return
        for name in names:
            try:
                obstore.delete(self._store, name)
            except (FileNotFoundError, BaseError) as error:
                if not is_missing(error):
                    raise

    async def _has(self, name: str) -> bool:
        try:
            await self._run(lambda: obstore.head(self._store, name))
        except (FileNotFoundError, *_FAILURES):
            return False
        return True

    async def _run(self, call: Callable[[], _T]) -> _T:
        if isinstance(self._store, MemoryStore):
            return call()  # a thread would take forty times as long
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def _fail(self, action: str, name: str, error: Exception) -> NoReturn:
        if self._is_s3:
            raise explain(f"could not {action} {name}", error) from error
        raise ArchiveUnavailableError(
            f"{self._called} could not {action} {name}: {_brief(error)}; nothing is lost: try "
            "again when the store is back (is it full, or not writable?)"
        ) from error


def open_archive_storage(
    url: str, create: bool = True, called: str = "the archive"
) -> ArchiveStorage:
    """The storage of `FASTDATA_ARCHIVE`, or of another URL of its kind.

    Args:
        url: `file:///folder` or a path; `s3://bucket/prefix`, with the AWS_* variables; or
            `memory:///`, which is a new and empty one at each call.
        create: Whether a folder is made where there is none. Readers say False.
        called: For messages.

    Raises:
        SettingsError: It is another URL, or there is no such folder and none can be made.
    """
    if url.startswith("memory:"):
        return ArchiveStorage(MemoryStore(), called)
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return ArchiveStorage(open_s3(url), called)
    if "://" in url and (parts.scheme != "file" or parts.netloc not in ("", "localhost")):
        # Only the scheme: the rest may hold a password.
        raise SettingsError(
            f"an archive at {parts.scheme}:// is not supported; "
            "set it to s3://bucket/prefix, file:///folder, a path or memory:///"
        )
    folder = Path(unquote(parts.path) if parts.scheme == "file" else url).absolute()
    if not create and not folder.exists():
        raise SettingsError(
            f"there is no archive at {folder}: start fastdata archive first, or check "
            "FASTDATA_ARCHIVE"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return ArchiveStorage(LocalStore(folder), called)
    except _FAILURES as error:
        raise SettingsError(f"cannot keep an archive in {folder}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
