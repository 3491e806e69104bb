"""The folder of a project: who works in it, and what changes there."""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from fastdata.errors import SettingsError

__all__ = ["LOCK", "Project", "Watch", "is_alive"]

LOCK = "dev.lock"
"""Of the folder of states: its holder, what that does, and below where it is reached, as JSON."""

_AT_WORK = "at work"
_SUFFIXES = (".py", ".avsc")


class Project:
    """Held by one process, and those to which it gives `descriptor`, until all of them are gone.

    A context manager.

    Args:
        folder: Of what is stored there; made when it is not there.

    Attributes:
        descriptor: For other processes to hold.
        was_cut_off: Whether the last one who had it did not leave it in order.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self.descriptor = -1
        self.was_cut_off = False

    def __enter__(self) -> Self:
        """Open it, without taking it.

        Raises:
            SettingsError: It cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(f"{self._path} cannot be written: {error.strerror}") from error
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.descriptor)

    def take(self) -> bool:
        """Take it; False while processes of somebody who is gone still have it.

        Raises:
            SettingsError: Somebody works in it.
        """
        first = os.pread(self.descriptor, 100, 0).decode().partition("\n")[0]
        holder, _, state = first.partition(" ")
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if holder and is_alive(int(holder)):
                raise SettingsError(
                    f"`fastdata dev` runs in this folder already, as process {holder}: stop that "
                    "one, or set FASTDATA_STATE, FASTDATA_ARCHIVE and FASTDATA_STORE to others"
                ) from None
            return False
        self.was_cut_off = state == _AT_WORK
        self._write(f"{os.getpid()} {state}")
        return True

    def begin(self, addresses: Mapping[str, str | None]) -> None:
        """Take note that from now on something can be cut off.

        Args:
            addresses: Where it is reached, for `find_running`.
        """
        self._write(f"{os.getpid()} {_AT_WORK}\n{json.dumps(addresses)}")

    def leave(self) -> None:
        """Take note that all is in order."""
        self._write("")

    def _write(self, text: str) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text.encode(), 0)


class Watch:
    """Notices changes of declarations and schemas in some folders.

    Args:
        folders: Those that are not there are none.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = [*folders]
        self._seen = self._look()

    def changed(self) -> list[Path]:
        """The files that came, went or changed since the last call."""
        before, self._seen = self._seen, self._look()
        return sorted({path for path, _ in before.items() ^ self._seen.items()})

    def _look(self) -> dict[Path, tuple[int, int]]:
        seen = {}
        for path in (path for folder in self._folders for path in folder.rglob("*")):
            with suppress(FileNotFoundError):
                if path.suffix in _SUFFIXES and path.is_file():
                    stat = path.stat()
                    seen[path] = stat.st_mtime_ns, stat.st_size
        return seen


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody waited for, does not."""
    with suppress(OSError, IndexError):  # where there is no /proc
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":  # it has ended, and nobody has asked how
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
