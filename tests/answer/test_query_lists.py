"""Measures that answer with lists, through the store to Arrow and to each format."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from fastdata import Metric
from fastdata.answer.query import query
from fastdata.cli.query import query as command
from fastdata.store.opening import open_store
from fastdata.store.protocol import Partial
from tests.answer.folder import declare_folder
from tests.answer.trips import MINUTE, NOON, TWO, progress, unfolded

DECLARATION = """
import json
from dataclasses import dataclass

import pyarrow as pa

from fastdata import Count, Estimate, Histogram, Metric, Source

@dataclass(frozen=True)
class Days:
    '''The events of each day: pairs of its start and a number.'''

    arguments = ("at",)
    code = 200
    kind = "array"
    day = pa.timestamp("ms", tz="UTC")

    def bind(self, *types):
        return self

    def arrow_type(self):
        return pa.list_(pa.struct([("day", self.day), ("events", pa.int64())]))

    def zero(self, exact=False):
        return {}

    def add(self, state, value):
        return self.merge(state, {value // 86_400_000: 1})

    def merge(self, state, other):
        return {day: state.get(day, 0) + other.get(day, 0) for day in state.keys() | other.keys()}

    def present(self, state):
        return Estimate.exact(tuple([(day * 86_400_000, state[day]) for day in sorted(state)]))

    def widen(self, estimate, events):
        return Estimate(estimate.value, None, None) if events else estimate

    def dump(self, state):
        return json.dumps(sorted(state.items())).encode()

    def load(self, data):
        return dict(json.loads(data))

trips = Source("trips", topic="trips", schema="trip.avsc", time="at", id="id", segment_size=100)
rides = Metric(
    "rides", trips,
    measures={"n": Count(), "km": Histogram("km", edges=[0, 10]), "days": Days()},
)
"""
DAY = 24 * 60 * MINUTE


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Two partials of one hour."""
    monkeypatch.chdir(tmp_path)
    metric = declare_folder(tmp_path, DECLARATION)
    asyncio.run(fill(metric))
    return metric


async def fill(metric: Metric) -> None:
    partials = []
    for segment, distances in enumerate([[5, 12, -1], [7, 10]]):
        states = metric.zero()
        for number, km in enumerate(distances):
            metric.add(states, {"km": km, "at": NOON + number * DAY})
        blob = metric.dump(states)
        partials.append(Partial(metric.id, NOON, "[]", 0, segment, segment * 100, blob))
    async with open_store("sqlite:///store.db") as store:
        await store.upsert(partials, [progress(TWO)])


async def lose(metric: Metric) -> None:
    async with open_store("sqlite:///store.db") as store:
        await store.upsert([unfolded(metric, NOON, "late", 4)], [])


def run(*arguments: str) -> str:
    return CliRunner().invoke(command, ["rides", *arguments], catch_exceptions=False).stdout


async def ask(metric: Metric) -> pa.Table:
    return await query(metric, store="sqlite:///store.db")


def test_arrow_has_lists_and_lists_of_structs(rides: Metric) -> None:
    (row,) = asyncio.run(ask(rides)).to_pylist()
    days = [
        {"day": datetime(2013, 1, 1, tzinfo=UTC), "events": 2},
        {"day": datetime(2013, 1, 2, tzinfo=UTC), "events": 2},
        {"day": datetime(2013, 1, 3, tzinfo=UTC), "events": 1},
    ]
    assert [1, 2, 2] == row["km"] == row["km_lower"] == row["km_upper"]
    assert days == row["days"] == row["days_lower"] == row["days_upper"]


def test_bounds_of_lists_are_lists_or_null(rides: Metric) -> None:
    asyncio.run(lose(rides))
    (row,) = asyncio.run(ask(rides)).to_pylist()
    assert ([1, 2, 2], [5, 6, 6]) == (row["km_lower"], row["km_upper"])
    assert [None, None] == [row["days_lower"], row["days_upper"]]
    assert row["exact"] is False


def test_json_has_lists_and_objects(rides: Metric) -> None:
    (row,) = json.loads(run("--json"))["rows"]
    assert [1, 2, 2] == row["km"] == row["km_upper"]
    assert {"day": "2013-01-03T00:00:00Z", "events": 1} == row["days"][2]


def test_csv_has_lists_as_json(rides: Metric) -> None:
    asyncio.run(lose(rides))
    (row,) = csv.DictReader(io.StringIO(run("--format", "csv")))
    assert ["[1, 2, 2]", "[5, 6, 6]"] == [row["km"], row["km_upper"]]
    assert {"day": "2013-01-01T00:00:00Z", "events": 2} == json.loads(row["days"])[0]
    assert "" == row["days_upper"]


def test_the_table_shows_lists_in_a_line(rides: Metric) -> None:
    shown = run().splitlines()[2]
    assert "  1, 2, 2  " in shown
    assert "2013-01-01T00:00:00Z 2, 2013-01-02T00:00:00Z 2, 2013-01-03T00:00:00Z 1" in shown


def test_the_table_shows_bounds_of_each_element(rides: Metric) -> None:
    asyncio.run(lose(rides))
    assert "  1 [1, 5], 2 [2, 6], 2 [2, 6]  " in run().splitlines()[2]
