"""Processes of their own that do something with a store."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(url: str, code: str) -> subprocess.Popen[str]:
    """Run one line of code, which finds `store` and the samples."""
    script = (
        "import asyncio, sys\n"
        "from fastdata.store.opening import open_store\n"
        "from fastdata.coordinates.segments import Coverage\n"
        "from fastdata.store.protocol import Total\n"
        "from tests.store.samples import *\n"
        "async def main(url):\n"
        "    async with open_store(url) as store:\n"
        f"        {code}\n"
        "asyncio.run(main(sys.argv[1]))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, url],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for its end; what it printed."""
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    return out
