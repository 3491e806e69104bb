"""After every refresh the table is the answer, and a refresh does no more than what changed."""

from pathlib import Path
from typing import Any

import pytest

from fastdata import Metric, export, failpoints
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Reading, Survey
from tests.answer.trips import MINUTE, NOON, ONE, TWO, gap, partial, progress, unfolded
from tests.exports.rides import (
    Changes,
    ParquetFolder,
    Place,
    SqliteFile,
    answer,
    comparable,
    replay_hours,
)


@pytest.mark.parametrize("every", ["1m", "15m", "1h", "6h", "1d", "7d"])
@pytest.mark.parametrize("seed", range(2))
async def test_the_table_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, files: Place, every: str, seed: int
) -> None:
    changes = Changes(seed, rides, store)
    flat = flat_table(rides, every, has_bounds=True)
    async with Exporter(flat, files.url, store=store) as exporter:
        for _ in range(60):
            what = await changes.happen()
            await exporter.refresh()
            expected = comparable(await answer(rides, store, every, bounds=True))
            found = comparable(files.rows(flat.name)) if expected else []
            assert expected == found, what
            assert 0 == (await exporter.refresh()).refreshed


async def test_a_row_says_what_it_is_of(rides: Metric, store: MemoryStore, place: Place) -> None:
    await replay_hours(rides, store, [NOON, ONE])
    late = partial(rides, ONE, ["Oslo", 1], [(2, "anna")], 4)
    await store.upsert([late, partial(rides, TWO, [None, 2], [(1, None)], 4)], [progress(TWO)])
    await export(rides, place.url, store=store)
    shown = [(row["city"], row["km"], row["layer"], row["exact"]) for row in place.rows()]
    assert [
        ("Oslo", 5, "batch", True),
        ("Oslo", 7, "both", False),
        (None, 1, "speed", False),
    ] == shown


async def test_a_refresh_without_news_writes_nothing(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [NOON, ONE])
    first = await export(rides, place.url, store=store)
    before = place.rows()
    again = await export(rides, place.url, store=store)
    assert (first.rows, again.refreshed, again.rows) == (2, 0, 0)
    assert before == place.rows()


async def test_a_row_says_until_when_all_was_read_when_it_became_what_it_is(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    late = NOON + 2 * DAY_MS
    await replay_hours(rides, store, [NOON, NOON + DAY_MS])
    await store.upsert([], [progress(late, read_until=late + 1)])
    first = await export(rides, place.url, store=store)
    await replay_hours(rides, store, [NOON + DAY_MS], km=7)
    await store.upsert([], [progress(late + 1, read_until=late + 2)])
    again = await export(rides, place.url, store=store)

    assert (late + 1, late + 2) == (first.read_until, again.read_until)
    assert (2, 1) == (first.rows, again.rows)
    assert [(5, late + 1), (7, late + 2)] == [
        (row["km"], parse_instant(str(row["read_until"]))) for row in place.rows()
    ]


async def test_rows_that_vanished_from_the_answer_vanish(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, place.url, store=store)
    await replay_hours(rides, store, [NOON], city="Bonn")
    await export(rides, place.url, store=store)
    assert ["Bonn"] == [row["city"] for row in place.rows()]


async def test_all_rows_vanish_with_the_store(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [NOON, ONE])
    await export(rides, place.url, store=store)
    async with MemoryStore() as empty:
        report = await export(rides, place.url, store=empty)
        assert [] == place.rows()
        assert report.refreshed > 0
        assert 0 == (await export(rides, place.url, store=empty)).refreshed


async def test_a_row_that_stays_keeps_its_time(
    rides: Metric, store: MemoryStore, tmp_path: Path
) -> None:
    place = SqliteFile(tmp_path)
    now = [1_000.0]
    async with Exporter(
        flat_table(rides, "1m"), place.url, store=store, clock=lambda: now[0]
    ) as exporter:
        await store.upsert([partial(rides, NOON, ["Oslo", 1], [(2, "anna")])], [])
        await exporter.refresh()
        now[0] = 2_000.0
        new = partial(rides, NOON + MINUTE, ["Oslo", 1], [(2, "anna")])
        await store.upsert([new], [])
        assert 1 == (await exporter.refresh()).rows
    times = [row["updated_at"] for row in place.rows("rides_1m")]
    assert [1_000.0, 2_000.0] == [time.timestamp() for time in times]  # type: ignore[attr-defined]


class Counting(MemoryStore):
    """Takes note of the ranges that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []

    async def read(self, *args: Any, **options: Any) -> Reading:
        self.ranges.append(args[-2:])
        return await super().read(*args, **options)

    async def survey(self, *args: Any) -> Survey:
        count = len(self.ranges)
        found = await super().survey(*args)  # which reads, in this store
        del self.ranges[count:]
        return found


async def test_only_what_changed_is_read(rides: Metric, place: Place) -> None:
    hours = [NOON + n * HOUR_MS for n in range(24 * 30)]
    async with Counting() as store:
        await replay_hours(rides, store, hours)
        await export(rides, place.url, store=store)
        assert hours[0] <= store.ranges[0][1] < store.ranges[-1][1]
        store.ranges.clear()
        await store.upsert([partial(rides, ONE, ["Oslo", 1], [(2, "anna")], 4)], [])
        await replay_hours(rides, store, hours[500:501], km=9)
        await export(rides, place.url, store=store)
    width = DAY_MS if isinstance(place, ParquetFolder) else HOUR_MS
    starts = [start // width * width for start in (ONE, hours[500])]
    assert [(start, start + width) for start in starts] == store.ranges


async def exactness(rides: Metric, store: MemoryStore, place: Place) -> list[object]:
    await export(rides, place.url, store=store)
    return [row["exact"] for row in place.rows()]


async def test_the_table_learns_what_was_left_out_and_that_it_was_healed(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [NOON])
    assert [False] == await exactness(rides, store, place)
    await store.upsert([], [progress(TWO)])
    assert [True] == await exactness(rides, store, place)
    await store.upsert([unfolded(rides, NOON, "late", 1)], [])
    assert [False] == await exactness(rides, store, place)
    await confirm(rides, store, 4)
    assert [True] == await exactness(rides, store, place)
    await store.record_gap(gap(510, 520))
    assert [False] == await exactness(rides, store, place)
    await confirm(rides, store, 6)
    assert [True] == await exactness(rides, store, place)


async def confirm(rides: Metric, store: MemoryStore, segments: int) -> None:
    """A replay finds nothing new of the hour in some more segments."""
    [head] = (await store.heads(rides.id, NOON, ONE)).values()
    expected = (head.version, head.coverage)
    flip = Flip(NOON, expected, head.version, Coverage({0: segments}), None)
    await store.publish(rides.id, [flip])


async def test_what_a_replay_only_confirmed_is_not_read(rides: Metric, place: Place) -> None:
    async with Counting() as store:
        await replay_hours(rides, store, [NOON])
        await export(rides, place.url, store=store)
        store.ranges.clear()
        await confirm(rides, store, 9)
        await export(rides, place.url, store=store)
    assert [] == store.ranges


@pytest.mark.parametrize("at", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "where", ["export.after_part", "export.before_commit", "export.after_file"]
)
async def test_what_was_interrupted_goes_on(
    rides: Metric, store: MemoryStore, place: Place, where: str, at: int
) -> None:
    days = [NOON + n * DAY_MS for n in range(6)]
    await replay_hours(rides, store, days)
    failpoints.set_action(where, "raise", at)
    try:
        await export(rides, place.url, store=store)
    except FailpointError:
        await replay_hours(rides, store, days[1:2], km=7)
    failpoints.clear(where)
    await export(rides, place.url, store=store)
    assert comparable(await answer(rides, store)) == comparable(place.rows())


async def test_a_range_leaves_the_rest_alone(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    days = [NOON + n * DAY_MS for n in range(3)]
    await replay_hours(rides, store, days)
    await export(rides, place.url, store=store)
    await replay_hours(rides, store, days, km=9)
    await export(rides, place.url, start="2013-01-02", end="2013-01-03", store=store)
    assert [5, 9, 5] == [row["km"] for row in place.rows()]


async def test_dimensions_may_be_left_out(rides: Metric, store: MemoryStore, files: Place) -> None:
    await replay_hours(rides, store, [NOON])
    await store.upsert([partial(rides, NOON, [None, 2], [(1, None)], 4)], [])
    by_city = await export(rides, files.url, by="city", store=store)
    of_all = await export(rides, files.url, every="1d", by=[], store=store)
    assert ("rides_1h_by_city", "rides_1d_total") == (by_city.table, of_all.table)
    assert {None, "Oslo"} == {row["city"] for row in files.rows("rides_1h_by_city")}
    [row] = files.rows("rides_1d_total")
    assert (2, 6) == (row["n"], row["km"])
    assert "city" not in row


async def test_bounds_are_columns_when_they_are_asked_for(
    rides: Metric, store: MemoryStore, files: Place
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, files.url, bounds=True, store=store)
    [row] = files.rows()
    assert (5, 5, 5) == (row["km_lower"], row["km"], row["km_upper"])
