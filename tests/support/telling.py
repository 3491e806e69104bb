"""Processes that tell over HTTP how they are."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.lab import Lab


@contextmanager
def running(lab: Lab, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of `fastdata`, whose words go where the lab looks for them."""
    command = [sys.executable, "-m", "fastdata", *words]
    with (lab.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=lab.folder, env=lab.environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def is_ready(port: int) -> bool:
    """Whether a process says that it is."""
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10))
    except OSError:
        return False
