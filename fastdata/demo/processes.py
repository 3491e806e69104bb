"""The commands of fastdata as processes of their own, with their output in logs."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from fastdata.errors import FastdataError

__all__ = ["Processes"]

_STOP_S = 20.0
_TAIL_LINES = 30


class Processes:
    """Starts commands in a folder, and stops those that still run when it is left.

    They do not get the terminal's Ctrl-C, so that they can be stopped in order. An async context
    manager.

    Args:
        password: Of the broker; not written anywhere.
    """

    def __init__(self, folder: Path, password: str = "") -> None:
        self._folder = folder
        self._secret = {"FASTDATA_BROKER_PASSWORD": password} if password else {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def start(self, command: str, *options: str) -> None:
        """Start `fastdata COMMAND`; standard output goes to logs/COMMAND.out, errors to .log."""
        # The caller's FASTDATA_* are about another deployment than the one in the folder.
        kept = ("FASTDATA_DEBUG", "FASTDATA_FAILPOINTS")
        env = {k: v for k, v in os.environ.items() if not k.startswith("FASTDATA_") or k in kept}
        with ExitStack() as files:
            out, log = (
                files.enter_context(self._path(command, suffix).open("wb"))
                for suffix in ("out", "log")
            )
            self._running[command] = subprocess.Popen(  # noqa: S603  (our own command)
                [sys.executable, "-m", "fastdata", command, *options],
                cwd=self._folder,
                env=env | self._secret,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )

    def check(self, besides: str = "") -> None:
        """See that all but one still run.

        Raises:
            FastdataError: One has ended; the message holds the end of its log.
        """
        for command, process in self._running.items():
            if command != besides and process.poll() is not None:
                raise self._failure(command, process.returncode)

    async def finish(self, command: str) -> str:
        """Wait until one ends, and return its standard output.

        Raises:
            FastdataError: It failed, or another one has ended meanwhile.
        """
        process = self._running[command]
        while process.poll() is None:
            await asyncio.sleep(0.1)
            self.check(besides=command)
        del self._running[command]
        if process.returncode != 0:
            raise self._failure(command, process.returncode)
        return self._path(command, "out").read_text()

    def peak_mib(self) -> dict[str, int]:
        """The most memory that each of those that run had so far; empty where it is not known."""
        peaks = {}
        for command, process in self._running.items():
            status = Path(f"/proc/{process.pid}/status")
            if status.is_file():
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if "VmHWM" in fields:  # not of one that has just ended
                    peaks[command] = int(fields["VmHWM"].split()[0]) // 1024
        return peaks

    async def stop(self) -> None:
        """Ask all to end and wait for them; kill those that do not within 20 s. Idempotent."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + _STOP_S
        while any(process.poll() is None for process in self._running.values()):
            if asyncio.get_running_loop().time() > deadline:
                for process in self._running.values():
                    process.kill()
            await asyncio.sleep(0.05)
        self._running.clear()

    def _failure(self, command: str, code: int) -> FastdataError:
        path = self._path(command, "log")
        tail = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        lines = "\n".join(f"  {line}" for line in tail)
        return FastdataError(
            f"`fastdata {command}` ended with code {code}; the end of {path}:\n{lines}"
        )

    def _path(self, command: str, suffix: str) -> Path:
        return self._folder / "logs" / f"{command}.{suffix}"
