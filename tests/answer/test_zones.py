"""What a query means by days, and by times without an offset."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fastdata import Metric
from fastdata.answer.arrow import describe
from fastdata.answer.query import query
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import QueryError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip
from tests.answer.trips import MINUTE, NOON, ONE, TWO, declare, partial, progress, total


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store(rides: Metric) -> AsyncIterator[MemoryStore]:
    """A trip at 12:00 and one at 13:20, which is 22:20 in Tokyo, on 1 January 2013."""
    async with MemoryStore() as store:
        rows = [total(rides, NOON, ["Oslo", 1], [(5, "anna")])]
        await store.write_totals(rides.id, 1, {NOON: rows})
        await store.publish(rides.id, [Flip(NOON, None, 1, Coverage({0: 3}), 1)])
        late = partial(rides, ONE + 20 * MINUTE, ["Oslo", 1], [(2, "ben")])
        await store.upsert([late], [progress(TWO)])
        yield store


async def rows(metric: Metric, store: MemoryStore, **asked: Any) -> list[tuple[str, str, int]]:
    """Day and time of windows in UTC, and how many trips they have."""
    table = await query(metric, store=store, **asked)
    starts, ends = table.column("window_start").to_pylist(), table.column("window_end").to_pylist()
    assert all(moment.tzinfo is UTC or str(moment.tzinfo) == "UTC" for moment in starts + ends)
    trips = table.column("n").to_pylist()
    found = zip(starts, ends, trips, strict=True)
    return [(f"{start:%m-%d %H:%M}", f"{end:%m-%d %H:%M}", n) for start, end, n in found]


async def test_text_without_an_offset_is_local_time_of_the_zone(
    rides: Metric, store: MemoryStore
) -> None:
    asked = {"start": "2013-01-01T21:30", "end": "2013-01-01T23:00", "every": "all"}
    tokyo = await rows(rides, store, **asked, zone="Asia/Tokyo")
    assert [("01-01 12:30", "01-01 14:00", 1)] == tokyo
    assert [] == await rows(rides, store, **asked)


async def test_a_date_is_the_beginning_of_its_day(rides: Metric, store: MemoryStore) -> None:
    asked = {"start": "2013-01-01", "end": "2013-01-02", "every": "all"}
    tokyo = await rows(rides, store, **asked, zone="Asia/Tokyo")
    assert [("12-31 15:00", "01-01 15:00", 2)] == tokyo


async def test_text_with_an_offset_and_aware_datetimes_mean_what_they_say(
    rides: Metric, store: MemoryStore
) -> None:
    asked = {"start": "2013-01-01T13:00Z", "end": datetime(2013, 1, 1, 14, tzinfo=UTC)}
    tokyo = await rows(rides, store, **asked, zone="Asia/Tokyo", every="all")
    assert [("01-01 13:00", "01-01 14:00", 1)] == tokyo


async def test_the_last_days_end_with_a_day_of_the_zone(rides: Metric, store: MemoryStore) -> None:
    asked = {"last": "2d", "end": "2013-01-02", "every": "all", "zone": "Asia/Tokyo"}
    assert [("12-30 15:00", "01-01 15:00", 2)] == await rows(rides, store, **asked)
    assert [] == await rows(rides, store, last="24h")


async def test_the_zone_of_the_metric_is_that_of_its_answers(
    rides: Metric, store: MemoryStore
) -> None:
    local = Metric("rides", rides.source, rides.by, rides.measures, zone="Asia/Tokyo")
    asked = {"start": "2013-01-01", "end": "2013-01-03", "every": "day"}
    assert [("12-31 15:00", "01-01 15:00", 2)] == await rows(local, store, **asked)
    assert [("01-01 00:00", "01-02 00:00", 2)] == await rows(local, store, **asked, zone="UTC")


async def test_durations_are_multiples_since_1970_utc_in_every_zone(
    rides: Metric, store: MemoryStore
) -> None:
    asked = {"start": "2013-01-01T12:00Z", "end": "2013-01-02T12:00Z", "zone": "Asia/Tokyo"}
    assert [("01-01 12:00", "01-02 00:00", 2)] == await rows(rides, store, **asked, every="1d")
    assert [("01-01 12:00", "01-01 15:00", 2)] == await rows(rides, store, **asked, every="day")


async def test_a_day_begins_within_an_hour_where_the_zone_has_it_so(
    rides: Metric, store: MemoryStore
) -> None:
    midnight = NOON + 6 * HOUR_MS + 15 * MINUTE
    moments = midnight - MINUTE, midnight
    trips = [partial(rides, moment, ["Oslo", 1], [(1, "cleo")], 4) for moment in moments]
    await store.upsert(trips, [])
    asked = {"start": "2013-01-01", "end": "2013-01-03", "zone": "Asia/Kathmandu"}
    assert [
        ("12-31 18:15", "01-01 18:15", 3),
        ("01-01 18:15", "01-02 18:15", 1),
    ] == await rows(rides, store, **asked, every="day")


async def test_windows_are_cut_to_what_is_asked_for(rides: Metric, store: MemoryStore) -> None:
    asked = {"start": "2013-01-01T12:30", "end": "2013-02-10T06:00", "every": "month"}
    assert [("01-01 12:30", "02-01 00:00", 1)] == await rows(rides, store, **asked)
    assert [("01-01 12:00", "01-01 14:00", 2)] == await rows(rides, store, every="week")


async def test_rolling_days_reach_back_beyond_the_start_and_are_cut_at_the_end(
    rides: Metric, store: MemoryStore
) -> None:
    asked = {"every": "day", "rolling": "3d"}
    assert [
        ("01-01 00:00", "01-04 00:00", 2),
    ] == await rows(rides, store, **asked, start="2013-01-03T06:00", end="2013-01-08")
    assert [
        ("12-30 00:00", "01-01 13:00", 1),
    ] == await rows(rides, store, **asked, start="2013-01-01", end="2013-01-01T13:00")
    assert [
        ("12-30 00:00", "01-01 14:00", 2),
    ] == await rows(rides, store, **asked)


async def test_rolling_days_after_what_is_stored(rides: Metric, store: MemoryStore) -> None:
    asked = {"every": "day", "rolling": "30d", "start": "2013-01-30", "end": "2099-01-01"}
    assert [("01-01 00:00", "01-31 00:00", 2)] == await rows(rides, store, **asked)


async def test_far_ends_cost_nothing(rides: Metric, store: MemoryStore) -> None:
    asked = {"start": "0001-02-01", "end": "9998-01-01", "every": "day", "zone": "Asia/Tokyo"}
    assert [("12-31 15:00", "01-01 15:00", 2)] == await rows(rides, store, **asked)


async def test_an_answer_says_what_its_days_are(rides: Metric, store: MemoryStore) -> None:
    asked: dict[str, Any] = {"start": "2013-01-01", "end": "2013-01-02", "zone": "Asia/Tokyo"}
    rolling = describe(await query(rides, **asked, every="day", rolling="7d", store=store))
    monthly = describe(await query(rides, **asked, every="month", store=store))
    keys = "start", "end", "every", "rolling", "zone"
    ends = "2012-12-31T15:00:00Z", "2013-01-01T15:00:00Z"
    assert [(*ends, "day", "7d", "Asia/Tokyo"), (*ends, "month", None, "Asia/Tokyo")] == [
        tuple(about[key] for key in keys)  # type: ignore[literal-required]
        for about in (rolling, monthly)
    ]


NO_ZONE = (
    "zone: 'Europe/Berln' is no time zone: did you mean 'Europe/Berlin'? Write a name of the IANA "
    "database, as in 'Europe/Berlin'"
)
NO_WINDOW = (
    "every: not a duration: 'days'; write a whole number and ms, s, m, h, d or w, as in '24h'; or "
    "'day', 'week', 'month' or 'all'"
)
NOT_EACH_DAY = (
    "rolling is 30d and every is 1h: there is a row of rolling days for each day, so every must be "
    "'day'"
)
NO_DAYS = "rolling is {}; it must be a number of days, from '2d' to '366d'"
NO_YEARS = "not every {} asked for is in the years 1 to 9999: give a later start, or an earlier end"
EARLY = {"start": "0001-06-01", "every": "day", "rolling": "366d"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"zone": "Europe/Berln"}, NO_ZONE),
        ({"every": "days"}, NO_WINDOW),
        ({"rolling": "30d"}, NOT_EACH_DAY),
        ({"rolling": "1h", "every": "day"}, NO_DAYS.format("1h")),
        ({"rolling": "month", "every": "day"}, NO_DAYS.format("month")),
        ({"rolling": "1d", "every": "day"}, NO_DAYS.format("1d")),
        (EARLY, NO_YEARS.format("day")),
    ],
)
async def test_what_cannot_be_asked(
    rides: Metric, store: MemoryStore, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        await query(rides, store=store, **asked)
    assert message == str(caught.value)
