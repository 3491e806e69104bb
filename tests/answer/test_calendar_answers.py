"""Answers by days, weeks, months and rolling days of a zone, against a plain recount."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Count, Metric, Rate, Sum, Uniques
from fastdata.answer.query import query
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, floor_to, to_datetime
from fastdata.coordinates.segments import Coverage
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Total
from tests.answer.trips import declare_source, partial, total

Trip = tuple[int, str, int, str, str]  # minute, city, km, rider, layer
Window = tuple[int, int]
Answer = dict[tuple[Window, str], tuple[int, int, int, float, str]]

CHANGES = (  # a zone, and a day on which its clocks do something
    ("Europe/Berlin", date(2025, 3, 30)),
    ("Europe/Berlin", date(2025, 10, 26)),
    ("America/New_York", date(2025, 3, 9)),
    ("America/New_York", date(2025, 11, 2)),
    ("Asia/Kolkata", date(2025, 1, 1)),
    ("Australia/Lord_Howe", date(2025, 4, 6)),
    ("Australia/Lord_Howe", date(2025, 10, 5)),
    ("Pacific/Apia", date(2011, 12, 30)),
)
REACH = timedelta(days=75)
STEP = timedelta(minutes=15)


def instant(moment: datetime) -> int:
    return round(moment.timestamp()) * 1000


@lru_cache
def days_of(zone: str, around: date) -> Sequence[tuple[date, Window]]:
    """Each date that the zone had, and its minutes, by looking at the clock four times an hour."""
    middle = datetime(around.year, around.month, around.day, tzinfo=UTC)
    looks = [middle + n * STEP for n in range(-(REACH // STEP), REACH // STEP)]
    dates = groupby(looks, key=lambda look: look.astimezone(ZoneInfo(zone)).date())
    starts = [(day, instant(next(some))) for day, some in dates][1:]
    ends = [start for _, start in starts[1:]]
    return [(day, (start, end)) for (day, start), end in zip(starts, ends, strict=False)]


def unit_of(day: date, every: str) -> tuple[int, ...]:
    if every == "week":
        return day.isocalendar()[:2]
    return (day.year, day.month, day.day)[: 2 if every == "month" else 3]


def windows_of(zone: str, around: date, every: str, rolling: int) -> Sequence[tuple[Window, int]]:
    """The windows, and since when each is one of the rows."""
    days = days_of(zone, around)
    if rolling > 1:
        return [
            ((days[n - rolling + 1][1][0], end), start)
            for n, (_, (start, end)) in enumerate(days)
            if n >= rolling - 1
        ]
    windows = []
    for _, some in groupby(days, key=lambda day: unit_of(day[0], every)):
        whole = [window for _, window in some]
        windows.append(((whole[0][0], whole[-1][1]), whole[0][0]))
    return windows


def recount(
    trips: Sequence[Trip], windows: Sequence[tuple[Window, int]], start: int, end: int, is_cut: bool
) -> Answer:
    rows: Answer = {}
    for (first, last), since in windows:
        if since >= end or last <= start:
            continue
        begins, ends = max(first, start) if is_cut else first, min(last, end)
        cities = defaultdict(list)
        for trip in trips:
            if begins <= trip[0] < ends:
                cities[trip[1]].append(trip)
        for city, some in cities.items():
            layers = {layer for *_, layer in some}
            rows[(begins, ends), city] = (
                len(some),
                sum(km for _, _, km, _, _ in some),
                len({rider for *_, rider, _ in some}),
                len(some) / ((ends - begins) / 1000),
                "both" if len(layers) > 1 else layers.pop(),
            )
    return rows


async def fill(metric: Metric, trips: Sequence[Trip]) -> MemoryStore:
    store = MemoryStore()
    cells = defaultdict(list)
    for minute, city, km, rider, layer in trips:
        cells[layer, minute, city].append((km, rider))
    hours: dict[int, list[Total]] = defaultdict(list)
    for (layer, minute, city), some in cells.items():
        if layer == "batch":
            hours[floor_to(minute, HOUR_MS)].append(total(metric, minute, [city], some))
        else:
            await store.upsert([partial(metric, minute, [city], some)], [])
    await store.write_totals(metric.id, 1, hours)
    flips = [Flip(hour, None, 1, Coverage({0: 3}), len(rows)) for hour, rows in hours.items()]
    await store.publish(metric.id, flips)
    return store


@pytest.fixture(scope="module")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Metric:
    return Metric(
        "rides",
        declare_source(tmp_path_factory.mktemp("trips")),
        by=["city"],
        measures={"n": Count(), "km": Sum("km"), "riders": Uniques("rider"), "rate": Rate("n")},
    )


async def answered(
    metric: Metric, trips: Sequence[Trip], start: int, end: int, asked: str, zone: str
) -> Answer:
    is_rolling = asked.endswith("d")
    async with await fill(metric, trips) as store:
        table = await query(
            metric,
            to_datetime(start),
            to_datetime(end),
            every="day" if is_rolling else asked,
            rolling=asked if is_rolling else None,
            zone=zone,
            by="city",
            layers=True,
            store=store,
        )
    rows = table.to_pylist()
    found = {
        ((instant(row["window_start"]), instant(row["window_end"])), row["city"]): (
            row["n"], row["km"], row["riders"], row["rate"], row["layer"],
        )
        for row in rows
    }  # fmt: skip
    assert list(found) == sorted(found)
    assert len(found) == len(rows)
    return found


MINUTES = st.integers(-40 * 24 * 60, 40 * 24 * 60)


@given(
    change=st.sampled_from(CHANGES),
    asked=st.sampled_from(["day", "week", "month", "2d", "3d", "30d"]),
    layers=st.sampled_from([("batch",), ("speed",), ("batch", "speed")]),
    span=st.tuples(MINUTES, MINUTES).filter(lambda ends: ends[0] != ends[1]),
    data=st.data(),
)
def test_an_answer_is_a_plain_recount(
    rides: Metric,
    change: tuple[str, date],
    asked: str,
    layers: tuple[str, ...],
    span: tuple[int, int],
    data: st.DataObject,
) -> None:
    zone, around = change
    edges = {edge // MINUTE_MS for _, window in days_of(zone, around) for edge in window}
    middle = instant(datetime(around.year, around.month, around.day, tzinfo=UTC))
    base = middle // MINUTE_MS
    at_an_edge = st.sampled_from(sorted(e for e in edges if abs(e - base) < 40 * 24 * 60))
    minutes = st.one_of(
        MINUTES.map(lambda m: base + m), at_an_edge, at_an_edge.map(lambda m: m - 1)
    )
    trips = data.draw(
        st.lists(
            st.tuples(
                minutes.map(lambda m: m * MINUTE_MS),
                st.sampled_from(["Bern", "Oslo"]),
                st.integers(0, 9),
                st.sampled_from(["anna", "ben", "cleo"]),
                st.sampled_from(layers),
            ),
            max_size=12,
        )
    )
    start, end = (middle + m * MINUTE_MS for m in sorted(span))
    days = int(asked[:-1]) if asked.endswith("d") else 1

    expected = recount(trips, windows_of(zone, around, asked, days), start, end, days == 1)
    assert asyncio.run(answered(rides, trips, start, end, asked, zone)) == expected
