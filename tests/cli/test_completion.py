"""What a shell completes: commands, options, and metrics, in no time and without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AGENTS = """
import numpy, no_such_module
import fastdata
from fastdata import Metric

raise SystemExit("it is run")
views = Metric("page_views", pages)
visits = fastdata.Metric(source=pages, name="page_visits")
depth = fastdata.DerivedMetric("page_depth", [views, visits], {"n": "page_views.n"})
other = Other("page_others")
computed = [Metric(f"page_{n}", pages) for n in range(9)]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "pages.py").write_text(AGENTS)
    (tmp_path / "agents" / "broken.py").write_text("def (:\n")
    (tmp_path / "agents" / "binary.py").write_bytes(b"\xff\x00")
    return tmp_path


def run(folder: Path, code: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FASTDATA_")}
    return subprocess.run(
        code, cwd=folder, env=clean | variables, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def completed(folder: Path, *words: str, **variables: str) -> list[str]:
    """The words that may stand for the last one."""
    done = run(
        folder,
        [sys.executable, "-m", "fastdata"],
        _FASTDATA_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(("fastdata", *words)),
        COMP_CWORD=str(len(words)),
        **variables,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["qu"], ["query"]),
        (["query", ""], ["page_depth", "page_views", "page_visits"]),
        (["query", "page_vis"], ["page_visits"]),
        (["export", "page_"], ["page_views", "page_visits"]),
        (["verify", "page_views", "page_vis"], ["page_visits"]),
        (["replay", "--metric", "page_vie"], ["page_views"]),
        (["compare", "page_vie"], ["page_views"]),
        (["query", "page_views", "--wat"], ["--watch"]),
        (["query", "page_views", "--format", "rec"], ["records"]),
        (["topics", ""], ["create", "list"]),
        (["qurey", "page"], []),
        (["query", "x"], []),
    ],
)
def test_the_last_word_is_completed(folder: Path, words: list[str], expected: list[str]) -> None:
    assert expected == [word for word in completed(folder, *words) if not word.endswith("help")]


def test_agents_are_those_of_the_settings(folder: Path) -> None:
    (folder / "agents").rename(folder / "mine")
    assert [] == completed(folder, "query", "page_vie")
    assert ["page_views"] == completed(folder, "query", "page_vie", FASTDATA_AGENTS="mine")
    (folder / "fastdata.toml").write_text('agents = "mine"\n')
    assert ["page_views"] == completed(folder, "query", "page_vie")
    (folder / "fastdata.toml").write_text("agents = [\n")
    assert [] == completed(folder, "query", "page_vie")


def test_nothing_slow_is_loaded_for_it(folder: Path) -> None:
    code = (
        "import sys; from fastdata.__main__ import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    asked = {"COMP_WORDS": "fastdata query ", "COMP_CWORD": "2"}
    command = [sys.executable, "-c", code]
    done = run(folder, command, _FASTDATA_COMPLETE="bash_complete", **asked)

    assert "page_views" in done.stdout
    slow = {"fastdata.declare", "numpy", "pyarrow", "pydantic", "rich", "sqlglot", "faust"}
    assert set() == slow & set(done.stderr.split())


def test_bash_completes_with_what_is_printed(folder: Path) -> None:
    (folder / "fastdata").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastdata "$@"\n')
    (folder / "fastdata").chmod(0o755)
    script = (
        'eval "$(fastdata completion bash)"\n'
        "COMP_WORDS=(fastdata query page_vi); COMP_CWORD=2\n"
        '_fastdata_completion fastdata; echo "${COMPREPLY[@]}"'
    )
    path = f"{folder}:{os.environ['PATH']}"
    done = run(folder, ["bash", "-c", script], PATH=path)

    assert ("page_views page_visits\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(folder: Path, shell: str) -> None:
    done = run(folder, [sys.executable, "-m", "fastdata", "completion", shell])
    assert (0, "") == (done.returncode, done.stderr)
    assert f"_FASTDATA_COMPLETE={shell}_complete" in done.stdout
