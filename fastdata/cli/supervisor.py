"""Processes below one, which starts them again and gathers what they say."""

import asyncio
import os
import signal
import sys
import threading
import time
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from secrets import token_hex

from fastdata.cli.signals import SUPERVISED, on_signal

__all__ = [
    "EXIT_CANNOT_START",
    "STDERR",
    "STDOUT",
    "KeptProcess",
    "Lines",
    "Supervisor",
    "end_with_supervisor",
    "write",
]

EXIT_CANNOT_START = 1

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_CALM_S = 300.0
_STOP_LIMIT_S = 45.0
_EXIT_ORPHANED = 70

_STDIN, STDOUT, STDERR = 0, 1, 2
_CHUNK_BYTES = 1 << 16

Lines = Callable[[int, list[bytes]], None]
"""Takes whole lines that a process has written to one of its files, `STDOUT` or `STDERR`."""


class KeptProcess:
    """A process that is kept running: whenever it ends it is started again, after a pause.

    It has a session of its own, so that a terminal's Ctrl-C comes to it once, from here; and the
    other end of a pipe from here, which tells it when this process is gone, whatever has become of
    it.

    Args:
        name: For what is said of it.
        command: What runs it, with its arguments.
        on_lines: Called with what it writes.
        say: Called with what became of it.
        environment: Variables besides those of this process.
        descriptors: Files of this process that it holds, too.
        stdin: What it reads instead of that pipe: its end is the end of all who can write to it.

    Attributes:
        starts: How often it was started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        on_lines: Lines,
        say: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        stdin: int = PIPE,
    ) -> None:
        self.name = name
        self.starts = 0
        self._command = command
        self._on_lines = on_lines
        self._say = say
        self._environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            SUPERVISED: "1",
            **(environment or {}),
        }
        self._descriptors = descriptors
        self._stdin = stdin
        self._process: Process | None = None
        self._waking = asyncio.Event()  # from a pause
        self._stopping = asyncio.Event()
        self._is_restarting = False

    async def run(self) -> int:
        """Keep it running until it is stopped; returns its exit code. May block for ever.

        `EXIT_CANNOT_START` at once when it ends so without a failure before.
        """
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._waking.clear()
            self._is_restarting = False
            began_s = time.monotonic()
            code = await self.run_once()
            if self._stopping.is_set():
                return _exit_code(code)
            if time.monotonic() - began_s > _CALM_S or self._is_restarting:
                pause_s = _FIRST_PAUSE_S
            if self._is_restarting:
                continue
            # After a failure it may be what it failed for, as a broker that is away.
            if code == EXIT_CANNOT_START and pause_s == _FIRST_PAUSE_S:
                return code
            self._say(f"{self.name} {_described(code)}; it is started again in {pause_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waking.wait(), pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return 0

    def stop(self) -> None:
        """Ask it to end, and do not start it again. Idempotent."""
        self._stopping.set()
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Ask it to end, and start it again at once when it has."""
        self._is_restarting = True
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it has started at once, and do not start it again."""
        self._stopping.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        self._waking.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def run_once(self) -> int:
        """Run it to its end; returns its exit code, negative after a signal."""
        self.starts += 1
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=self._stdin, stdout=PIPE, stderr=PIPE, start_new_session=True,
            env=self._environment, pass_fds=self._descriptors,
        )  # fmt: skip
        self._process = process
        if self._stopping.is_set() or self._is_restarting:
            self._end(signal.SIGTERM)
        await asyncio.gather(
            _read(process.stdout, STDOUT, self._on_lines),
            _read(process.stderr, STDERR, self._on_lines),
        )
        code = await process.wait()
        self._process = None
        return code


class Supervisor:
    """Keeps a number of processes running until SIGTERM or Ctrl-C.

    Each is this very command line with `--member`, and a name that stays the same while this
    process lives, and that no other process has.
    """

    def __init__(self, count: int) -> None:
        name = token_hex(8)
        command = [sys.executable, *sys.orig_argv[1:], "--member"]
        self._kept = [
            KeptProcess(
                f"process {n}", [*command, f"{name}-{n}"], _prefixing(f"[{n}] ".encode()), _say
            )
            for n in range(1, count + 1)
        ]
        self._code = 0
        self._is_stopping = False

    async def run(self) -> int:
        """Keep them running; returns the exit code, when all have ended. May block for ever.

        0 when all have ended well, else the first other code; 1 as soon as one cannot start.
        """
        on_signal(self._stop)
        await asyncio.gather(*map(self._keep, self._kept))
        return self._code

    def _stop(self) -> None:
        self._is_stopping = True
        for kept in self._kept:
            kept.stop()

    async def _keep(self, kept: KeptProcess) -> None:
        code = await kept.run()
        self._code = self._code or code
        if not self._is_stopping:
            _say(f"{kept.name} ended with code {code}, and so all are stopped")
            self._stop()


def end_with_supervisor() -> None:
    """Have this process stop in order when the one that started it is gone, within 45 s."""
    threading.Thread(target=_watch, name="supervisor", daemon=True).start()


def write(descriptor: int, text: bytes) -> None:
    """Write all of it to a file of this process, unless nobody reads that any more."""
    with suppress(OSError):  # whoever read the log is gone, and the numbers go on
        while text:
            text = text[os.write(descriptor, text) :]


def _watch() -> None:
    while os.read(_STDIN, _CHUNK_BYTES):  # nothing is ever written; the end comes with its end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_LIMIT_S)
    os._exit(_EXIT_ORPHANED)


async def _read(stream: StreamReader | None, descriptor: int, on_lines: Lines) -> None:
    """Hand on whole lines, of any length."""
    rest = b""
    while stream is not None and (chunk := await stream.read(_CHUNK_BYTES)):
        *lines, rest = (rest + chunk).split(b"\n")
        on_lines(descriptor, lines)
    if rest:
        on_lines(descriptor, [rest])


def _prefixing(prefix: bytes) -> Lines:
    """Copies lines to the same file of this process, each with a prefix."""
    return lambda file, lines: write(file, b"".join(b"%s%s\n" % (prefix, ln) for ln in lines))


def _say(text: str) -> None:
    write(STDERR, f"fastdata: {text}\n".encode())


def _described(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _exit_code(code: int) -> int:
    """Of a process that was asked to stop; by our signal it ends before Python's first line."""
    return 0 if code == -signal.SIGTERM else code if code >= 0 else 128 - code
