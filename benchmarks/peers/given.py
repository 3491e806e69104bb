"""What every program of this folder is given, and how it says what it took.

The programs run in an environment of their own, so that they import nothing of fastdata. The first
argument is a JSON object: the broker, the topics, the schema, how many events there are.
"""

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import fastavro

given: dict[str, Any] = json.loads(sys.argv[1])
schema = fastavro.parse_schema(given["schema"])
_began: list[float] = []


def begin() -> None:
    """Start the clock, unless it runs."""
    if not _began:
        _began.extend((time.process_time(), time.perf_counter()))


def decode(value: bytes) -> Any:
    """The event behind the five bytes of the schema id; the first one starts the clock."""
    if not _began:
        begin()
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)


def finish() -> None:
    """Print what was used since the clock was started, by all threads of this process."""
    cpu_s, wall_s = time.process_time() - _began[0], time.perf_counter() - _began[1]
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak_kb,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    said = {"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": peak_kb / 1024}
    # Faust sends sys.stdout to its log.
    os.write(1, f"\n{json.dumps(said)}\n".encode())
