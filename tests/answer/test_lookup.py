"""A lookup says of a key what a query says of it, and keeps it for a while."""

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastdata import Count, Max, Mean, Metric, Sum, TopK, Uniques
from fastdata.answer.lookup import KeyHistory, Lookup
from fastdata.answer.query import query
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, to_datetime
from fastdata.coordinates.segments import Coverage
from fastdata.errors import QueryError, StoreUnavailableError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, ServingStore
from tests.answer.trips import NOON, declare_source, gap, partial, progress, total

NOW = NOON + HOUR_MS // 2
TODAY = NOON - 12 * HOUR_MS
OSLO = ("Oslo", 3)


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return Metric(
        "rides",
        declare_source(tmp_path),
        by=["city", "line"],
        measures={
            "n": Count(),
            "km": Sum("km"),
            "mean": Mean("km"),
            "longest": Max("km"),
            "riders": Uniques("rider"),
            "often": TopK("rider", 2),
        },
    )


@pytest.fixture(params=["memory:", "sqlite:///{folder}/store.db"])
async def store(
    request: pytest.FixtureRequest, rides: Metric, tmp_path: Path
) -> AsyncIterator[ServingStore]:
    """Totals of ten days ago, partials of yesterday and of today, and older ones of both."""
    async with open_store(request.param.format(folder=tmp_path)) as store:
        for days in (100, 10):
            span = TODAY - days * DAY_MS
            rows = [
                total(rides, span, OSLO, [(5, "anna"), (7, "ben")]),
                total(rides, span, ("Oslo", 4), [(50, "cy")]),
                total(rides, span, ("Bergen", 3), [(500, "dan")]),
            ]
            rows.sort(key=lambda row: row.dims)
            await store.write_totals(rides.id, 1, {span: rows})
            await store.publish(rides.id, [Flip(span, None, 1, Coverage({0: 3}), len(rows))])
        many = [(n, f"r{n}") for n in range(2_000)]
        fresh = [
            partial(rides, TODAY - 90 * DAY_MS, OSLO, [(3, "anna")]),
            partial(rides, TODAY - HOUR_MS, OSLO, many),
            partial(rides, NOON, OSLO, [(9, "eve")]),
            partial(rides, NOON, ("Bergen", 3), [(1, "fay")]),
        ]
        await store.upsert(fresh, [progress(NOON)])
        yield store


def lookup(rides: Metric, store: ServingStore | str, **options: Any) -> Lookup:
    options = {"fresh_s": math.inf, "past_s": math.inf, **options}
    return Lookup(rides, last="60d", store=store, clock=lambda: NOW, **options)


async def asked(rides: Metric, store: ServingStore, where: str) -> dict[str, tuple[object, ...]]:
    """The same of a query: value and bounds by measure."""
    start, end = to_datetime(TODAY - 60 * DAY_MS), to_datetime(NOON + HOUR_MS)
    table = await query(rides, start, end, every="all", where=where, store=store)
    (row,) = table.to_pylist()
    return {n: (row[n], row[f"{n}_lower"], row[f"{n}_upper"]) for n in rides.columns}


def told(history: KeyHistory) -> dict[str, tuple[object, ...]]:
    return {n: (e.value, e.lower, e.upper) for n, e in history.estimates.items()}


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ({"city": "Oslo", "line": 3}, "city = 'Oslo' and line = 3"),
        ({"city": "Oslo"}, "city = 'Oslo'"),
        ({"line": 3}, "line = 3"),
        ({}, "1 = 1"),
    ],
)
async def test_it_is_the_answer_of_a_query(
    rides: Metric, store: ServingStore, key: dict[str, Any], where: str
) -> None:
    history = await lookup(rides, store)(**key)
    expected = await asked(rides, store, where)

    for name in ("n", "km", "mean", "longest", "riders"):
        assert told(history)[name] == expected[name]
    assert history["n"] == expected["n"][0]
    assert not history.is_exact


async def test_events_that_may_have_been_skipped_widen_the_bounds(
    rides: Metric, store: ServingStore
) -> None:
    await store.record_gap(gap(350, 360))
    history = await lookup(rides, store)(city="Oslo", line=3)

    assert history.has_gap
    assert (history["n"], history.estimates["n"].upper) == (2_003, 2_023)


async def test_a_key_that_is_not_known_has_no_events(rides: Metric, store: ServingStore) -> None:
    history = await lookup(rides, store)(city="Paris")

    assert (history["n"], history["longest"], history["mean"]) == (0, None, None)


async def test_what_is_equal_and_no_key_is_not_found(rides: Metric, store: ServingStore) -> None:
    history = await lookup(rides, store)(line=True)

    assert history["n"] == 0


async def test_an_answer_is_kept_and_so_are_the_days_before(
    rides: Metric, store: ServingStore
) -> None:
    keeping, past_only = lookup(rides, store), lookup(rides, store, fresh_s=-1)
    key: dict[str, Any] = {"city": "Oslo", "line": 3}
    before = [(await each(**key))["n"] for each in (keeping, past_only)]
    later = [
        partial(rides, NOON + 60_000, OSLO, [(1, "gus")] * 10),
        partial(rides, TODAY - 2 * DAY_MS, OSLO, [(1, "gus")] * 100),
    ]
    await store.upsert(later, [progress(NOON)])
    after = [(await each(**key))["n"] for each in (keeping, past_only)]

    assert (before, after) == ([2_003, 2_003], [2_003, 2_013])
    past_only._past_s = -1
    assert (await past_only(**key))["n"] == 2_113
    assert (await past_only(**key))["n"] == 2_113


async def test_the_days_before_are_read_again_when_a_day_has_ended(
    rides: Metric, store: ServingStore
) -> None:
    asking = lookup(rides, store, fresh_s=-1)
    await asking(city="Oslo", line=3)
    asking._clock = lambda: NOW + DAY_MS

    assert (await asking(city="Oslo", line=3))["n"] == 2_003


async def test_as_many_keys_are_kept_as_may_be(rides: Metric, store: ServingStore) -> None:
    asking = lookup(rides, store, keys=2)
    for line in (1, 2, 3):
        await asking(line=line)

    assert [json.dumps(key[0][2]) for key in asking._past] == ["2", "3"]
    assert len(asking._answers) == 2


async def test_a_name_that_is_no_dimension_is_refused(rides: Metric, store: ServingStore) -> None:
    with pytest.raises(QueryError, match="no dimension 'town'"):
        await lookup(rides, store)(town="Oslo")
    with pytest.raises(QueryError, match="last: "):
        Lookup(rides, last="sixty days")


async def test_the_store_of_a_url_is_opened_once_and_closed(rides: Metric, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    with pytest.raises(StoreUnavailableError):
        await lookup(rides, url)(city="Oslo")
    async with open_store(url):
        pass
    async with lookup(rides, url) as asking:
        assert (await asking(city="Oslo"))["n"] == 0


async def test_all_keys_are_loaded_at_once(rides: Metric, store: ServingStore) -> None:
    loaded, asking = lookup(rides, store), lookup(rides, store)
    keys: list[dict[str, Any]] = [
        {"line": line, "city": city} for city in ("Oslo", "Bergen", "Paris") for line in (3, 4)
    ]

    assert await loaded.load("line", "city") == 3  # Bergen has one line
    for key in keys:
        assert told(await loaded(**key)) == told(await asking(**key))
    assert len(loaded._past) == 3  # none was read again
    with pytest.raises(QueryError, match=r"3 keys of city, line, of which 2 would be kept"):
        await lookup(rides, store, keys=2).load("line", "city")


async def test_without_today_it_is_the_answer_of_midnight(
    rides: Metric, store: ServingStore
) -> None:
    asking = lookup(rides, store, today=False, fresh_s=-1)
    await asking.load("city")

    assert (await asking(city="Oslo"))["n"] == 2_003
    assert (await asking(city="Bergen"))["n"] == 1
    asking._clock = lambda: NOW + DAY_MS
    assert (await asking(city="Bergen"))["n"] == 2


async def test_a_loaded_key_that_went_for_others_is_read_again(
    rides: Metric, store: ServingStore
) -> None:
    asking = lookup(rides, store, keys=2)
    await asking.load("city")
    await asking.load("line")

    assert (await asking(city="Oslo"))["n"] == 2_004
