"""`fastdata export`: what it says, and that it can be stopped and killed."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import fastdata
from fastdata import Metric
from fastdata.cli.export import export
from fastdata.cli.main import main
from fastdata.coordinates.instants import DAY_MS
from fastdata.store.opening import open_store
from tests.answer.trips import DECLARATION, NOON, SCHEMA, TWO, progress
from tests.exports.rides import FILES, ParquetFolder, Place, SqliteFile, replay_hours

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from fastdata.cli.main import main; main()", "export", "rides"]
DAYS = [NOON + n * DAY_MS for n in range(6)]


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A folder as a user has it, with a store of six days."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "trips.py").write_text(DECLARATION)
    (tmp_path / "trip.avsc").write_text(json.dumps(SCHEMA))
    (tmp_path / "fastdata.toml").write_text('store = "sqlite:///flat.db"\n')
    metric = fastdata.load("agents/trips.py").rides
    assert isinstance(metric, Metric)
    asyncio.run(fill(metric, 5))
    return metric


async def fill(metric: Metric, km: int) -> None:
    async with open_store("sqlite:///flat.db") as store:
        await replay_hours(metric, store, DAYS, km=km)
        await store.upsert([], [progress(TWO)])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(export, ["rides", *arguments], catch_exceptions=False)


def start(*arguments: str, failpoints: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "FASTDATA_FAILPOINTS": failpoints},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_more_the_table_is_in_the_store(rides: Metric, tmp_path: Path) -> None:
    shown = run()
    assert 0 == shown.exit_code
    assert re.fullmatch(
        r"rides_1h: 6 of 6 parts were new, 6 rows written; fresh until 2013-01-01 14:00 UTC,"
        r" read until 2013-01-01 14:00:00 UTC \(\d+\.\d\d s\)\n",
        shown.stdout,
    )
    assert [5] * 6 == [row["km"] for row in SqliteFile(tmp_path).rows()]
    assert run().stdout.startswith("rides_1h: 0 of 6 parts were new, 0 rows written; ")


def test_a_refresh_does_not_load_pandas(rides: Metric, tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise SystemExit('pandas is loaded')\n")
    with start() as exporting:
        shown, errors = exporting.communicate()

    assert (0, "") == (exporting.returncode, errors)
    assert shown.startswith("rides_1h: 6 of 6 parts were new")


def test_json_is_one_object(rides: Metric, tmp_path: Path) -> None:
    said = json.loads(run("--to", "parquet", "--every", "1d", "--by", "none", "--json").stdout)
    assert 0 <= said.pop("seconds") < 60
    assert {
        "table": "rides_1d_total",
        "metric": rides.id,
        "parts": 6,
        "refreshed": 6,
        "rows": 6,
        "swapped": False,
        "fresh_until": "2013-01-01T14:00:00Z",
        "read_until": "2013-01-01T14:00:00Z",
        "earlier": None,
    } == said
    assert 6 == len(ParquetFolder(tmp_path).rows("rides_1d_total"))


def test_months_and_rolling_days_are_tables_of_their_own(rides: Metric, tmp_path: Path) -> None:
    assert run("--every", "month").stdout.startswith("rides_month: 1 of 1 parts were new")
    assert 0 == run("--every", "day", "--rolling", "7d").exit_code
    [month] = SqliteFile(tmp_path).rows("rides_month")
    *_, week = SqliteFile(tmp_path).rows("rides_rolling_7d")
    assert (30, 30) == (month["km"], week["km"])


def test_options_choose_range_dimensions_bounds_and_name(rides: Metric, tmp_path: Path) -> None:
    run("--from", "2013-01-02", "--until", "2013-01-04", "--by", "city", "--bounds", "--table", "t")
    rows = SqliteFile(tmp_path).rows("t")
    assert [(5, 5)] * 2 == [(row["km_lower"], row["km_upper"]) for row in rows]
    assert "line" not in rows[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rydes"], "no metric 'rydes'; did you mean 'rides'?"),
        (["rides", "--by", "town"], "no dimension 'town'"),
        (["rides", "--every", "7m"], "every is 7m; it must be"),
        (["rides", "--rolling", "7d"], "every is 1h: there is a row of rolling days for each day"),
        (["rides", "--to", "cassandra://host/keyspace"], "no place for a flat table"),
        (["rides", "--to", "kafka://rides", "--table", "mine"], "leave --table out"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(
    rides: Metric,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["fastdata", "export", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr()
    assert (1, "", 1) == (caught.value.code, shown.out, len(shown.err.splitlines()))
    assert message in shown.err


def test_follow_goes_on_until_it_is_interrupted(rides: Metric, tmp_path: Path) -> None:
    place = SqliteFile(tmp_path)
    process = start("--follow", "--interval", "0.1", "--json")
    assert process.stdout is not None
    try:
        assert 6 == json.loads(process.stdout.readline())["refreshed"]
        asyncio.run(fill(rides, 9))
        refreshed = 0
        while refreshed < 6:
            refreshed += json.loads(process.stdout.readline())["refreshed"]
        assert [9] * 6 == [row["km"] for row in place.rows()]
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=180)
    assert (0, "") == (process.returncode, err)


@pytest.mark.parametrize(
    ("to", "where"),
    [
        ("sqlite", "export.before_commit"),
        ("sqlite", "export.after_part"),
        ("duckdb", "export.before_commit"),
        ("duckdb", "export.after_part"),
        ("parquet", "export.after_file"),
        ("parquet", "export.after_part"),
    ],
)
def test_what_was_killed_goes_on(rides: Metric, tmp_path: Path, to: str, where: str) -> None:
    place: Place = FILES[to](tmp_path)
    url = {"sqlite": "sqlite:///flat.db", "duckdb": "duckdb:///flat.duckdb"}.get(to, "parquet")
    run("--to", url)
    asyncio.run(fill(rides, 9))
    process = start("--to", url, failpoints=f"{where}=kill@2")
    process.communicate(timeout=180)
    assert -signal.SIGKILL == process.returncode
    assert {5, 9} == {row["km"] for row in place.rows()}
    run("--to", url)
    assert [9] * 6 == [row["km"] for row in place.rows()]
