"""Several workers below one process, which starts them again and gathers what they say."""

import asyncio
import os
import signal
import sys
import threading
import time
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from secrets import token_hex

from fastdata.cli.signals import on_signal

__all__ = ["EXIT_CANNOT_START", "Supervisor", "end_with_supervisor"]

EXIT_CANNOT_START = 1

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_CALM_S = 300.0
_STOP_LIMIT_S = 45.0
_EXIT_ORPHANED = 70

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHUNK_BYTES = 1 << 16


class Supervisor:
    """Keeps a number of processes running until SIGTERM or Ctrl-C.

    Each is this very command line with `--member`, and a name that stays the same while this
    process lives, and that no other process has. Each has a session of its own, so that a
    terminal's Ctrl-C comes to them once, from here; and the other end of a pipe from here, which
    tells them when this process is gone, whatever has become of it.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._name = token_hex(8)
        self._running: set[Process] = set()
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Keep them running; returns the exit code, when all have ended. May block for ever.

        0 when all have ended well, else the first other code; 1 as soon as one cannot start.
        """
        on_signal(self._stop)
        await asyncio.gather(*(self._keep(number) for number in range(1, self._count + 1)))
        return self._code

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._running:
            _terminate(process)

    async def _keep(self, number: int) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            began_s = time.monotonic()
            code = await self._run(number)
            if self._stopping.is_set():
                self._code = self._code or _exit_code(code)
                return
            if time.monotonic() - began_s > _CALM_S:
                pause_s = _FIRST_PAUSE_S
            # After a failure it may be what it failed for, as a broker that is away.
            if code == EXIT_CANNOT_START and pause_s == _FIRST_PAUSE_S:
                _say(f"process {number} ended with code 1, and so all are stopped")
                self._code = code
                self._stop()
                return
            _say(f"process {number} {_described(code)}; it is started again in {pause_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run(self, number: int) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *sys.orig_argv[1:], "--member", f"{self._name}-{number}",
            stdin=PIPE, stdout=PIPE, stderr=PIPE,
            start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self._running.add(process)
        if self._stopping.is_set():
            _terminate(process)
        prefix = f"[{number}] ".encode()
        await asyncio.gather(
            _copy(process.stdout, _STDOUT, prefix), _copy(process.stderr, _STDERR, prefix)
        )
        code = await process.wait()
        self._running.discard(process)
        return code


def end_with_supervisor() -> None:
    """Have this process stop in order when the one that started it is gone, within 45 s."""
    threading.Thread(target=_watch, name="supervisor", daemon=True).start()


def _watch() -> None:
    while os.read(_STDIN, _CHUNK_BYTES):  # nothing is ever written; the end comes with its end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_LIMIT_S)
    os._exit(_EXIT_ORPHANED)


async def _copy(stream: StreamReader | None, descriptor: int, prefix: bytes) -> None:
    """Copy whole lines, of any length, each with its prefix, to a file of this process."""
    rest = b""
    while stream is not None and (chunk := await stream.read(_CHUNK_BYTES)):
        *lines, rest = (rest + chunk).split(b"\n")
        _write(descriptor, b"".join(b"%s%s\n" % (prefix, line) for line in lines))
    if rest:
        _write(descriptor, b"%s%s\n" % (prefix, rest))


def _write(descriptor: int, text: bytes) -> None:
    with suppress(OSError):  # whoever read the log is gone, and the numbers go on
        while text:
            text = text[os.write(descriptor, text) :]


def _say(text: str) -> None:
    _write(_STDERR, f"fastdata: {text}\n".encode())


def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()


def _described(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _exit_code(code: int) -> int:
    """Of a process that was asked to stop; by our signal it ends before Python's first line."""
    return 0 if code == -signal.SIGTERM else code if code >= 0 else 128 - code
