"""`fastdata archive` beside a lab's worker."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.lab import Lab


@contextmanager
def archiver(lab: Lab) -> Iterator["subprocess.Popen[bytes]"]:
    """An archiver that says what it does in `archive.log`; killed unless it has ended."""
    command = [sys.executable, "-m", "fastdata.cli.main", "archive"]
    with (lab.folder / "archive.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=lab.folder, env=lab.environment, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
