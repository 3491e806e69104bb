"""A virtual environment for each peer, with pinned versions, made when it is first needed."""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

FASTAVRO = "fastavro==1.13.1"
PINS = {
    "faust": ("faust-streaming[fast,uvloop,orjson]==0.15.3", "rocksdict==0.3.29", FASTAVRO),
    "quix": ("quixstreams==3.28.1", FASTAVRO),
    "bytewax": ("bytewax==0.21.1", "confluent-kafka==2.16.0", FASTAVRO),
    "pathway": ("pathway==0.33.0", FASTAVRO),
    "columns": ("duckdb==2.0.0", "polars==2.1.0"),
}


class UnavailableError(Exception):
    """A peer cannot be installed here; the message is pip's reason."""


def cache() -> Path:
    """Where the environments are kept."""
    top = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(top) / "fastdata-bench"


def python_of(name: str) -> str:
    """The interpreter that has a peer's packages; installs them if need be.

    Raises:
        UnavailableError: They cannot be had for this machine or Python.
    """
    pins = PINS[name]
    mark = hashlib.sha256(" ".join((platform.python_version(), *pins)).encode()).hexdigest()[:8]
    folder = cache() / f"{name}-{mark}"
    python = folder / "bin/python"
    if (folder / "installed").exists():
        return str(python)
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    _run(str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *pins)
    (folder / "installed").touch()
    return str(python)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise UnavailableError((lines or done.stderr.splitlines() or ["no reason"])[-1][:200])
