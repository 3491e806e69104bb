"""Windows that batch keeps ready: what they hold, what they cost, and when they are valid."""

import asyncio
import random
from datetime import date, timedelta
from pathlib import Path

import pytest

from fastdata import Metric, Sessions, failpoints
from fastdata.batch.reports import ReplayProgress
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.store.memory import MemoryStore
from fastdata.store.past_runs import past_runs
from fastdata.store.protocol import ServingStore
from fastdata.store.rollups import rollup_id
from tests.batch.visits import EVER, Visit, Visits, local_ms

GRAINS = ("day", "week", "month", "3d")
# With which 64 KiB are passed by sets of integers.
MANY = 12_000


def draw(days: list[str], zone: str, seed: int = 1, visitors: int = 40) -> list[Visit]:
    """Some visits in each hour of local dates, also around the hours that clocks change in."""
    rng = random.Random(seed)
    visits = []
    for day in days:
        start = local_ms(day, zone)
        for hour in range(25):
            for _ in range(3):
                at = start + hour * HOUR_MS + rng.randrange(HOUR_MS)
                visits.append((at, rng.choice("ab"), rng.randrange(visitors)))
    return sorted(visits)


async def test_sets_far_above_what_a_store_holds_are_exact(
    tmp_path: Path, store: ServingStore
) -> None:
    world = Visits(tmp_path, GRAINS, segment_size=1_000)
    for number, day in enumerate(("2024-02-28", "2024-02-29", "2024-03-01")):
        at = local_ms(day, "Europe/Berlin")
        first = number * MANY // 2
        await world.archive((at + n * 7_000, "ab"[n % 7 == 0], first + n) for n in range(MANY))

    report = await world.replay(store)

    assert report.rollups_left == 0
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)
    month = world.count("month")[date(2024, 2, 29), "[]"]
    assert month == (2 * MANY, MANY * 3 // 2)


async def test_a_window_too_large_for_a_store_is_left_to_readers(
    tmp_path: Path, store: ServingStore
) -> None:
    world = Visits(tmp_path, GRAINS, segment_size=20_000)
    # Each hour has room in a store, the day has not.
    measures = {f"sessions{n}": Sessions("visitor", gap=f"{n}m") for n in range(1, 8)}
    world.metric = Metric("stays", world.source, measures=measures, rollups=["day"])
    start = local_ms("2024-02-28", "UTC")
    await world.archive((start + n * 7_000, "a", n) for n in range(MANY))

    report = await world.replay(store)

    assert report.rollups_left == 1
    (run,) = await past_runs(store, world.metric.id)
    assert (run.error, run.events) == (None, MANY)


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("Europe/Berlin", ["2024-03-30", "2024-03-31", "2024-04-01"]),
        ("Europe/Berlin", ["2024-10-26", "2024-10-27", "2024-10-28"]),
        ("America/New_York", ["2024-03-09", "2024-03-10", "2024-03-11"]),
        ("America/New_York", ["2024-11-02", "2024-11-03", "2024-11-04"]),
        ("Asia/Kolkata", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("Pacific/Apia", ["2011-12-29", "2011-12-31", "2012-01-01"]),
    ],
)
async def test_windows_are_those_of_local_dates(
    tmp_path: Path, store: ServingStore, zone: str, days: list[str]
) -> None:
    world = Visits(tmp_path, ("day", "week", "month"), zone)
    await world.archive(draw(days, zone))

    await world.replay(store)

    for grain in ("day", "week", "month"):
        assert await world.ready(store, grain) == world.count(grain)


async def test_grouping_sets_have_the_totals_that_are_declared(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, GRAINS, by=[(), ("page",)]), MemoryStore()
    await world.archive(draw(["2024-02-29"], "Europe/Berlin"))
    await world.replay(store)
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)


async def test_a_metric_without_dimensions_has_one_total(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, GRAINS, by=()), MemoryStore()
    await world.archive(draw(["2024-02-29"], "Europe/Berlin"))
    await world.replay(store)
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)


def names(calls: list[str], kind: str) -> int:
    return sum(f"/{kind}/" in name for name in calls)


async def test_a_late_event_costs_its_hour_its_day_and_the_windows_of_the_day(
    tmp_path: Path,
) -> None:
    world, store = Visits(tmp_path, ("day", "month", "30d"), segment_size=500), MemoryStore()
    first = date(2024, 5, 1)
    days = [str(first + timedelta(n)) for n in range(31)]
    await world.archive(draw(days, "Europe/Berlin"))
    await world.replay(store)
    late = local_ms("2024-05-11T12:30", "Europe/Berlin")
    await world.archive([(late, "a", 99)])
    objects = sum(
        any(late - late % HOUR_MS <= at < late - late % HOUR_MS + HOUR_MS for at, _, _ in some)
        for some in (world.sent[n : n + 500] for n in range(0, len(world.sent), 500))
    )
    world.storage.forget()

    report = await world.replay(store)

    read, created = world.storage.read, world.storage.created
    assert report.recomputed == 1
    # The day, the month, and the rolling ones of 11 May to 1 June, whose first hour has a head.
    assert report.rollups == 1 + 1 + 22
    assert sum(name.startswith("topics/") for name in read) == objects
    assert names(read, "hours") == 24
    # Each of May and the first of June once, whichever windows hold it; the late one in vain.
    assert names(read, "days") == 32
    assert (names(created, "hours"), names(created, "days")) == (1, 1)
    for grain in ("day", "month", "30d"):
        assert await world.ready(store, grain) == world.count(grain)


async def test_a_run_with_nothing_to_do_reads_and_merges_nothing(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, GRAINS), MemoryStore()
    await world.archive(draw(["2024-05-01", "2024-05-02"], "Europe/Berlin"))
    await world.replay(store)
    world.storage.forget()

    report = await world.replay(store)

    assert (report.rollups, report.rollups_left, report.run) == (0, 0, None)
    assert not [name for name in world.storage.read if "rollups" in name]
    assert not world.storage.created
    assert not [name for name in world.storage.listed if "days" in name]


async def test_old_days_and_marks_are_dropped(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day",)), MemoryStore()
    day = local_ms("2024-05-01", "Europe/Berlin")
    for visitor in range(4):
        await world.archive([(day + HOUR_MS, "a", visitor)])
        await world.replay(store)

    kept = await world.storage.names("rollups")
    assert (names(kept, "hours"), names(kept, "days")) == (1, 1)
    rollup = rollup_id(world.metric.id, Grain("day"), world.zone, is_small=True)
    versions = {version for of, _, version in store._totals if of == rollup}
    # What readers see, and the one before.
    assert len(versions) == 2


async def test_bytes_of_rolling_days_do_not_grow_with_what_they_hold(tmp_path: Path) -> None:
    stored = {}
    for visitors in (2_000, 6_000):
        world = Visits(tmp_path, ("30d",), by=(), segment_size=1_000)
        store = MemoryStore()
        start = local_ms("2024-05-01", "Europe/Berlin")
        for day in range(4):
            at, first = start + day * DAY_MS, day * visitors // 2
            await world.archive((at + n * 7_000, "a", first + n) for n in range(visitors))
        await world.replay(store)
        assert await world.ready(store, "30d") == world.count("30d")
        windows = await world.kept(store, Grain("day", 30))
        stored[visitors] = [len(state) for states in windows.values() for state in states.values()]

    # Exact sets of 16 to 64 KiB.
    assert len(stored[6_000]) == len(stored[2_000]) >= 4
    assert max(*stored[2_000], *stored[6_000]) < 40


async def test_rolling_days_of_what_comes_rarely_are_not_stored(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("30d",), segment_size=500), MemoryStore()
    start = local_ms("2024-05-01", "Europe/Berlin")
    days = 60
    # A page each day that does not come again, and one that comes each day.
    for page in ("daily", *(f"page {day}" for day in range(days))):
        own = range(days) if page == "daily" else [int(page[5:])]
        await world.archive((start + day * DAY_MS + HOUR_MS, page, day) for day in own)

    await world.replay(store)

    assert await world.ready(store, "30d") == world.count("30d")
    windows = await world.kept(store, Grain("day", 30))
    assert {dims for states in windows.values() for dims in states} == {"[]", '["daily"]'}
    small = await world.kept(store, Grain("day"), is_small=True)
    assert sum(map(len, small.values())) == 3 * days
    assert not any((await world.kept(store, Grain("day"))).values())


@pytest.mark.parametrize("place", ["batch.before_rollup", "store.after_totals", "store.after_flip"])
async def test_an_interrupted_run_is_healed_by_the_next(
    tmp_path: Path, store: ServingStore, place: str
) -> None:
    world = Visits(tmp_path, GRAINS)
    await world.archive(draw(["2024-04-30", "2024-05-01"], "Europe/Berlin"))
    await world.replay(store)
    await world.archive(draw(["2024-05-01"], "Europe/Berlin", seed=2, visitors=80))
    before = world.count("day")
    failpoints.set_action(place, "raise", at=3)

    with pytest.raises(failpoints.FailpointError):
        await world.replay(store)

    # Whatever is ready is right.
    for grain in GRAINS:
        assert (await world.ready(store, grain)).items() <= world.count(grain).items()
    await world.replay(store)
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)
    assert before == world.count("day")


async def test_windows_of_an_undone_hour_are_not_valid_until_the_next_run(
    tmp_path: Path, store: ServingStore
) -> None:
    world = Visits(tmp_path, GRAINS)
    day = local_ms("2024-05-01", "Europe/Berlin")
    await world.archive(draw(["2024-05-01"], "Europe/Berlin"))
    await world.replay(store)
    first = {grain: await world.ready(store, grain) for grain in GRAINS}
    await world.archive([(day + 12 * HOUR_MS, "a", 99)])
    await world.replay(store)

    assert await store.undo(world.metric.id, day + 12 * HOUR_MS)

    assert not [key for key in await world.ready(store, "day") if key[0] == date(2024, 5, 1)]
    assert first["day"] != world.count("day")
    # Counted again it has a version of its own.
    await world.replay(store)
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)


async def test_two_replays_at_once_agree(tmp_path: Path, store: ServingStore) -> None:
    world = Visits(tmp_path, GRAINS)
    await world.archive(draw(["2024-04-30", "2024-05-01"], "Europe/Berlin"))
    await asyncio.gather(*(world.replay(store) for _ in range(2)))
    await world.replay(store)
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)


async def test_two_stores_share_an_archive(tmp_path: Path) -> None:
    world, one, two = Visits(tmp_path, GRAINS), MemoryStore(), MemoryStore()
    await world.archive(draw(["2024-05-01"], "Europe/Berlin"))
    await world.replay(one)
    await world.archive(draw(["2024-05-01"], "Europe/Berlin", seed=2))
    await world.replay(one)
    world.storage.forget()

    await world.replay(two)

    assert not [name for name in world.storage.created if "rollups" in name]
    for store in (one, two):
        for grain in GRAINS:
            assert await world.ready(store, grain) == world.count(grain)


async def test_a_metric_that_has_heads_gets_rollups(tmp_path: Path, store: ServingStore) -> None:
    world = Visits(tmp_path, ())
    await world.archive(draw(["2024-04-30", "2024-05-01"], "Europe/Berlin"))
    await world.replay(store)
    heads = await store.heads(world.metric.id, *EVER)
    world.metric = world.declare(GRAINS)

    await world.replay(store)

    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)
    assert await store.heads(world.metric.id, *EVER) == heads


async def test_counting_again_merges_days_again(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, GRAINS), MemoryStore()
    await world.archive(draw(["2024-05-01"], "Europe/Berlin"))
    await world.replay(store)
    (kept,) = [name for name in await world.storage.names("rollups") if "/days/2024-04/" in name]
    data = await world.storage.get(kept)
    await world.storage.replace(kept, b"broken", "aside")

    await world.replay(store, force=True)

    assert await world.storage.get(kept) == data
    for grain in GRAINS:
        assert await world.ready(store, grain) == world.count(grain)


async def test_windows_whose_hours_are_not_kept_are_left_and_told(
    tmp_path: Path, store: ServingStore
) -> None:
    world = Visits(tmp_path, ())
    await world.archive(draw(["2024-04-30", "2024-05-01"], "Europe/Berlin"))
    await world.replay(store)
    world.metric = world.declare(GRAINS)
    start = local_ms("2024-05-01", "Europe/Berlin")

    report = await world.replay(store, start=start, end=start + DAY_MS)

    # The day, and the month of May with the empty day after it; not the week, and rolling days.
    ready = {grain: {key[0] for key in await world.ready(store, grain)} for grain in GRAINS}
    assert ready["day"] == {date(2024, 5, 1)}
    assert not ready["week"]
    assert not ready["3d"]
    assert report.rollups_left
    for grain in GRAINS:
        assert (await world.ready(store, grain)).items() <= world.count(grain).items()


async def test_progress_goes_on_while_windows_are_merged(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("month", "3d")), MemoryStore()
    await world.archive(draw(["2024-05-01", "2024-05-02"], "Europe/Berlin"))
    seen: list[ReplayProgress] = []

    await world.replay(store, on_progress=seen.append)

    folding = [one for one in seen if not one.total_rollups]
    assert (folding[-1].spans, folding[-1].events) == (folding[-1].total_spans, len(world.sent))
    # Two months; four days of which large and small states are apart, and as many of three days.
    total = 2 + 2 * 4 + 4
    rolling = [(one.rollups, one.total_rollups) for one in seen[len(folding) :]]
    assert rolling == [(number, total) for number in range(total + 1)]


async def test_a_dry_run_tells_which_windows_would_not_be_ready(tmp_path: Path) -> None:
    world, store = Visits(tmp_path, ("day", "month")), MemoryStore()
    await world.archive(draw(["2024-05-01"], "Europe/Berlin"))

    planned = await world.replay(store, dry_run=True)
    done = await world.replay(store)

    assert planned.rollups == done.rollups
    assert (await world.replay(store, dry_run=True)).rollups == 0
    await world.archive([(local_ms("2024-05-01T12:00", "Europe/Berlin"), "a", 1)])
    assert (await world.replay(store, dry_run=True)).rollups == 2
