"""A replay keeps whole states of the hours of metrics with rollups."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.archive.reader import ArchiveReader
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.plan import Contents
from fastdata.batch.reports import ReplayProgress
from fastdata.batch.rollups.storage import KeptStates
from fastdata.coordinates.dimensions import load_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import ServingStore
from tests.batch.sales import DAY, FIRST, LATER, Numbers, Sale, Sales, count, str_or_none

DAYS = 'rollups=["day"]'
INDIA = 'rollups=["day"], zone="Asia/Kolkata"'
Cells = dict[tuple[int, str | None], Numbers]  # by the start of a day, and shop


@pytest.fixture
def rolled(tmp_path: Path) -> Sales:
    return Sales(tmp_path / "rolled", rollups=DAYS)


def with_rollups(sales: Sales, rollups: str = DAYS) -> Sales:
    """The same metric over the same archive, declared anew."""
    folder = sales.folder.with_name(f"{sales.folder.name}-anew")
    return Sales(folder, sales.storage, sales.source.segment_size, rollups)


async def names(sales: Sales) -> set[str]:
    names = await sales.storage.names("rollups")
    return {name for name in names if "/hours/" in name}


async def kept(sales: Sales) -> dict[int, Cells]:
    """What is kept of the archive as it is, by hour of `DAY`."""
    snapshot = await ArchiveReader(sales.storage, sales.source).snapshot()
    size = sales.source.segment_size
    contents = Contents.of(snapshot.coverage, snapshot.objects(), size)
    states = KeptStates(sales.storage, sales.by_shop, "hours")
    found: dict[int, Cells] = {}
    for span in contents.hours:
        key = contents.hour_key(span, snapshot.coverage)
        assert key is not None
        if (rows := await states.read(span, key)) is not None:
            assert rows == sorted(rows)
            found[(span - DAY) // HOUR_MS] = {
                (day, str_or_none(load_dims(dims)[0])): sales.numbers(state)
                for day, dims, state in rows
            }
    return found


def expected(sales: Sales, events: Sequence[Sale]) -> dict[int, Cells]:
    """A plain count by hour, day of the zone, and shop; hours of no cell are empty."""
    cells: dict[int, dict[tuple[int, str | None], list[Sale]]] = defaultdict(dict)
    seen = set()
    for sale in events:
        if sale.minute is None:
            continue
        hour = cells[sale.minute // 60]
        if (sale.id, sale.minute // 60) in seen or sale.shop == "test":
            continue
        seen.add((sale.id, sale.minute // 60))
        day = sales.by_shop.calendar.day_of(DAY + sale.minute * MINUTE_MS)
        hour.setdefault((day, sale.shop), []).append(sale)
    return {
        hour: {
            key: (len(some), sum(s.amount for s in some), len({s.buyer for s in some} - {None}))
            for key, some in of_hour.items()
        }
        for hour, of_hour in cells.items()
    }


async def test_each_hour_is_kept_as_its_minutes_merged(rolled: Sales, store: ServingStore) -> None:
    events = [*FIRST, Sale("x", 59, "south", 3, "bob"), Sale("y", 0, "south", 4, "gil")]
    await rolled.archive(events)

    (report,) = (await rolled.replay(store)).metrics

    assert await kept(rolled) == expected(rolled, events)
    assert (await kept(rolled))[0] == {(DAY, "south"): (3, 14, 2)}
    assert report.kept == len(await names(rolled)) == 3


async def test_an_hour_in_which_a_day_begins_is_kept_as_two(
    tmp_path: Path, store: ServingStore
) -> None:
    sales = Sales(tmp_path / "india", rollups=INDIA)
    midnight = 18 * 60 + 30
    events = [Sale(f"{n}", midnight + n, "north", 1, f"b{n % 3}") for n in range(-4, 5)]
    await sales.archive([*events, *events[:3]])
    today = DAY + midnight * MINUTE_MS

    await sales.replay(store)

    assert await kept(sales) == expected(sales, events)
    assert (await kept(sales))[18] == {
        (today - DAY_MS, "north"): (4, 4, 3),
        (today, "north"): (5, 5, 3),
    }


class Listing(ArchiveStorage):
    """Notes what is listed."""

    def __init__(self, other: ArchiveStorage) -> None:
        super().__init__(other._store)
        self.listed: list[str] = []

    async def names(self, prefix: str) -> list[str]:
        self.listed.append(prefix)
        return await super().names(prefix)


async def test_a_metric_without_rollups_keeps_and_lists_nothing(
    sales: Sales, store: ServingStore
) -> None:
    sales.storage = Listing(sales.storage)
    await sales.archive(FIRST)

    (report,) = (await sales.replay(store)).metrics

    assert report.kept == 0
    assert await names(sales) == set()
    assert [name for name in sales.storage.listed if "rollups/" in name] == []


async def test_only_hours_with_new_events_are_kept_anew(rolled: Sales, store: ServingStore) -> None:
    await rolled.archive(FIRST)
    await rolled.replay(store)
    before = await names(rolled)
    await rolled.archive(LATER)

    reports = [(await rolled.replay(store)).metrics[0] for _ in range(2)]

    assert [report.kept for report in reports] == [2, 0]
    after = await names(rolled)
    # Of the hours that have got events, what they were is swept.
    assert len(after) == len(before) == 3
    assert len(after - before) == 2
    assert await kept(rolled) == expected(rolled, FIRST + LATER)


async def test_a_dry_run_says_what_would_be_kept(rolled: Sales, store: ServingStore) -> None:
    await rolled.archive(FIRST)

    (report,) = (await rolled.replay(store, dry_run=True)).metrics

    assert report.kept == 3
    assert await names(rolled) == set()


async def test_rollups_added_to_a_metric_that_has_heads_are_made_up_for(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    before, shown = await sales.heads(store), await sales.shown(store)
    anew = with_rollups(sales)
    assert anew.by_shop.id == sales.by_shop.id

    seen: list[ReplayProgress] = []
    (planned,) = (await anew.replay(store, dry_run=True)).metrics
    (report,) = (await anew.replay(store, on_progress=seen.append)).metrics

    folding = [(each.events, each.total_events) for each in seen if not each.total_rollups]
    assert folding == [(0, 5), (5, 5)]
    assert planned.kept == report.kept == 3
    assert await kept(anew) == expected(anew, FIRST)
    # Readers had these totals already: nothing is written for them, and no run is begun.
    assert (report.run, report.recomputed, report.totals, report.unchanged) == (None, 0, 0, 24)
    assert await sales.heads(store) == before
    assert await sales.shown(store) == shown


async def test_hours_that_are_confirmed_and_not_kept_are_made_up_for(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    await sales.archive(LATER[:1])
    anew = with_rollups(sales)

    (report,) = (await anew.replay(store)).metrics

    assert (report.recomputed, report.relabelled, report.kept) == (1, 23, 3)
    assert await kept(anew) == expected(anew, FIRST + LATER[:1])


@pytest.mark.parametrize("gone", [1, 3])
async def test_what_was_lost_is_kept_again(rolled: Sales, store: ServingStore, gone: int) -> None:
    await rolled.archive(FIRST)
    await rolled.replay(store)
    before = await names(rolled)
    await rolled.storage.delete(*sorted(before)[:gone])

    (report,) = (await rolled.replay(store)).metrics

    assert (report.kept, report.recomputed) == (gone, 0)
    assert await names(rolled) == before
    assert await kept(rolled) == expected(rolled, FIRST)


async def test_a_forced_replay_replaces_what_is_kept(rolled: Sales, store: ServingStore) -> None:
    await rolled.archive(FIRST)
    await rolled.replay(store)
    before = await names(rolled)
    for name in before:
        await rolled.storage.replace(name, b"damaged", "aside")

    (report,) = (await rolled.replay(store, force=True)).metrics

    assert report.kept == 3
    assert await names(rolled) == before
    assert await kept(rolled) == expected(rolled, FIRST)


PLACES = ["batch.after_kept_hours", "batch.before_flip", "batch.after_flip"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("resume", [True, False])
async def test_an_interrupted_replay_leaves_what_the_next_one_heals(
    rolled: Sales, store: ServingStore, place: str, resume: bool
) -> None:
    await rolled.archive(FIRST)
    await rolled.replay(store)
    await rolled.archive(LATER)
    failpoints.set_action(place, "raise")

    with pytest.raises(FailpointError):
        await rolled.replay(store)
    interrupted = await rolled.shown(store)
    # What is kept is of the archive, whatever readers see.
    assert await kept(rolled) == expected(rolled, FIRST + LATER)
    await rolled.replay(store, resume=resume)
    await rolled.replay(store)

    assert interrupted in (count({0: FIRST}), count({0: FIRST + LATER}))
    assert await rolled.shown(store) == count({0: FIRST + LATER})
    assert await kept(rolled) == expected(rolled, FIRST + LATER)
    assert len(await names(rolled)) == 3


async def test_a_run_that_is_resumed_keeps_hours_as_it_began_with_them(
    rolled: Sales, store: ServingStore
) -> None:
    await rolled.archive(FIRST)
    failpoints.set_action("batch.after_kept_hours", "raise")
    with pytest.raises(FailpointError):
        await rolled.replay(store)
    first = await names(rolled)
    await rolled.archive(LATER)
    async with MemoryStore() as other:
        await rolled.replay(other)
    second = await names(rolled)

    (resumed,) = (await rolled.replay(store, resume=True)).metrics
    with_both = await names(rolled)
    (newest,) = (await rolled.replay(store)).metrics

    # The other store's replay has swept what it began with; it spares what is newer.
    assert len(first) == len(second) == 3
    assert len(first & second) == 1
    assert with_both == first | second
    assert (resumed.kept, newest.kept) == (2, 0)
    assert await names(rolled) == second
    assert await kept(rolled) == expected(rolled, FIRST + LATER)


async def test_stores_that_are_fed_from_one_archive_share_what_is_kept(
    rolled: Sales, store: ServingStore
) -> None:
    await rolled.archive(FIRST)
    await rolled.replay(store)
    before = await names(rolled)
    async with MemoryStore() as other:
        (planned,) = (await rolled.replay(other, dry_run=True)).metrics
        (report,) = (await rolled.replay(other)).metrics
        shown = await rolled.shown(other)

    assert (planned.recomputed, planned.kept) == (report.recomputed, report.kept) == (3, 0)
    assert shown == count({0: FIRST})
    assert await names(rolled) == before


async def test_two_replays_at_once_keep_the_same(rolled: Sales, store: ServingStore) -> None:
    await rolled.archive(FIRST + LATER)
    async with MemoryStore() as other:
        await asyncio.gather(rolled.replay(store), rolled.replay(store), rolled.replay(other))

        assert await rolled.shown(other) == count({0: FIRST + LATER})
    assert await rolled.shown(store) == count({0: FIRST + LATER})
    assert await kept(rolled) == expected(rolled, FIRST + LATER)
    assert len(await names(rolled)) == 3


async def test_hours_that_others_have_counted_further_are_left_alone(
    rolled: Sales, store: ServingStore
) -> None:
    await rolled.archive(FIRST)
    copy = Sales(rolled.folder.with_name("copy"), rollups=DAYS)
    for name in await rolled.storage.names(""):
        await copy.storage.create(name, await rolled.storage.get(name) or b"")
    await rolled.archive(LATER)
    await rolled.replay(store)
    newer = KeptStates(copy.storage, copy.by_shop, "hours")
    await newer.write(DAY, "0a", [])

    (report,) = (await copy.replay(store)).metrics

    assert (report.ahead, report.recomputed, report.kept) == (24, 0, 0)
    assert await newer.keys([DAY]) == {DAY: {"0a"}}
    assert await kept(copy) == {}


async def test_sets_that_are_too_large_for_a_store_are_kept_whole(
    tmp_path: Path, store: ServingStore
) -> None:
    sales = Sales(tmp_path / "many", segment_size=2_000, rollups=DAYS)
    events = [Sale(f"{n}", n % 60, "north", 1, f"somebody {n // 2:>20}") for n in range(8_000)]
    await sales.archive(events)

    await sales.replay(store)

    assert await kept(sales) == {0: {(DAY, "north"): (8_000, 8_000, 4_000)}}
    states = KeptStates(sales.storage, sales.by_shop, "hours")
    ((start, keys),) = (await states.keys([DAY])).items()
    rows = await states.read(start, *keys)
    assert rows is not None
    assert len(rows[0][2]) > 4_000 * len(events[0].buyer or "")
