"""Some dimensions, some measures, some rows: each answer is a part of the whole one."""

import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import fastdata
from fastdata import Count, Metric, Ratio, Sum, Uniques
from fastdata.answer.arrow import describe
from fastdata.answer.query import query
from fastdata.cli.query import query as command
from fastdata.coordinates.dimensions import tip_dims
from fastdata.coordinates.segments import Coverage
from fastdata.errors import QueryError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, ServingStore
from tests.answer.trips import MINUTE, NOON, ONE, TWO, declare_source, partial, progress, total

DAY = ("2013-01-01T12:00", "2013-01-01T14:00")
CITIES = ["Oslo", "Bergen", "O'Hare", 'a"b', "Oslo,7", None]
Chosen = Callable[[dict[str, Any]], bool]


def declare(folder: Path) -> Metric:
    return Metric(
        "rides",
        declare_source(folder),
        by=["city", "line"],
        measures={
            "n": Count(),
            "km": Sum("km"),
            "riders": Uniques("rider"),
            "per_ride": Ratio("km", "n"),
        },
    )


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture(params=["memory:", "sqlite:///{folder}/store.db"])
async def store(
    request: pytest.FixtureRequest, rides: Metric, tmp_path: Path
) -> AsyncIterator[ServingStore]:
    """Totals of an hour, with a tip; then an hour that only the speed layer has."""
    rng = random.Random(7)
    keys = [(city, line) for city in CITIES for line in range(-1, 8)]
    minutes = range(NOON, ONE, MINUTE)
    hour = [total(rides, m, key, [(rng.randrange(9), "anna")]) for m in minutes for key in keys]
    tip = total(rides, NOON, keys[3], [(5, "ben")])
    hour.append(tip._replace(dims=tip_dims(tip.dims, 0)))
    fresh = [
        partial(rides, m, key, [(rng.randrange(9), f"r{rng.randrange(40)}")])
        for m in range(ONE, TWO, MINUTE)
        for key in keys
    ]
    async with open_store(request.param.format(folder=tmp_path)) as store:
        await store.write_totals(rides.id, 1, {NOON: hour})
        coverage = Coverage({0: 3}, {0: 301}, has_tips=True)
        await store.publish(rides.id, [Flip(NOON, None, 1, coverage, len(hour))])
        await store.upsert(fresh, [progress(TWO)])
        yield store


@pytest.mark.parametrize("every", ["1m", "1h", "all", "day"])
@pytest.mark.parametrize(
    ("where", "is_chosen"),
    [
        ("city = 'Oslo' and line = 3", lambda row: (row["city"], row["line"]) == ("Oslo", 3)),
        ("city in ('Oslo', 'a\"b')", lambda row: row["city"] in ("Oslo", 'a"b')),
        ("city = 'O''Hare' and line < 2", lambda row: row["city"] == "O'Hare" and row["line"] < 2),
        ("city is null", lambda row: row["city"] is None),
        ("line = 7 or line = -1", lambda row: row["line"] in (7, -1)),
        ("city = 'Paris'", lambda row: False),
        ("city = 'Oslo' and city = 'Bergen'", lambda row: False),
        ("1 = 1", lambda row: True),
    ],
)
async def test_where_gives_the_rows_of_the_whole_answer_that_meet_it(
    rides: Metric, store: ServingStore, where: str, is_chosen: Chosen, every: str
) -> None:
    both = ["city", "line"]
    whole = await query(rides, *DAY, every=every, by=both, store=store)
    some = await query(rides, *DAY, every=every, by=both, where=where, store=store)
    expected = [row for row in whole.to_pylist() if is_chosen(row)]
    assert whole.schema.equals(some.schema)
    assert expected == some.to_pylist()

    merged = await query(rides, *DAY, every=every, by="line", where=where, store=store)
    sums: Counter[object] = Counter()
    for row in expected:
        sums[row["window_start"], row["line"], "n"] += row["n"]
        sums[row["window_start"], row["line"], "km"] += row["km"]
    assert sums == {
        (row["window_start"], row["line"], name): row[name]
        for row in merged.to_pylist()
        for name in ("n", "km")
    }
    assert where == describe(merged)["where"]


async def test_a_grouping_set_has_what_is_asked_for_and_what_where_names(tmp_path: Path) -> None:
    sets = [(), ("city",), ("city", "line")]
    source = declare_source(tmp_path)
    rides = Metric("rides", source, by=["city", "line"], grouping_sets=sets)
    rows = [([0], 5), ([1, "Oslo"], 3), ([1, "Rome"], 2), ([2, "Oslo", 1], 3), ([2, "Rome", 1], 2)]
    stored = [partial(rides, NOON, dims, [(None, None)] * n) for dims, n in rows]  # type: ignore[arg-type]
    async with open_store("memory:") as store:
        await store.upsert(stored, [progress(ONE)])

        async def counted(**asked: Any) -> list[int]:
            table = await query(rides, every="all", store=store, **asked)
            return list(table["events"].to_pylist())

        assert [5] == await counted()
        assert [3] == await counted(where="city = 'Oslo'")
        assert [5] == await counted(where="line = 1")
        assert [2] == await counted(where="line = 1 and city = 'Rome'")
        assert [3] == await counted(by="line", where="city = 'Oslo'")


async def test_measures_are_those_asked_for_in_that_order(
    rides: Metric, store: ServingStore
) -> None:
    whole = await query(rides, *DAY, by="line", store=store)
    names = ["per_ride", "n"]
    some = await query(rides, *DAY, by="line", measures=names, store=store)
    columns = [name + suffix for name in names for suffix in ("", "_lower", "_upper")]
    sure = ["exact", "fresh_until", "read_until", "gap"]
    assert ["window_start", "window_end", "line", *columns, *sure] == some.column_names
    assert whole.select(some.column_names).to_pylist() == some.to_pylist()
    one = await query(rides, *DAY, measures="riders", store=store)
    assert (await query(rides, *DAY, store=store)).select(one.column_names).equals(one)


async def test_states_of_measures_that_are_not_asked_for_are_not_read(
    rides: Metric, store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(type(rides.aggregates[2]), "load", fail)
    monkeypatch.setattr(type(rides.aggregates[2]), "load_groups", fail, raising=False)
    table = await query(rides, *DAY, by="line", measures=["km", "n"], store=store)
    assert 18 == table.num_rows
    with pytest.raises(AssertionError, match="read"):
        await query(rides, *DAY, by="line", store=store)


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("km desc", lambda row: -row["km"]),
        ("km", lambda row: row["km"]),
        (["line desc", "km"], lambda row: (-row["line"], row["km"])),
        (
            "line DESC, window_start desc",
            lambda row: (-row["line"], -row["window_start"].timestamp()),
        ),
        ("city", lambda row: (row["city"] is None, row["city"] or "")),
    ],
)
async def test_rows_come_in_the_order_asked_for_and_only_the_first(
    rides: Metric, store: ServingStore, order: Any, key: Callable[[dict[str, Any]], Any]
) -> None:
    by = ["city", "line"]
    whole = await query(rides, *DAY, by=by, store=store)
    expected = sorted(whole.to_pylist(), key=key)
    some = await query(rides, *DAY, by=by, order=order, store=store)
    assert expected == some.to_pylist()
    first = await query(rides, *DAY, by=by, order=order, limit=5, store=store)
    assert expected[:5] == first.to_pylist()
    assert 5 == describe(first)["limit"]


async def test_what_the_order_does_not_need_is_answered_of_the_first_rows_alone(
    rides: Metric, store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, presented = type(rides.aggregates[-1]), list[object]()
    present = kind.present

    def presenting(aggregate: Any, state: object) -> Any:
        presented.append(state)
        return present(aggregate, state)

    monkeypatch.setattr(kind, "present", presenting)
    by = ["city", "line"]
    await query(rides, *DAY, by=by, order="km desc", limit=5, store=store)
    assert 5 == len(presented)


async def test_null_is_the_last_either_way(rides: Metric, store: ServingStore) -> None:
    for order in ("city", "city desc"):
        table = await query(rides, *DAY, every="all", by="city", order=order, store=store)
        assert [None] == table["city"].to_pylist()[-1:]


async def test_a_limit_may_be_larger_than_anything(rides: Metric, store: ServingStore) -> None:
    table = await query(rides, *DAY, every="all", limit=1 << 80, store=store)
    assert 1 == table.num_rows


async def test_a_part_has_the_range_of_the_whole(tmp_path: Path) -> None:
    rides = declare(tmp_path)
    stored = [partial(rides, NOON, ["Oslo", 1], [(5, "anna")])]
    stored.append(partial(rides, NOON + 9 * 24 * 60 * MINUTE, ["Bergen", 1], [(5, "anna")]))
    async with open_store("memory:") as store:
        await store.upsert(stored, [progress(TWO)])
        for asked in ({"every": "all"}, {"every": "day", "rolling": "30d"}, {"every": "1h"}):
            whole = await query(rides, by="city", store=store, **asked)  # type: ignore[arg-type]
            some = await query(rides, by="city", where="city = 'Oslo'", store=store, **asked)  # type: ignore[arg-type]
            assert [row for row in whole.to_pylist() if row["city"] == "Oslo"] == some.to_pylist()


async def test_a_part_of_which_nothing_is_there_is_of_no_earlier_definition(
    tmp_path: Path,
) -> None:
    earlier, rides = Metric("rides", declare_source(tmp_path), by=["city"]), declare(tmp_path)
    async with open_store("memory:") as store:
        for number, metric in enumerate((earlier, rides), 1):
            run = await store.open_run(metric.id, NOON, ONE, Coverage())
            assert number == run.number
        oslo = total(rides, NOON, ["Oslo", 1], [(5, "anna")])
        await store.write_totals(earlier.id, 1, {NOON: [oslo]})
        await store.publish(earlier.id, [Flip(NOON, None, 1, Coverage(), 1)])
        await store.upsert([partial(rides, NOON, ["Oslo", 1], [(5, "anna")])], [progress(TWO)])
        table = await query(rides, *DAY, where="city = 'Paris'", store=store)
    assert describe(table)["earlier"] is None


async def test_a_limit_alone_takes_the_first_rows(rides: Metric, store: ServingStore) -> None:
    whole = await query(rides, *DAY, by=["city", "line"], store=store)
    some = await query(rides, *DAY, by=["city", "line"], limit=7, store=store)
    assert whole.slice(0, 7).to_pylist() == some.to_pylist()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"measures": ["n", "kms"]},
            r"no measure 'kms'; did you mean 'km'\? Its measures are: n, km",
        ),
        ({"measures": []}, "measures is empty"),
        ({"order": "riders upwards"}, "'riders upwards' is no column; write it as in"),
        ({"order": ""}, "'' is no column"),
        ({"order": "city"}, "cannot be sorted by 'city'; what they can be by: window_start, n"),
        (
            {"order": "km", "measures": "n"},
            "cannot be sorted by 'km'; what they can be by: window_start, n",
        ),
        ({"order": 5}, "order is 5; name columns"),
        ({"measures": 5}, "measures is 5; give names"),
        ({"limit": 0}, "limit is 0; give a number of rows, 1 or more"),
        ({"limit": True}, "limit is True"),
        ({"where": "city = 3"}, "city is string and 3 is int"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    rides: Metric, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        await query(rides, store="memory:", **asked)


def test_what_the_examples_of_the_command_sort_by_is_there() -> None:
    departures = fastdata.load("agents/flights.py").departures
    orders = re.findall(r'--order "(\w+) ', command.help or "")
    assert orders
    assert set(orders) <= departures.columns.keys()
