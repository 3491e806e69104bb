"""Programs that are run, to their end or for a while, and what they used."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 600.0


class FailedError(Exception):
    """A program failed; the message is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a program used from its start to its end, with all that it started."""

    cpu_s: float
    wall_s: float
    said: str

    def last_object(self) -> dict[str, Any]:
        """The last line that it printed, a JSON object."""
        lines = [line for line in self.said.splitlines() if line.startswith("{")]
        found: dict[str, Any] = json.loads(lines[-1])
        return found


@contextmanager
def running(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A process that logs to `folder`; stopped at the end."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


def finished(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Used:
    """Run a program to its end.

    Raises:
        FailedError: It failed, or did not end in ten minutes.
    """
    log = folder / "log"
    began = time.monotonic()
    with log.open("w") as errors, subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True,
        env={**os.environ, **(environment or {})},
    ) as process:  # fmt: skip
        timer = threading.Timer(LIMIT_S, process.kill)
        timer.start()
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = [line for line in log.read_text().splitlines() if line.strip()]
        errors_said = [line for line in lines if "Error" in line] or lines or ["it said nothing"]
        raise FailedError(f"exit {process.returncode}: {errors_said[-1].strip()[:200]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Used(cpu, time.monotonic() - began, said)
