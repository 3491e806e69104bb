"""Every command of the command line explains itself."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands


def walk(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from walk(inner, (*path, name))


def label(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else ""


TREE = sorted(walk(commands), key=lambda item: item[0])
# What takes long to load, and is of no use before a command does its work.
SLOW = {
    "aiokafka", "cassandra", "confluent_kafka", "datafusion", "datasketches", "fastapi", "faust",
    "mcp", "mode", "numpy", "obstore", "pandas", "pyarrow", "pydantic", "rich", "rocksdict",
    "scipy",
    "sqlalchemy", "sqlglot",
}  # fmt: skip


@pytest.mark.parametrize(("path", "command"), TREE, ids=label)
def test_help_says_what_a_command_does_and_shows_examples(
    path: tuple[str, ...], command: click.Command
) -> None:
    shown = CliRunner().invoke(commands, [*path, "--help"])

    assert shown.exit_code == 0
    assert (command.help or "").strip()
    assert "Examples:" in shown.output


@pytest.mark.parametrize("path", [path for path, _ in TREE], ids=label)
def test_help_loads_nothing_that_it_does_not_show(path: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys; from fastdata.__main__ import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, *path, "--help"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert " ".join(("Usage: fastdata", *path)) in shown.stdout
    assert "click" in shown.stderr.split()
    assert set(shown.stderr.split()) & SLOW == set()


@pytest.mark.parametrize(("path", "command"), TREE, ids=label)
def test_every_option_is_explained(path: tuple[str, ...], command: click.Command) -> None:
    silent = [
        p.name for p in command.params if isinstance(p, click.Option) and not (p.help or p.hidden)
    ]

    assert silent == []


def test_the_commands_are_those_that_the_documentation_names() -> None:
    assert set(commands.list_commands(click.Context(commands))) == {
        "alerts",
        "archive",
        "compare",
        "completion",
        "dead-letters",
        "demo",
        "dev",
        "doctor",
        "epoch",
        "export",
        "init",
        "mcp",
        "query",
        "replay",
        "schema",
        "send",
        "serve",
        "size",
        "status",
        "topics",
        "verify",
        "worker",
    }
