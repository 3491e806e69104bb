"""The example of docs/sessions.md, run as the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "sessions.md").read_text()

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_shows_what_its_commands_print(tmp_path: Path) -> None:
    schema, events = blocks("json")
    (agents,), (typed,) = blocks("python"), blocks("console")
    for name, text in {
        "agents/shop.py": agents, "schemas/click.avsc": schema, "clicks.jsonl": events,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    commands = [line[len("$ fastdata ") :] for line in typed.splitlines() if line[0] == "$"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FASTDATA_")}
    for command in commands:
        shown = subprocess.run(
            [sys.executable, "-m", "fastdata", *command.split()],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    assert shown.startswith("".join(typed.splitlines(keepends=True)[2:]))
