"""One log of several processes: whose a line is stands in front of it."""

import json
from datetime import UTC, datetime

from fastdata.cli.supervisor import STDERR, STDOUT, Lines, write

__all__ = ["DevLog"]


class DevLog:
    """Writes to standard error: lines of text, or a JSON object a line.

    Args:
        is_verbose: Whether to write also what processes tell on their standard output.
    """

    def __init__(self, *, as_json: bool, is_verbose: bool) -> None:
        self.is_verbose = is_verbose
        self.is_json = as_json

    def say(self, text: str, **values: object) -> None:
        """Write a line of our own; the values come with the JSON."""
        self._write("dev", text, values)

    def of(self, part: str) -> Lines:
        """What takes the lines of a process."""

        def take(descriptor: int, lines: list[bytes]) -> None:
            for line in lines if self.is_verbose or descriptor != STDOUT else ():
                if text := line.decode(errors="replace").rstrip():
                    self._write(part, text, {})

        return take

    def _write(self, part: str, text: str, values: dict[str, object]) -> None:
        if self.is_json:
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            text = json.dumps({"time": time, "part": part, "text": text, **values})
        else:
            text = f"fastdata: {text}" if part == "dev" else f"[{part}] {text}"
        write(STDERR, f"{text}\n".encode())
