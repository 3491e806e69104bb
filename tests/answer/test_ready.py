"""Answers with the windows that batch keeps ready, against those of the totals of hours."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from fastdata.answer.query import query
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, floor_to, to_datetime
from fastdata.declare.metric import Metric
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Progress, ServingStore
from fastdata.store.rollups import DAY, rollup_id
from tests.answer.watched import Watched
from tests.batch.visits import EVER, Visit, Visits, local_ms

GRAINS = ("day", "week", "month", "30d", "3d")
BERLIN = "Europe/Berlin"
# With which 64 KiB are passed by sets of integers.
MANY = 12_000


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServingStore]:
    url = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    async with open_store(url) as opened:
        yield opened


async def fold_all(store: ServingStore, world: Visits) -> None:
    """The speed layer says that it has read everything; it has found nothing."""
    progress = Progress(world.source.topic, 0, 1 << 40, EVER[1], 0)
    await store.upsert([], [progress])


def partial(metric: Metric, visit: Visit, offset: int) -> Partial:
    """An event that is not archived yet."""
    at, page, visitor = visit
    states = metric.zero()
    metric.add(states, {"at": at, "page": page, "visitor": visitor}, at)
    window, dims = floor_to(at, MINUTE_MS), dump_dims((page,) if metric.by else ())
    segment = offset // metric.source.segment_size
    return Partial(metric.id, window, dims, 0, segment, offset, metric.dump(states))


def rows(table: pa.Table, zone: str = BERLIN) -> dict[date, tuple[int, int, bool]]:
    """By the last local date: visits, visitors, whether both are exact."""
    return {
        to_local(row["window_end"].timestamp() * 1000 - 1, zone): (
            row["visits"],
            row["visitors"],
            row["exact"],
        )
        for row in table.to_pylist()
    }


def to_local(at: float, zone: str) -> date:
    return to_datetime(int(at)).astimezone(ZoneInfo(zone)).date()


async def test_users_of_days_months_and_30_days_are_exact_however_many(
    tmp_path: Path, store: ServingStore
) -> None:
    world = Visits(tmp_path, ("day", "month", "30d"), segment_size=1_000)
    days = ("2024-02-28", "2024-02-29", "2024-03-01")
    for number, day in enumerate(days):
        at, first = local_ms(day, BERLIN), number * MANY // 2
        await world.archive((at + n * 7_000, "ab"[n % 7 == 0], first + n) for n in range(MANY))
    start, end = "2024-02-01", "2024-03-01"
    await world.replay(store, start=local_ms(start, BERLIN), end=local_ms("2024-04-01", BERLIN))
    await fold_all(store, world)

    daily = await query(world.metric, start, "2024-03-02", every="day", store=store)
    monthly = await query(world.metric, start, end, every="month", store=store)
    rolling = await query(
        world.metric, "2024-03-01", "2024-03-02", every="day", rolling="30d", store=store
    )
    by_page = await query(world.metric, start, end, every="month", by="page", store=store)

    assert rows(daily) == {date.fromisoformat(day): (MANY, MANY, True) for day in days}
    assert rows(monthly) == {date(2024, 2, 29): (2 * MANY, MANY * 3 // 2, True)}
    assert rows(rolling) == {date(2024, 3, 1): (3 * MANY, 2 * MANY, True)}
    counted = world.count("month")
    assert {
        f'["{row["page"]}"]': (row["visits"], row["visitors"]) for row in by_page.to_pylist()
    } == {dims: n for (day, dims), n in counted.items() if day.month == 2 and dims != "[]"}
    assert all(by_page["exact"].to_pylist())


async def test_totals_of_hours_in_ready_windows_are_not_read(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day", "30d")), Watched()
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "a", n % 5) for n in range(40 * 24))
    await world.replay(store)

    for rolling in (None, "30d"):
        table = await query(world.metric, every="day", rolling=rolling, store=store)
        assert table.num_rows
        assert store.totals == [0]
        store.totals.clear()
    # Of a day that batch knows nothing of, rolling days have to look back.
    new = partial(world.metric, (start + 41 * DAY_MS, "a", 7), 10_000)
    await store.upsert([new], [])
    for rolling, totals in ((None, [0]), ("30d", [0, 29 * 24 - 24])):
        await query(world.metric, every="day", rolling=rolling, store=store)
        assert store.totals == totals
        store.totals.clear()
    # As they are by other windows, and in another zone.
    await query(world.metric, every="week", store=store)
    await query(world.metric, every="day", zone="UTC", store=store)
    await query(world.metric, every="day", rolling="7d", store=store)
    assert store.totals == [40 * 24] * 3


async def test_each_grouping_set_has_ready_windows(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day",), by=[(), ("page",)]), Watched()
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "ab"[n % 3 == 0], n % 5) for n in range(5 * 24))
    await world.replay(store)

    for by, rows_of_a_day in ((), 1), ("page", 2):
        table = await query(world.metric, every="day", by=by, store=store)
        assert (table.num_rows, store.totals.pop()) == (5 * rows_of_a_day, 0)
        assert sum(table["visits"].to_pylist()) == 5 * 24
        assert table.equals(await query(world.declare(()), every="day", by=by, store=store))
        assert store.totals.pop() == 5 * 24


async def test_a_window_that_is_cut_is_ready_if_all_of_it_is_before(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day", "month", "3d")), Watched()
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "a", n) for n in range(36))
    await world.replay(store)

    for options in ({"every": "day"}, {"every": "month"}, {"every": "day", "rolling": "3d"}):
        for end, is_ready in (("2024-05-02T12:00", True), ("2024-05-02T11:00", False)):
            ranges = {"start": "2024-05-01", "end": end, "store": store} | options
            table = await query(world.metric, **ranges)  # type: ignore[arg-type]
            read = store.totals.pop()
            assert table.equals(await query(world.declare(()), **ranges))  # type: ignore[arg-type]
            assert (read == 0) == is_ready
            assert (read < store.totals.pop()) == (is_ready or options == {"every": "day"})


async def test_only_totals_of_windows_that_are_not_ready_are_read(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day",)), Watched()
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "a", n % 5) for n in range(10 * 24))
    await world.replay(store)
    await world.archive([(start + 60 * HOUR_MS, "a", 6)])
    world.metric = world.declare(())
    await world.replay(store)

    table = await query(world.declare(("day",)), every="day", store=store)

    assert store.totals == [24]
    assert table.equals(await query(world.metric, every="day", store=store))


async def test_users_of_today_are_of_both_layers(tmp_path: Path, store: ServingStore) -> None:
    world = Visits(tmp_path, ("day", "30d"), by=(), segment_size=1_000)
    start = local_ms("2024-05-10", BERLIN)
    await world.archive((start + n * 7_000, "a", n) for n in range(MANY))
    await world.replay(store)
    new = [(start + 20 * HOUR_MS + n * MINUTE_MS, "a", MANY + n - 10) for n in range(110)]
    offset = (len(world.sent) // 1_000 + 5) * 1_000
    await store.upsert([partial(world.metric, one, offset + n) for n, one in enumerate(new)], [])

    for rolling in (None, "30d"):
        table = await query(
            world.metric, "2024-05-10", "2024-05-11", every="day", rolling=rolling, layers=True,
            store=store,
        )  # fmt: skip
        (row,) = table.to_pylist()
        assert (row["visits"], row["layer"], row["exact"]) == (MANY + 110, "both", False)
        assert row["visitors_lower"] <= MANY + 100 <= row["visitors_upper"]


async def test_rolling_days_that_fresh_events_come_to_are_merged_from_days(
    tmp_path: Path,
) -> None:
    world, store = Visits(tmp_path, ("30d",), by=(), segment_size=1_000), Watched()
    start = local_ms("2024-05-01", BERLIN)
    # A day whose state is large, and small ones.
    await world.archive((start + n * 7_000, "a", n) for n in range(4_000))
    await world.archive((start + n * HOUR_MS, "a", n % 5) for n in range(24, 40 * 24))
    await world.replay(store)
    late = partial(world.metric, (start + 3 * DAY_MS, "a", 7_777), 90_000)
    await store.upsert([late], [])
    await fold_all(store, world)

    table = await query(world.metric, every="day", rolling="30d", layers=True, store=store)

    assert store.totals == [0]
    assert table.equals(
        await query(world.declare(()), every="day", rolling="30d", layers=True, store=store)
    )
    layers = table["layer"].to_pylist()[:40]
    assert layers == ["batch"] * 3 + ["both"] * 30 + ["batch"] * 7


async def test_days_of_a_store_without_small_states_apart_are_used(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day",)), Watched()
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "ab"[n % 2], n) for n in range(48))
    await world.replay(store)
    small, all_ = (rollup_id(world.metric.id, DAY, BERLIN, is_small) for is_small in (True, False))
    expected = await query(world.metric, every="day", by="page", store=store)
    # As it was stored once: of each day one version, which holds all.
    for span, head in (await store.heads(small, *EVER)).items():
        reading = await store.read(small, small, small, span, span + 1)
        for id in (small, all_):
            store._heads.pop((id, span), None)
        written = await store.write_totals(all_, head.version, {span: reading.totals})
        flip = Flip(span, None, head.version, head.coverage, written[span])
        await store.publish(all_, [flip])
    store.totals.clear()

    table = await query(world.metric, every="day", by="page", store=store)

    assert (table.equals(expected), store.totals) == (True, [0])


async def test_a_day_is_not_used_while_a_part_of_it_is_behind(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day", "3d"), by=()), Watched()
    start = local_ms("2024-05-01", BERLIN)
    for visitor in range(2):
        await world.archive([(start + n * HOUR_MS, "a", visitor) for n in range(24)])
        await world.replay(store)
    small = rollup_id(world.metric.id, DAY, BERLIN, is_small=True)
    assert await store.undo(small, start + 23 * HOUR_MS)

    for rolling in (None, "3d"):
        table = await query(world.metric, every="day", rolling=rolling, store=store)

        assert store.totals.pop() == 24
        assert table.equals(
            await query(world.declare(()), every="day", rolling=rolling, store=store)
        )


async def test_nor_where_fresh_events_come_to_other_days(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("3d",), by=()), Watched()
    start = local_ms("2024-05-01", BERLIN)
    await world.archive((start + n * HOUR_MS, "a", n) for n in range(8 * 24))
    await world.replay(store)
    await world.archive([(start + HOUR_MS, "a", 7)])
    await world.replay(store)
    assert await store.undo(rollup_id(world.metric.id, DAY, BERLIN), start + 23 * HOUR_MS)
    late = partial(world.metric, (start + 6 * DAY_MS, "a", 7_777), 90_000)
    await store.upsert([late], [])
    await fold_all(store, world)

    table = await query(world.metric, every="day", rolling="3d", store=store)

    assert table.equals(await query(world.declare(()), every="day", rolling="3d", store=store))


def draw(rng: random.Random, first: date, days: int, zone: str) -> list[Visit]:
    visits = []
    for _ in range(days * 8):
        day = first + timedelta(rng.randrange(days))
        at = local_ms(str(day), zone) + rng.randrange(24 * 60) * MINUTE_MS
        visits.append((at, rng.choice("ab"), rng.randrange(30)))
    return visits


@pytest.mark.parametrize(
    ("zone", "first", "by"),
    [
        (BERLIN, date(2024, 3, 20), ("page",)),
        ("America/New_York", date(2024, 10, 25), [(), ("page",)]),
        ("Australia/Lord_Howe", date(2024, 3, 28), ()),
        pytest.param("Asia/Kolkata", date(2024, 2, 20), ("page",), marks=pytest.mark.nightly),
        pytest.param("Pacific/Apia", date(2011, 12, 20), ("page",), marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.nightly)])
async def test_answers_are_those_without_ready_windows(
    tmp_path: Path, zone: str, first: date, by: Sequence[str | Sequence[str]], seed: int
) -> None:
    rng = random.Random(seed)
    world, store = Visits(tmp_path, GRAINS, zone, by), Watched()
    plain = world.declare(())
    await world.archive(draw(rng, first, 20, zone))
    await world.replay(store)
    start, end = world.extent()
    # Of the hours that are counted again, one does not get its windows, and one is undone.
    await world.archive(draw(rng, first, 20, zone)[:3])
    await world.replay(store)
    await world.archive(draw(rng, first, 22, zone)[:1])
    world.metric = plain
    await world.replay(store)
    world.metric = world.declare(GRAINS)
    late = draw(rng, first, 20, zone)[0]
    await world.archive([late])
    await world.replay(store, start=late[0], end=late[0] + 1)
    assert await store.undo(plain.id, floor_to(late[0], HOUR_MS))
    if () not in by:
        offset = (len(world.sent) // 50 + 9) * 50
        new = draw(rng, first + timedelta(18), 6, zone)[:10]
        await store.upsert([partial(plain, v, offset + n) for n, v in enumerate(new)], [])
    await fold_all(store, world)

    used = 0
    for _ in range(40):
        edges = sorted(rng.randrange(start - 2 * DAY_MS, end + 40 * DAY_MS) for _ in range(2))
        unit = rng.choice([MINUTE_MS, HOUR_MS, DAY_MS])
        low, high = (to_datetime(floor_to(edge, unit)) for edge in edges)
        options: dict[str, object] = {
            "start": rng.choice([None, low]),
            "end": rng.choice([None, high + timedelta(days=1)]),
            "every": rng.choice(["day", "day", "week", "month"]),
            "by": rng.choice([None, "page"]) if world.by else None,
            "layers": True,
            "store": store,
        }
        if options["every"] == "day":
            options["rolling"] = rng.choice([None, "3d", "30d"])
        if world.by:
            options["where"] = rng.choice([None, None, "page = 'a'", "page <> 'a'", "page = 'c'"])
        ready = await query(world.metric, **options)  # type: ignore[arg-type]
        read = store.totals.pop()
        assert ready.equals(await query(plain, **options)), options  # type: ignore[arg-type]
        used += read < store.totals.pop()
    assert used > 3


async def test_an_hour_that_moves_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day",)), Watched()
    noon = local_ms("2024-05-01T12:00", BERLIN)
    await world.archive([(noon, "a", 1)])
    await world.replay(store)
    await world.archive([(noon, "a", 2)])
    await world.replay(store)
    await fold_all(store, world)
    store.before_reading = [(world.metric.id, noon)]

    table = await query(world.metric, "2024-05-01", "2024-05-02", every="day", store=store)

    assert (table["visits"].to_pylist(), table["visitors"].to_pylist()) == ([1], [1])
    assert store.totals == [0, 1]
