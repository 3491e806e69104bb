"""Each test has its step, and the pages name the commands, folders and variables that there are."""

import re
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import pytest

from tests.support.services.fixtures import NAMES

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
README = (ROOT / "README.md").read_text()
STEPS = dict(re.findall(r'^(test[a-z-]*):(?: .*)?\n\t.*-m "([^"]*)"', MAKEFILE, re.MULTILINE))
COMMANDS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
MARKERS = ("services", "processes", "nightly")
# Property tests are drawn anew each night, whatever step they are in.
PROPERTY = "hypothesis"


def steps_of(marks: Iterable[str]) -> list[str]:
    """The steps whose expression takes a test with these markers."""
    names = {name: name in marks for name in (*MARKERS, PROPERTY)}
    return [step for step, expression in STEPS.items() if eval(expression, {}, names)]


def rows(page: str, heading: str) -> list[str]:
    """The first cells of the table with that heading."""
    table = page.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]


def test_a_test_runs_in_one_step_whatever_its_markers() -> None:
    assert list(STEPS) == ["test", "test-services", "test-nightly"]
    for chosen in product((False, True), repeat=len(MARKERS)):
        marks = [name for name, is_set in zip(MARKERS, chosen, strict=True) if is_set]
        assert len(steps_of(marks)) == 1, marks


def test_the_markers_choose_the_steps() -> None:
    assert [["test"], ["test-services"], ["test-services"], ["test-nightly"]] == [
        steps_of(marks) for marks in ([], ["services"], ["processes"], ["services", "nightly"])
    ]
    assert ["test", "test-nightly"] == steps_of([PROPERTY])


def test_the_steps_know_no_marker_that_pytest_does_not(pytestconfig: pytest.Config) -> None:
    known = {line.split(":")[0].split("(")[0] for line in pytestconfig.getini("markers")}

    used = {word for each in STEPS.values() for word in re.findall(r"\w+", each)}
    assert used - {"and", "not", "or"} <= known


def test_a_server_starts_for_fixtures_alone_that_mark_their_tests() -> None:
    plugin = ROOT / "tests" / "support" / "services" / "fixtures.py"
    fixtures = re.findall(r"^@pytest.fixture.*\ndef (\w+)", plugin.read_text(), re.MULTILINE)
    others = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if path != plugin and re.search(r"fixtures import .*\brunning\b", path.read_text())
    ]

    assert set(fixtures) == NAMES
    assert others == []


def test_ci_runs_what_every_change_has_to_pass() -> None:
    (steps,) = re.findall(r"^for step in (.*); do$", (ROOT / ".ci/run").read_text(), re.MULTILINE)

    assert steps.split() == ["test", "test-services"]


def test_the_pages_name_the_commands_that_there_are() -> None:
    shown = re.compile(r"(?:`|\$ )make ([a-z-]+)")

    assert set(shown.findall(CONTRIBUTING)) == COMMANDS - {"help"}
    assert set(shown.findall(README)) <= COMMANDS
    assert "test" in shown.findall(README)


def test_the_table_of_folders_is_complete() -> None:
    shown = {name for cell in rows(CONTRIBUTING, "folder") for name in re.findall(r"`(.+?)`", cell)}
    there = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}

    assert shown == there | {"tests/real"}


def test_the_table_of_variables_is_complete() -> None:
    shown = {
        name for cell in rows(CONTRIBUTING, "variable") for name in re.findall(r"`(.+)`", cell)
    }
    read = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r'environ[^\n]*"(FASTDATA_TEST_\w+)"', path.read_text())
    }

    assert shown == read
