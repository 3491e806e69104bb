"""A process of a service: started, killed, paused and started again in one folder."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

GUARD = Path(__file__).with_name("guard.py")
FOLDERS = "fastdata-services-"
# Below the range from which the kernel takes ports for outgoing connections.
FIRST_PORT, LAST_PORT = 16_000, 31_999


class StartError(Exception):
    """A service did not become ready; the message has the end of its log."""


def free_port() -> int:
    """A port of the loopback device that nobody listens on.

    Promise: no outgoing connection takes it between the end of a server and its next start.
    """
    while True:
        port = random.randint(FIRST_PORT, LAST_PORT)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def lent_account(name: str) -> str:
    """The account of a service that refuses to run as root; nobody's where there is none."""
    return name if name in {entry.pw_name for entry in pwd.getpwall()} else "nobody"


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of the loopback device."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A folder for this process; those of processes that were killed are removed."""
    top = Path(tempfile.gettempdir())
    for left in top.glob(f"{FOLDERS}*-*"):
        if not psutil.pid_exists(int(left.name.removeprefix(FOLDERS).split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-"))
    folder.chmod(0o711)  # a server may run as another user than root
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server(ABC):
    """A server in a folder of its own; a context manager that starts it, and kills it at the end.

    Promise: it ends with the thread that started it, even when that is killed.

    Args:
        folder: Exists; holds data, settings and the log, which a restart finds again.
    """

    start_timeout_s = 90.0
    death_signal = signal.SIGKILL
    account = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self._log_start = 0
        self.container = ""  # the name of the one that it runs in, if any
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; writes its settings, and makes its data if missing."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves clients; asked until it does."""

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        assert self.pid is None, f"{self.log} is of a process that runs"
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        command = self.command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._guarded(command),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Wait until the process serves clients.

        Raises:
            StartError: It ended, or was not ready in time.
        """
        deadline = time.monotonic() + self.start_timeout_s
        while not self.is_ready():
            if self.pid is None or time.monotonic() > deadline:
                happened = "ended" if self.pid is None else "is not ready in time"
                self.kill()
                raise StartError(f"{type(self).__name__} {happened}:\n{self.said()[-4_000:]}")
            time.sleep(0.05)

    def start(self) -> Self:
        """Start it with what the folder holds, and wait until it is ready.

        Raises:
            StartError: It ended, or was not ready in time.
        """
        self.launch()
        self.wait_until_ready()
        return self

    def kill(self) -> None:
        """End it, and what it started, with SIGKILL."""
        if self._process is None or (pid := self.pid) is None:
            return
        children = psutil.Process(pid).children(recursive=True)
        self._engine("kill")
        self._process.kill()
        self._process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=10)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Ask it to end; kill it when it does not."""
        if self._process is None or self.pid is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same ports with the same folder.

        Raises:
            StartError: It ended, or was not ready in time.
        """
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing answers."""
        self._engine("pause")
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._signal(signal.SIGCONT)
        self._engine("unpause")

    def said(self) -> str:
        """Its log since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()

    def run(self, command: list[str]) -> None:
        """Run a program of the service to its end, what it says goes to the log.

        Raises:
            StartError: It failed.
        """
        with self.log.open("ab") as log:
            done = subprocess.run(
                self._guarded(command),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            raise StartError(
                f"{command[0]} failed\n{self.log.read_text(errors='replace')[-4_000:]}"
            )

    def _guarded(self, command: list[str]) -> list[str]:
        guard = [sys.executable, "-I", "-S", str(GUARD)]
        # An engine's client passes SIGTERM on to the container; SIGKILL would end the client only.
        death = signal.SIGTERM if self.container else self.death_signal
        return [*guard, str(os.getpid()), str(int(death)), self.account, *command]

    def _engine(self, what: str) -> None:
        if self.container:
            order = ["docker", what, self.container]
            subprocess.run(order, capture_output=True, check=False)

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None and self.pid is not None:
            self._process.send_signal(which)
