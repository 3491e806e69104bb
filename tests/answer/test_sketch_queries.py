"""Sketches through the store: lists, questions about one item, comparisons of two sides."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from fastdata import Metric
from fastdata.answer.arrow import describe
from fastdata.answer.compare import compare
from fastdata.answer.query import query
from fastdata.cli.compare import compare as compare_command
from fastdata.cli.query import query as query_command
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.segments import Coverage
from fastdata.errors import QueryError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Total
from tests.answer.folder import declare_folder
from tests.answer.trips import NOON, ONE, TWO, progress, unfolded

DECLARATION = """
from fastdata import Frequency, Metric, Quantiles, Rate, Ratio, Seen, Sets, Source, Sum, TopK

trips = Source("trips", topic="trips", schema="trip.avsc", time="at", id="id", segment_size=100)
rides = Metric(
    "rides", trips, by=["city", "line", "is_night"],
    measures={"km": Sum("km"), "top": TopK("rider", k=2), "of": Frequency("rider"),
              "share": Ratio("of", "km"), "ms": Quantiles("km", at=(0.5, 1)),
              "who": Sets("rider"), "met": Seen("rider")},
)
"""
STORE = "sqlite:///store.db"
Trip = tuple[str, int, str]  # city, km, rider


def state(metric: Metric, trips: Sequence[Trip], exact: bool) -> bytes:
    states = metric.zero(exact)
    for city, km, rider in trips:
        fields = {"city": city, "line": 1, "is_night": False, "km": km, "rider": rider}
        metric.add(states, fields)
    return metric.dump(states)


@pytest.fixture
def rides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Batch counted an hour of Oslo and Rome; the speed layer folded the next one of Rome."""
    monkeypatch.chdir(tmp_path)
    metric = declare_folder(tmp_path, DECLARATION)
    asyncio.run(fill(metric))
    return metric


async def fill(metric: Metric) -> None:
    oslo = [("Oslo", 1, "anna"), ("Oslo", 5, "ben"), ("Oslo", 9, "anna")]
    rome = [("Rome", 2, "ben"), ("Rome", 2, "carl"), ("Rome", 2, "dora")]
    async with open_store(STORE) as store:
        totals = [
            Total(NOON, dump_dims([city, 1, False]), state(metric, trips, exact=True))
            for city, trips in (("Oslo", oslo), ("Rome", rome))
        ]
        await store.write_totals(metric.id, 1, {NOON: totals})
        await store.publish(metric.id, [Flip(NOON, None, 1, Coverage({0: 3}), 2)])
        late = state(metric, [("Rome", 4, "anna")], exact=False)
        partial = Partial(metric.id, ONE, dump_dims(["Rome", 1, False]), 0, 3, 300, late)
        await store.upsert([partial], [progress(TWO)])


async def test_lists_come_as_lists(rides: Metric) -> None:
    table = await query(rides, every="1h", by="city", store=STORE)
    counted = [("item", pa.string())] + [(n, pa.int64()) for n in ("count", "lower", "upper")]
    assert table.schema.field("top").type == pa.list_(pa.struct(counted))
    assert table.column("ms").to_pylist() == [[5, 9], [2, 2], [4, 4]]
    first = [[row["item"] for row in rows] for rows in table.column("top").to_pylist()]
    assert first == [["anna", "ben"], ["ben", "carl"], ["anna"]]
    assert table.column("exact").to_pylist() == [True, True, False]


async def test_a_question_about_one_item(rides: Metric) -> None:
    items = {"of": "anna", "met": "carl"}
    table = await query(rides, every="1h", by="city", items=items, store=STORE)
    assert table.column("of").to_pylist() == [2, 0, 1]
    assert table.schema.field("met").type == pa.bool_()
    assert table.column("met").to_pylist() == [False, True, False]
    assert table.column("share").to_pylist() == [2 / 15, 0, 1 / 4]
    plain = await query(rides, every="1h", by="city", store=STORE)
    assert plain.column("of").to_pylist() == [3, 3, 1]
    assert describe(table) == describe(plain)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"km": 1}, "answers no questions about one item; Frequency and Seen do"),
        ({"off": "x"}, "has no measure 'off' that can be asked"),
        ({"share": "x"}, "has no measure 'share' that can be asked"),
        ({"of": 7}, "7 is no value of 'rider'"),
    ],
)
async def test_a_wrong_question_says_what_is_right(
    rides: Metric, items: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        await query(rides, items=items, store=STORE)


def values(table: pa.Table) -> list[tuple[Any, ...]]:
    names = ("left", "right", "union", "intersection", "left_only", "right_only", "jaccard")
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


async def test_two_sides_of_batch_are_compared_exactly(rides: Metric) -> None:
    table = await compare(
        rides, "who", {"city": "Oslo"}, {"city": "Rome"}, end="2013-01-01T13:00", store=STORE
    )
    assert values(table) == [(2, 3, 4, 1, 1, 2, 0.25)]
    assert table.column("jaccard_lower").to_pylist() == [0.25]
    assert table.column("exact").to_pylist() == [True]
    assert table.column("window_start").to_pylist() == [datetime(2013, 1, 1, 12, tzinfo=UTC)]


async def test_sides_are_merged_from_both_layers_and_all_rows(rides: Metric) -> None:
    everyone = await compare(rides, "who", {"city": "Rome", "line": 1}, {}, store=STORE)
    assert values(everyone) == [(4, 4, 4, 4, 0, 0, 1.0)]
    assert everyone.column("exact").to_pylist() == [False]


async def test_each_bucket_of_which_a_side_has_something_is_a_row(rides: Metric) -> None:
    table = await compare(rides, "who", {"city": "Oslo"}, {"city": "Rome"}, every="1h", store=STORE)
    assert values(table) == [(2, 3, 4, 1, 1, 2, 0.25), (0, 1, 1, 0, 0, 1, 0.0)]
    nowhere = await compare(rides, "who", {"city": "Bonn"}, {"is_night": True}, store=STORE)
    assert values(nowhere) == []


async def test_sides_are_compared_by_days_of_a_zone_and_by_rolling_ones(rides: Metric) -> None:
    sides = rides, "who", {"city": "Oslo"}, {"city": "Rome"}
    apart: dict[str, Any] = {"zone": "Etc/GMT-11", "store": STORE}  # 13:00 UTC is its midnight
    days = await compare(*sides, every="day", **apart)
    assert values(days) == [(2, 3, 4, 1, 1, 2, 0.25), (0, 1, 1, 0, 0, 1, 0.0)]
    both = await compare(*sides, start="2013-01-02", every="day", rolling="2d", **apart)
    assert both.column("window_start").to_pylist() == [datetime(2012, 12, 31, 13, tzinfo=UTC)]
    assert values(both) == values(await compare(*sides, store=STORE))


async def test_what_was_not_folded_widens_the_bounds(rides: Metric) -> None:
    async with open_store(STORE) as store:
        await store.upsert([unfolded(rides, NOON, "late", 1)], [])
    table = await compare(
        rides, "who", {"city": "Oslo"}, {"city": "Rome"}, end="2013-01-01T13:00", store=STORE
    )
    [row] = table.to_pylist()
    bounds = {name: (row[f"{name}_lower"], row[f"{name}_upper"]) for name in ("left", "union")}
    assert bounds == {"left": (2, 3), "union": (4, 5)}
    assert (row["left_only_lower"], row["left_only_upper"]) == (0, 2)
    assert (row["jaccard_lower"], row["jaccard_upper"]) == (None, None)
    assert not row["exact"]


@pytest.mark.parametrize(
    ("measure", "side", "message"),
    [
        ("km", {}, r"has no sets 'km' to compare; its measures that are Sets\('field'\): who"),
        ("who", {"town": "Oslo"}, "left: metric 'rides' has no dimension 'town'"),
        ("who", {"line": "x"}, "left: 'x' is no value of 'line', which holds int"),
        ("who", {"city": 1}, "left: 1 is no value of 'city', which holds str"),
    ],
)
async def test_a_wrong_comparison_says_what_is_right(
    rides: Metric, measure: str, side: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        await compare(rides, measure, side, {}, store=STORE)


def test_the_command_asks_about_an_item(rides: Metric) -> None:
    options = ["rides", "--every", "all", "--item", "of=anna", "--item", "met=zoe", "--json"]
    [row] = json.loads(CliRunner().invoke(query_command, options).stdout)["rows"]
    assert (row["of"], row["met"], row["met_upper"]) == (3, False, False)
    shown = CliRunner().invoke(query_command, ["rides", "--every", "all", "--item", "of"])
    assert shown.exit_code == 2
    assert "--item of: give a name and a value, as in NAME=VALUE" in shown.output


def test_the_command_shows_the_bounds_of_each_item(rides: Metric) -> None:
    noon = ["rides", "--every", "1h", "--by", "city", "--to", "2013-01-01T13:00Z"]
    assert "anna 2, ben 1" in CliRunner().invoke(query_command, noon).stdout
    asyncio.run(lose(rides))
    assert "anna 2 [2, 3], ben 1 [1, 2]" in CliRunner().invoke(query_command, noon).stdout


async def lose(metric: Metric) -> None:
    async with open_store(STORE) as store:
        await store.upsert([unfolded(metric, NOON, "late", 1)], [])


def test_the_command_compares_two_sides(rides: Metric) -> None:
    sides = [
        "rides",
        "who",
        "--left",
        "city=Oslo",
        "--right",
        "line=1",
        "--right",
        "is_night=false",
    ]
    answer = json.loads(CliRunner().invoke(compare_command, [*sides, "--json"]).stdout)
    assert (answer["metric"], answer["measure"]) == ("rides", "who")
    assert answer["right"] == {"line": "1", "is_night": "false"}
    assert [row["intersection"] for row in answer["rows"]] == [2]
    shown = CliRunner().invoke(compare_command, sides)
    assert "left_only" in shown.stdout
    weekly = CliRunner().invoke(
        compare_command, [*sides, "--every", "week", "--zone", "Asia/Tokyo"]
    )
    assert "2013-01-01 21:00" in weekly.stdout
    assert "1 row" in shown.stdout
