"""`fastdata query` of a derived metric, which is asked like any other."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastdata.cli.main import commands
from fastdata.cli.query import query
from fastdata.errors import UnknownMetricError
from fastdata.store.opening import open_store
from tests.answer.apps import NOON, ONE, Apps

URL = "sqlite:///store.db"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hours of loads, and crashes in the first; workers have come to the end of that one."""
    monkeypatch.chdir(tmp_path)
    Path("fastdata.toml").write_text(f'store = "{URL}"\n')

    async def fill() -> None:
        async with open_store(URL) as store:
            apps = Apps(tmp_path, store)
            await apps.count(apps.crashes, NOON, {"1.0": "a"})
            await apps.count(apps.loads, NOON, {"1.0": "abcd", "1.1": "ab"})
            await apps.fold(apps.loads, ONE, "1.0", "ab")
            await apps.leave_out(apps.crashes, ONE, 1)
            for metric in (apps.crashes, apps.loads):
                await apps.reach(metric, ONE)

    asyncio.run(fill())


def run(*arguments: str) -> Result:
    return CliRunner().invoke(query, arguments, catch_exceptions=False)


def test_its_rows_are_shown_with_bounds_and_how_sure_they_are() -> None:
    lines = run("stability", "--every", "1h", "--by", "version").stdout.splitlines()

    cells = [line.split() for line in lines[2:5]]
    assert [
        ["2024-02-29", "12:00", "1.0", "0.25", "0.75", "exact"],
        ["2024-02-29", "12:00", "1.1", "0.000", "1.000", "exact"],
    ] == cells[:2]
    assert "0.000 [0.000, 0.5]" in lines[4]
    assert lines[4].endswith("in progress")


def test_machines_get_its_name_and_its_rows() -> None:
    answer = json.loads(run("stability", "--every", "all", "--json").stdout)

    assert ("stability", "UTC", 1) == (answer["metric"], answer["zone"], answer["unfolded"])
    (row,) = answer["rows"]
    assert (1 / 8, 1 / 8, 2 / 8) == tuple(
        row[name]
        for name in ("crashes_per_load", "crashes_per_load_lower", "crashes_per_load_upper")
    )


def test_an_answer_without_rows_says_what_is_known_of_any_of_its_metrics() -> None:
    said = run("stability", "--from", "2025-01-01").stdout
    assert "stability knows 2024-02-29 12:00 to 2024-02-29 14:00" in said


def test_what_needs_something_stored_names_the_metrics_instead() -> None:
    with pytest.raises(UnknownMetricError, match=r"derived metric, .* is made of: crashes, loads"):
        CliRunner().invoke(commands, ["replay", "--metric", "stability"], catch_exceptions=False)
