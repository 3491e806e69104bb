"""Every command of the command line explains itself."""

from collections.abc import Iterator

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


@pytest.mark.parametrize(("path", "command"), TREE, ids=label)
def test_help_says_what_a_command_does_and_shows_examples(
    path: tuple[str, ...], command: click.Command
) -> None:
    shown = CliRunner().invoke(commands, [*path, "--help"])

    assert shown.exit_code == 0
    assert (command.help or "").strip()
    assert "Examples:" in shown.output


@pytest.mark.parametrize(("path", "command"), TREE, ids=label)
def test_every_option_is_explained(path: tuple[str, ...], command: click.Command) -> None:
    silent = [
        p.name for p in command.params if isinstance(p, click.Option) and not (p.help or p.hidden)
    ]

    assert silent == []


def test_the_commands_are_those_that_the_documentation_names() -> None:
    assert set(commands.list_commands(click.Context(commands))) == {
        "archive",
        "compare",
        "demo",
        "epoch",
        "export",
        "query",
        "replay",
        "schema",
        "send",
        "size",
        "status",
        "topics",
        "verify",
        "worker",
    }
