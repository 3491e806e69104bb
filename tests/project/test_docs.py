"""What the documentation says is so."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fastdata import Settings
from fastdata.cli.main import commands

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
OTHER_SETTINGS = {"FASTDATA_DEBUG", "FASTDATA_FAILPOINTS"}


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text()) if kind == language]


def lines_typed() -> Iterator[tuple[str, str]]:
    """Each command line that a page shows after a `$`, once, with the page's name."""
    for page in PAGES:
        shown = "".join(blocks(page, "console")).splitlines()
        yield from dict.fromkeys((page.name, line[2:]) for line in shown if line.startswith("$ "))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    words = (
        re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page.read_text())
    )
    return {text.replace(" ", "-") for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_are_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


def test_the_readme_shows_the_declaration_that_is_in_agents() -> None:
    first = blocks(ROOT / "README.md", "python")[0]
    comment, _, declaration = first.partition("\n")

    assert comment == "# agents/flights.py"
    assert (ROOT / "agents" / "flights.py").read_text().endswith(declaration)


def test_the_demo_runs_the_declaration_that_is_in_agents() -> None:
    example = ROOT / "fastdata" / "demo" / "example"

    for name in ("agents/flights.py", "schemas/flight.avsc"):
        assert (ROOT / name).read_text() == (example / name).read_text()


def test_the_readme_fits_on_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize(("page", "line"), list(lines_typed()))
def test_a_command_line_that_is_shown_can_be_typed(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    while re.match(r"[A-Z_]+=", words[0]):
        del words[0]  # a setting for this command alone
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {a for a in arguments if "=" not in a} <= set(targets)
    elif program == "fastdata":
        name, *options = arguments
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        command.make_context(name, options)  # parses and checks, and calls nothing
    else:
        assert program in ("cd", "faust", "rm")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {f"FASTDATA_{field.upper()}" for field in Settings.model_fields}
    named = set(re.findall(r"FASTDATA_[A-Z_]*[A-Z]", page.read_text()))

    assert {
        n for n in named - known - OTHER_SETTINGS if not n.startswith("FASTDATA_TEST_")
    } == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:tests|benchmarks|fastdata|docs|agents|schemas)/[\w/.-]*)`", page.read_text()
    )

    assert [name for name in named if not (ROOT / name).exists()] == []
