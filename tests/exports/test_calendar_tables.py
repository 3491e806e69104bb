"""Flat tables of days, weeks, months and rolling days of a zone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyarrow import parquet

from fastdata import Metric, export
from fastdata.answer.query import query
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import ExportError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Total
from fastdata.store.rollups import Marks, rollup_id, span_of_window
from tests.answer.trips import MINUTE, NO_FIELDS, NOON, ONE, TWO, partial, progress, total
from tests.exports.rides import (
    SUFFIXES,
    Changes,
    ParquetFolder,
    Place,
    Rows,
    SqliteFile,
    comparable,
    replay_hours,
)

ISLAND = "Pacific/Norfolk"  # at UTC+11:30 in 2013: days begin within the hour of noon


@pytest.fixture
def rides(rides: Metric) -> Metric:
    return Metric("rides", rides.source, rides.by, rides.measures, zone=ISLAND)


async def answer(metric: Metric, store: MemoryStore, every: str, rolling: str | None) -> Rows:
    first, last = datetime(2012, 11, 1, tzinfo=UTC), datetime(2013, 3, 31, 12, 30, tzinfo=UTC)
    table = await query(
        metric, first, last, every=every, rolling=rolling, by=metric.by, layers=True, store=store
    )
    measures = [f"{measure}{suffix}" for measure in metric.measures for suffix in SUFFIXES]
    names = ["window_start", "window_end", *metric.by, *measures, "layer", "exact"]
    rows: Rows = table.select(names).to_pylist()
    return rows


@pytest.mark.parametrize(
    ("every", "rolling"),
    [("day", None), ("week", None), ("month", None), ("day", "2d"), ("day", "30d")],
)
@pytest.mark.parametrize("seed", range(2))
async def test_the_table_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, files: Place, every: str, rolling: str | None, seed: int
) -> None:
    changes = Changes(seed, rides, store)
    flat = flat_table(rides, every, has_bounds=True, rolling=rolling)
    async with Exporter(flat, files.url, store=store) as exporter:
        for _ in range(40):
            what = await changes.happen()
            await exporter.refresh()
            expected = await answer(rides, store, every, rolling)
            if rolling is not None:
                expected = [row for row in expected if await has_come(rides, store, row)]
            found = files.rows(flat.name) if expected else []
            assert comparable(expected) == comparable(found), what
            assert 0 == (await exporter.refresh()).refreshed


async def has_come(metric: Metric, store: MemoryStore, row: dict[str, object]) -> bool:
    """Whether the last day of a row has begun, or has something stored."""
    end = row["window_end"]
    assert isinstance(end, datetime)
    start = round((end - timedelta(days=1)).timestamp()) * 1000
    watermarks = [one.watermark for one in await store.progress("trips")]
    hours = start - 30 * MINUTE, start + DAY_MS + 30 * MINUTE
    heads = await store.heads(metric.id, *hours)
    partials = await store.read(metric.id, unfolded_of(metric.source).id, "trips", *hours)
    return bool(heads or partials.partials) or start <= max(watermarks, default=start - 1)


async def test_a_late_event_refreshes_every_row_that_holds_it(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    days = [NOON + n * DAY_MS + HOUR_MS for n in range(40)]
    await replay_hours(rides, store, days)
    flat = flat_table(rides, "day", rolling="7d")
    async with Exporter(flat, place.url, store=store) as exporter:
        assert 40 == (await exporter.refresh()).refreshed
        await store.upsert([partial(rides, days[10], ["Oslo", 1], [(2, "anna")], 4)], [])
        assert 7 == (await exporter.refresh()).refreshed
    kms = [row["km"] for row in place.rows("rides_rolling_7d")]
    assert kms == [5, 10, 15, 20, 25, 30] + [35] * 4 + [37] * 7 + [35] * 23


async def test_an_hour_in_which_a_day_ends_refreshes_both(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [NOON - 6 * HOUR_MS, ONE])
    async with Exporter(flat_table(rides, "day"), place.url, store=store) as exporter:
        await exporter.refresh()
        new = [partial(rides, NOON + n * MINUTE, ["Oslo", 1], [(1, "anna")], 4) for n in (29, 30)]
        await store.upsert(new[:1], [progress(TWO)])
        assert 2 == (await exporter.refresh()).refreshed
        assert [6, 5] == [row["km"] for row in place.rows("rides_day")]
        await store.upsert(new[1:], [])
        await exporter.refresh()
        assert [6, 6] == [row["km"] for row in place.rows("rides_day")]


async def test_rolling_days_go_on_with_the_watermark(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [ONE])
    await store.upsert([], [progress(TWO)])
    flat = flat_table(rides, "day", rolling="3d")
    async with Exporter(flat, place.url, store=store) as exporter:
        for days, rows in ((0, 1), (1, 2), (2, 3), (9, 3)):
            await store.upsert([], [progress(TWO + days * DAY_MS)])
            await exporter.refresh()
            assert rows == len(place.rows(flat.name))


async def test_rolling_days_vanish_with_the_newest_of_the_store(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    await replay_hours(rides, store, [ONE, ONE + DAY_MS])
    await export(rides, place.url, every="day", rolling="3d", store=store)
    assert 2 == len(place.rows("rides_rolling_3d"))
    async with MemoryStore() as older:
        await replay_hours(rides, older, [ONE])
        await export(rides, place.url, every="day", rolling="3d", store=older)
    assert [5] == [row["km"] for row in place.rows("rides_rolling_3d")]


async def test_a_range_is_in_the_zone_and_leaves_the_rest_alone(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    days = [NOON + n * DAY_MS + HOUR_MS for n in range(4)]  # early on 2, 3, 4 and 5 January
    for km in (5, 9):
        await replay_hours(rides, store, days, km=km)
        ends = {"start": "2013-01-03", "end": "2013-01-05"} if km == 9 else {}
        await export(rides, place.url, every="day", **ends, store=store)  # type: ignore[arg-type]
    assert [5, 9, 9, 5] == [row["km"] for row in place.rows("rides_day")]


async def test_files_are_named_by_the_day_of_the_zone(
    rides: Metric, store: MemoryStore, tmp_path: Path
) -> None:
    place = ParquetFolder(tmp_path)
    await replay_hours(rides, store, [NOON, ONE])  # the second is the 2nd of January there
    await export(rides, place.url, every="day", store=store)
    await export(rides, place.url, every="month", store=store)
    await export(rides, place.url, every="day", rolling="30d", store=store)
    found = {
        table: parquet.read_table(place.folder / table).column("window_day").to_pylist()
        for table in ("rides_day", "rides_month", "rides_rolling_30d")
    }
    days = ["2013-01-01", "2013-01-02"]
    assert {"rides_day": days, "rides_month": days[:1], "rides_rolling_30d": days} == {
        table: list(map(str, column)) for table, column in found.items()
    }


async def test_a_window_that_batch_made_ready_is_refreshed(
    rides: Metric, store: MemoryStore, place: Place
) -> None:
    """It may be exact where the hours that it is made of merge to a sketch."""
    month = Grain("month")
    rides = Metric("rides", rides.source, rides.by, rides.measures, rollups=["month"], zone=ISLAND)
    crowds = [[(1, f"{hour} {n}") for n in range(9_000)] for hour in (ONE, TWO)]
    whole = rides.zero(exact=True)
    for hour, crowd in zip((ONE, TWO), crowds, strict=True):
        hourly = [total(rides, hour, ["Oslo", 1], crowd)]
        await replay(rides.id, store, hour, 1, hourly)
        for km, rider in crowd:
            rides.add(whole, NO_FIELDS | {"km": km, "rider": rider})
    await store.upsert([], [progress(NOON + 40 * DAY_MS)])
    async with Exporter(flat_table(rides, "month"), place.url, store=store) as exporter:
        await exporter.refresh()
        [row] = place.rows("rides_month")
        assert (18_000, False) == (row["n"], row["exact"])
        assert 18_000 != row["riders"]

        ((start, end),) = rides.calendar.windows(month, ONE, TWO)
        ready = [Total(start, dump_dims(["Oslo", 1]), rides.dump_whole(whole))]
        version = Marks(await store.heads(rides.id, ONE, TWO + HOUR_MS)).of(start, end)
        assert version is not None
        await replay(rollup_id(rides.id, month, ISLAND), store, span_of_window(end), version, ready)
        assert 1 == (await exporter.refresh()).refreshed
        assert [18_000] == [row["riders"] for row in place.rows("rides_month")]
        assert 0 == (await exporter.refresh()).refreshed


async def replay(
    metric: str, store: MemoryStore, span: int, version: int, rows: list[Total]
) -> None:
    held = await store.write_totals(metric, version, {span: rows})
    await store.publish(metric, [Flip(span, None, version, Coverage({0: 1}), held[span])])


async def test_another_zone_is_another_definition(
    rides: Metric, store: MemoryStore, tmp_path: Path
) -> None:
    place = SqliteFile(tmp_path)
    await replay_hours(rides, store, [ONE])
    await export(rides, place.url, every="day", store=store)
    await export(rides, place.url, every="1d", store=store)
    moved = Metric("rides", rides.source, rides.by, rides.measures, zone="Asia/Tokyo")
    assert (await export(moved, place.url, every="day", store=store)).swapped
    assert not (await export(moved, place.url, every="1d", store=store)).swapped
    [row] = place.rows("rides_day")
    assert datetime(2012, 12, 31, 15, tzinfo=UTC) == row["window_start"]


NO_WINDOW = (
    "every: not a duration: 'days'; write a whole number and ms, s, m, h, d or w, as in '24h'; or "
    "'day', 'week' or 'month'"
)
NOT_EACH_DAY = (
    "rolling is 30d and every is 1h: there is a row of rolling days for each day, so every must be "
    "'day'"
)


@pytest.mark.parametrize(
    ("every", "rolling", "message"),
    [
        ("days", None, NO_WINDOW),
        ("1h", "30d", NOT_EACH_DAY),
        ("day", "1h", "rolling is 1h; it must be a number of days, from '2d' to '366d'"),
    ],
)
async def test_what_cannot_be_exported(
    rides: Metric, every: str, rolling: str | None, message: str
) -> None:
    with pytest.raises(ExportError) as caught:
        flat_table(rides, every, rolling=rolling)
    assert message == str(caught.value)
