"""The command line on a store of these tests."""

import os
import subprocess
import sys
from pathlib import Path

from tests.batch.sales import Sales

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from fastdata.cli.main import main; main()"]


def start(world: Sales, url: str, *arguments: str) -> "subprocess.Popen[str]":
    """A command that finds the agents and the archive of `world`."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FASTDATA_AGENTS": str(world.folder / "agents"),
        "FASTDATA_ARCHIVE": str(world.folder / "archive"),
        "FASTDATA_STORE": url,
    }
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for its end; its exit code and what it said."""
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err
