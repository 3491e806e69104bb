"""The command line: help, versions and how errors end."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands

COMMANDS = ["archive", "demo", "query", "replay", "status", "worker"]
FLIGHTS = """
from fastdata import Metric, Source

flights = Source("flights", topic="flights", schema="flight.avsc", time="scheduled_departure")
departures = Metric("departures", flights)
"""
SCHEMA = (Path(__file__).parents[2] / "schemas" / "flight.avsc").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deployment with one metric, whose broker nobody listens to."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "flights.py").write_text(FLIGHTS)
    (tmp_path / "flight.avsc").write_text(SCHEMA)
    (tmp_path / "fastdata.toml").write_text(
        'broker = "127.0.0.1:1"\nregistry = "."\narchive = "archive"\n'
        'store = "sqlite:///store.sqlite"\nstate = "state"\n'
    )
    return tmp_path


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FASTDATA_")}
    return subprocess.run(
        [sys.executable, "-m", "fastdata.cli.main", *words],
        cwd=folder,
        env=clean | variables,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_examples(name: str) -> None:
    result = CliRunner().invoke(commands, [name, "--help"])
    assert result.exit_code == 0
    assert f"\n  Examples:\n    fastdata {name}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    with commands.make_context("fastdata", ["status"]) as context:
        command = commands.get_command(context, name)
        assert command is not None
        shown = " ".join(commands.get_help(context).split())
        assert f" {name} {command.get_short_help_str(200)}" in shown


def test_no_command_logs_each_try_of_what_it_tries_again(tmp_path: Path) -> None:
    code = (
        "import sys, stamina; from fastdata.cli.main import main\n"
        "sys.argv = ['fastdata', '--version']\n"
        "try: main()\n"
        "except SystemExit: print(stamina.instrumentation.get_on_retry_hooks())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "()"


def test_no_garbage_is_looked_for_at_the_end(tmp_path: Path) -> None:
    code = (
        "import gc; from fastdata.__main__ import main\n"
        "try: main()\n"
        "finally: print(len(gc.get_objects()) < gc.get_freeze_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "True"


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"fastdata {version('fastdata-lambda')}\n"


def test_an_unknown_command_is_a_wrong_call(folder: Path) -> None:
    done = run(folder, "fly")
    assert done.returncode == 2
    assert "there is no command 'fly'" in done.stderr


@pytest.mark.parametrize("name", ["worker", "archive", "status"])
def test_without_agents_the_error_is_one_line(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, name)
    assert done.returncode == 1
    assert done.stderr.startswith("fastdata: there are no agents in")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["worker", "archive", "status"])
def test_a_wrong_setting_is_named(name: str, folder: Path) -> None:
    done = run(folder, name, FASTDATA_COMMIT_INTERVAL_S="soon")
    assert done.returncode == 1
    assert "commit_interval_s" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["worker", "archive", "status"])
def test_a_broken_agent_file_is_named_with_its_line(name: str, folder: Path) -> None:
    (folder / "agents" / "broken.py").write_text("x = 1\n1 / 0\n")
    done = run(folder, name)
    assert done.returncode == 1
    assert "broken.py:2: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["worker", "archive", "status"])
def test_an_unreachable_broker_is_a_clear_error(name: str, folder: Path) -> None:
    done = run(folder, name)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["init", "p", "--from", "no.jsonl"], "no.jsonl cannot be used: No such file or directory"),
        (["init", "p", "--from", "agents"], "agents cannot be used: Is a directory"),
        (["init", "/proc/p"], "/proc/p cannot be used: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(
    words: list[str], problem: str, folder: Path
) -> None:
    done = run(folder, *words)
    assert (1, f"fastdata: {problem}; give another path\n") == (done.returncode, done.stderr)


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    done = run(tmp_path, "archive", FASTDATA_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_status_shows_the_rest_when_the_broker_is_away(folder: Path) -> None:
    done = run(folder, "status")
    assert done.returncode == 1
    assert "flights (topic flights)" in done.stdout
    assert "departures: never replayed" in done.stdout


def test_passwords_of_urls_do_not_show_in_errors(folder: Path) -> None:
    done = run(folder, "status", FASTDATA_STORE="mysql://me:hunter2@db/store")
    assert done.returncode == 1
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize("words", [["topics", "creat"], ["schema", "chek"], ["archive", "imprt"]])
def test_a_misspelt_command_of_a_command_is_told_too(words: list[str]) -> None:
    done = CliRunner().invoke(commands, words)

    assert 2 == done.exit_code
    assert f"there is no command {words[1]!r}; did you mean" in done.stderr


def test_a_misspelt_command_is_told_what_it_may_mean() -> None:
    close = CliRunner().invoke(commands, ["qurey", "departures"])
    other = CliRunner().invoke(commands, ["xyz"])

    assert (close.exit_code, other.exit_code) == (2, 2)
    assert close.stderr.endswith(
        "Error: there is no command 'qurey'; did you mean 'query'? -h lists them\n"
    )
    assert other.stderr.endswith("Error: there is no command 'xyz'; -h lists them\n")
