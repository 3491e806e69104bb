"""`fastdata dev` in a project of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil

FIRST_MS = 1_700_000_000_000
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": "long"},
        {"name": "rest", "type": "string", "default": ""},
    ],
}
AGENTS = """\
from fastdata import Count, Metric, Source, Sum

clicks = Source("clicks", topic="clicks", schema="schemas/click.avsc", time="at", id="id")
totals = Metric("totals", clicks, by=[], measures={"n": Count(), "amount": Sum("amount")})
"""


class Place:
    """A project, and commands that run in it.

    Attributes:
        environment: Of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("agents", "schemas"):
            (folder / name).mkdir()
        (folder / "schemas/click.avsc").write_text(json.dumps(SCHEMA))
        self.agents = folder / "agents/clicks.py"
        self.agents.write_text(AGENTS)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTDATA_")}

    def write(self, name: str, numbers: range, rest_bytes: int = 0) -> int:
        """Write a file of events, the n-th of amount n; returns the sum of their amounts.

        Args:
            rest_bytes: How many bytes, which cannot be compressed, each of them has besides.
        """
        with (self.folder / name).open("w") as file:
            for n in numbers:
                rest = b64encode(Random(n).randbytes(rest_bytes)).decode()
                event = {"id": str(n), "at": FIRST_MS + 10 * n, "amount": n, "rest": rest}
                file.write(json.dumps(event) + "\n")
        return sum(numbers)

    @contextmanager
    def dev(self, *options: str) -> Iterator["Dev"]:
        """`fastdata dev`, which is killed at the end unless it has ended."""
        command = [
            sys.executable,
            "-m",
            "fastdata",
            "dev",
            "--log",
            "json",
            "--port",
            "0",
            *options,
        ]
        log = self.folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=file, text=True,
            )  # fmt: skip
        try:
            yield Dev(process, log)
        finally:
            process.kill()
            process.communicate()

    def answer(self, metric: str = "totals") -> dict[str, Any]:
        """The one row of a metric."""
        command = [sys.executable, "-m", "fastdata", "query", metric, "--every", "all", "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        (row,) = json.loads(done.stdout)["rows"]
        return row  # type: ignore[no-any-return]


class Dev:
    """A running command."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> list[dict[str, Any]]:
        """All lines of its log so far."""
        *lines, _ = self._log.read_text().split("\n")
        return [json.loads(line) for line in lines]

    def wait_for(self, is_it: Callable[[dict[str, Any]], bool], timeout_s: float = 240) -> None:
        """Wait until such a line is there."""
        deadline = time.monotonic() + timeout_s
        while not any(map(is_it, self.said)):
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def wait_for_text(self, text: str) -> None:
        """Wait until a line has this in it."""
        self.wait_for(lambda line: text in line["text"])

    def children(self) -> list[psutil.Process]:
        """All processes below it."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def part(self, name: str) -> psutil.Process:
        """The process of a part."""
        for child in self.children():
            with suppress(psutil.NoSuchProcess):  # or a zombie
                if name in child.cmdline():
                    return child
        raise LookupError(name)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it in order; returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(240)

    def rows(self) -> list[dict[str, Any]]:
        """The answers that it prints at its end, which is waited for."""
        out, _ = self.process.communicate(timeout=400)
        assert self.process.returncode == 0, self._log.read_text()
        return [row for line in out.splitlines() for row in json.loads(line)["rows"]]


def are_gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether all have ended; who waits to be buried by process 1 has, too."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def totals(row: dict[str, Any]) -> tuple[int, int, bool]:
    """What a row counts, and whether it is exact."""
    return row["n"], row["amount"], row["exact"]
