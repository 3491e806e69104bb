"""The whole job at full speed: the published totals come out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import psutil
import pytest

from fastdata.demo.flights import PUBLISHED

ROOT = Path(__file__).parents[2]
MEASURES = ("flights", "distance", "delay", "worst", "aircraft")
Bounds = Mapping[str, float]


class Answer(TypedDict):
    exact: bool
    measures: dict[str, Bounds]


class Row(TypedDict):
    month: int | str
    fresh: Answer
    replayed: Answer
    published: dict[str, float]


class Result(TypedDict):
    events: int
    months: list[Row]
    drift: dict[str, int]
    steps_s: dict[str, float]
    peak_mib: dict[str, int]


def environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("FASTDATA_")}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "fastdata.cli.main", *words]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "flights"


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    done = subprocess.run(
        command("demo", "--dir", str(folder), "--json"),
        # Anywhere but in the repository, which has the example's files as well.
        cwd=folder.parent,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return cast("Result", json.loads(done.stdout))


pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


def test_every_flight_reaches_both_layers(result: Result) -> None:
    assert result["events"] == 336_776
    assert result["drift"]["late"] == 0
    assert result["drift"]["dead_letters"] == 0


def test_fresh_counts_and_sums_are_the_published_ones(result: Result) -> None:
    for row in result["months"]:
        for measure in ("flights", "distance", "worst"):
            assert row["fresh"]["measures"][measure]["value"] == row["published"][measure]


def test_fresh_bounds_hold_the_published_numbers(result: Result) -> None:
    for row in result["months"]:
        for measure in ("flights", "distance", "worst", "aircraft"):
            bounds = row["fresh"]["measures"][measure]
            assert bounds["lower"] <= row["published"][measure] <= bounds["upper"]


def test_replayed_months_are_exact_in_every_measure(result: Result) -> None:
    closed = [row for row in result["months"] if row["month"] in range(1, 12)]
    assert len(closed) == 11
    for row in closed:
        assert row["replayed"]["exact"] is True
        for measure in MEASURES:
            expected = pytest.approx(row["published"][measure], rel=1e-12)
            assert row["replayed"]["measures"][measure] == {
                "value": expected,
                "lower": expected,
                "upper": expected,
            }


def test_each_month_and_the_year_are_exact_to_the_last_event(result: Result) -> None:
    assert result["drift"]["not_yet_covered"] == 0
    assert {month["replayed"]["exact"] for month in result["months"]} == {True}


def test_a_worker_and_an_archiver_stay_below_400_mib(result: Result) -> None:
    assert sorted(result["peak_mib"]) == ["archive", "worker"]
    assert max(result["peak_mib"].values()) < 400


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("origin", {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}),
        ("carrier", {"UA": 58_665, "B6": 54_635, "EV": 54_173, "DL": 48_110, "AA": 32_729}),
    ],
)
def test_its_folder_answers_queries_after_it_has_ended(
    result: Result, folder: Path, by: str, expected: dict[str, int]
) -> None:
    assert result["events"] == sum(known.flights for known in PUBLISHED if known.month == 0)
    done = subprocess.run(
        command("query", "departures", "--every", "all", "--by", by, "--json"),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    counts = {row[by]: row["flights"] for row in json.loads(done.stdout)["rows"]}
    assert {name: counts[name] for name in expected} == expected


def test_interrupted_it_stops_its_processes_and_exits_with_130(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("demo", "--dir", str(tmp_path / "new"), "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as demo:
        children: list[psutil.Process] = []
        deadline = time.monotonic() + 180
        while len(children) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
            children = psutil.Process(demo.pid).children()
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=180)
    assert len(children) == 2
    assert demo.returncode == 130
    assert out == b""
    assert b"Traceback" not in err
    assert not any(child.is_running() for child in children)
