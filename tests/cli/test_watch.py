"""`fastdata query --watch`: in a terminal, in a pipe, with a store that goes away, until Ctrl-C."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata import Metric
from fastdata.cli.query import query
from fastdata.coordinates.instants import HOUR_MS
from fastdata.store.opening import open_store
from tests.answer.folder import make_folder
from tests.answer.trips import ONE, TWO, partial, progress


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path)


class Watched:
    """A watching process, and what it has written up to now."""

    def __init__(self, *words: str, is_terminal: bool = False) -> None:
        ours, theirs = pty.openpty() if is_terminal else os.pipe()
        command = [sys.executable, "-m", "fastdata", "query", "rides", *words]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            command, stdout=theirs, stderr=subprocess.PIPE, env=environment, text=True
        )
        os.close(theirs)
        self._ours = ours
        self.written = ""

    def until(self, is_enough: Callable[[str], object]) -> str:
        """What is written, when that is enough."""
        deadline = time.monotonic() + 60
        while not is_enough(self.written):
            assert time.monotonic() < deadline, self.written
            self.written += os.read(self._ours, 65536).decode()
        return self.written

    def end(self, number: int) -> tuple[int, str]:
        """Exit code and what stderr has."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=60)[1]
        os.close(self._ours)
        return self.process.returncode, errors


@pytest.fixture
def watched() -> Iterator[list[Watched]]:
    processes: list[Watched] = []
    yield processes
    for watched in processes:
        watched.process.kill()
        watched.process.wait()


async def fold(metric: Metric, trips: int) -> None:
    async with open_store("sqlite:///store.db") as store:
        rows = [partial(metric, ONE, ["", 1], [(2, "anna")] * trips)]
        await store.upsert(rows, [progress(ONE + trips)])


def test_a_pipe_gets_a_line_of_json_for_each_change(rides: Metric, watched: list[Watched]) -> None:
    process = Watched("--every", "all", "--watch", "50ms", "--json")
    watched.append(process)
    process.until(lambda text: text.count("\n") == 1)
    asyncio.run(fold(rides, 2))
    lines = process.until(lambda text: text.count("\n") == 2).splitlines()

    assert (0, "") == process.end(signal.SIGINT)
    answers = [json.loads(line) for line in lines]
    assert [4, 5] == [answer["rows"][0]["n"] for answer in answers]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", answer["at"]) for answer in answers)


def test_a_pipe_gets_tables_with_their_time(rides: Metric, watched: list[Watched]) -> None:
    process = Watched("--every", "all", "--watch", "50ms")
    watched.append(process)
    process.until(lambda text: "\n\n" in text)
    asyncio.run(fold(rides, 2))
    blocks = process.until(lambda text: text.count("\n\n") == 2).strip().split("\n\n")

    assert (0, "") == process.end(signal.SIGTERM)
    assert [True, True] == [
        bool(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\nwindow ", block)) for block in blocks
    ]


def test_a_pipe_gets_a_table_when_a_window_is_over(rides: Metric, watched: list[Watched]) -> None:
    process = Watched("--every", "all", "--watch", "50ms", "--to", "2013-01-01T15:00")
    watched.append(process)
    process.until(lambda text: "\n\n" in text)

    async def move_on() -> None:
        async with open_store("sqlite:///store.db") as store:
            await store.upsert([], [replace(progress(TWO + HOUR_MS), next_offset=500)])

    asyncio.run(move_on())
    blocks = process.until(lambda text: text.count("\n\n") == 2).strip().split("\n\n")

    assert (0, "") == process.end(signal.SIGTERM)
    rows = [block.splitlines()[3] for block in blocks]
    assert ["   in progress", "   fresh"] == [re.sub(r".*\d(?=   )", "", row) for row in rows]


def test_a_terminal_is_redrawn_and_says_when_it_was(rides: Metric, watched: list[Watched]) -> None:
    process = Watched("--watch", "50ms", is_terminal=True)
    watched.append(process)
    process.until(lambda text: text.count("last update 20") > 2)
    asyncio.run(fold(rides, 7))
    shown = process.until(lambda text: re.search(r" 13:00 +8 .*\n(.*\n)*.*last update", text))

    assert (0, "") == process.end(signal.SIGINT)
    assert "\x1b[1A" in shown  # a line up: in the place of the one before
    assert re.search(r"last update 20[\d: -]+ UTC · every 0.05 s, Ctrl-C ends", shown)


def test_a_store_that_is_away_is_waited_for(rides: Metric, watched: list[Watched]) -> None:
    process = Watched("--every", "all", "--watch", "50ms", "--json")
    watched.append(process)
    process.until(lambda text: "\n" in text)
    Path("store.db").rename("away.db")
    assert process.process.stderr is not None
    away = process.process.stderr.readline()
    Path("away.db").rename("store.db")
    back = process.process.stderr.readline()
    asyncio.run(fold(rides, 2))
    lines = process.until(lambda text: text.count("\n") == 2).splitlines()

    assert (0, "") == process.end(signal.SIGINT)
    assert away.startswith("fastdata: ")
    assert away.endswith("; trying again\n")
    assert "fastdata: the store answers again\n" == back
    assert 5 == json.loads(lines[1])["rows"][0]["n"]


@pytest.mark.parametrize(
    "words", [["--format", "csv"], ["--format", "parquet"], ["--output", "rows.json", "--json"]]
)
def test_what_cannot_be_written_again_and_again_is_refused(rides: Metric, words: list[str]) -> None:
    shown = CliRunner().invoke(query, ["rides", "--watch", "1s", *words])
    assert 2 == shown.exit_code
    assert "--watch shows tables, records or --json" in shown.stderr


def test_a_pause_that_is_none_is_a_wrong_call(rides: Metric) -> None:
    shown = CliRunner().invoke(query, ["rides", "--watch", "often"])
    assert 2 == shown.exit_code
    assert "Invalid value for '--watch': not a duration: 'often'" in shown.stderr


def test_a_store_that_is_not_there_from_the_first_is_an_error(
    rides: Metric, watched: list[Watched]
) -> None:
    Path("store.db").unlink()
    process = Watched("--watch")
    watched.append(process)
    assert "there is no store at" in process.process.communicate(timeout=60)[1]
    assert 1 == process.process.returncode
