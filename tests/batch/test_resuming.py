"""A replay that was interrupted anywhere, and what a later one makes of it."""

from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import ReplayError
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import ServingStore
from tests.batch.sales import DAY, FIRST, LATER, Sales, count

FAILPOINTS = [
    "batch.after_open_run",
    "store.after_totals",
    "batch.before_flip",
    "batch.after_flip",
    "batch.before_clean_up",
]


@pytest.mark.parametrize("place", FAILPOINTS)
async def test_an_interrupted_replay_shows_old_or_new_and_is_resumed(
    sales: Sales, store: ServingStore, place: str
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    await sales.archive(LATER)
    failpoints.set_action(place, "raise")

    with pytest.raises(FailpointError):
        await sales.replay(store)
    interrupted = await sales.shown(store)
    report = await sales.replay(store, resume=True)

    assert interrupted in (count({0: FIRST}), count({0: FIRST + LATER}))
    assert await sales.shown(store) == count({0: FIRST + LATER})
    assert report.metrics[0].run in (2, None)
    run = await store.last_run(sales.by_shop.id)
    assert run is not None
    assert (run.number, run.is_done) == (2, True)


class Cleaned(MemoryStore):
    """Counts how often it is cleaned up."""

    times = 0

    async def clean_up(self, metric: str, start: int, end: int, unfolded: str = "") -> int:
        self.times += 1
        return await super().clean_up(metric, start, end, unfolded)


async def test_a_dry_run_of_what_would_be_resumed_cleans_nothing_up(sales: Sales) -> None:
    store = Cleaned()
    await sales.archive(FIRST)
    failpoints.set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store)

    report = await sales.replay(store, dry_run=True, resume=True)

    assert (report.metrics[0].run, report.metrics[0].recomputed) == (1, 3)
    assert store.times == 0


async def test_resuming_keeps_the_coverage_that_the_run_began_with(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    failpoints.set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store)
    await sales.archive(LATER)

    await sales.replay(store, resume=True)

    assert await sales.shown(store) == count({0: FIRST})
    heads = await sales.heads(store)
    assert {head.coverage.dump() for head in heads.values()} == {'{"0": 2}'}


async def test_a_forced_replay_is_resumed_where_it_stopped(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    failpoints.set_action("batch.after_flip", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store, force=True)

    report = await sales.replay(store, force=True, resume=True)

    assert (report.metrics[0].recomputed, report.metrics[0].unchanged) == (0, 3)


async def test_resuming_without_anything_unfinished_is_a_replay(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)

    await sales.replay(store, resume=True)

    assert await sales.shown(store) == count({0: FIRST})


async def test_resuming_over_another_archive_is_refused(
    sales: Sales, store: ServingStore, tmp_path: Path
) -> None:
    await sales.archive(FIRST + LATER)
    failpoints.set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store)
    other = Sales(tmp_path)
    await other.archive(FIRST[:4])

    with pytest.raises(ReplayError, match="the archive that it began with"):
        await other.replay(store, resume=True)


class Recording(MemoryStore):
    """Remembers which runs are closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[int] = []

    async def close_run(self, number: int) -> None:
        self.closed.append(number)
        await super().close_run(number)


async def test_a_finished_replay_closes_the_unfinished_one_that_it_makes_needless(
    sales: Sales,
) -> None:
    store = Recording()
    await sales.archive(FIRST)
    failpoints.set_action("store.after_totals", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store)

    await sales.replay(store)

    assert store.closed == [2, 1]
    assert {head.version for head in (await sales.heads(store)).values()} == {2}


async def test_an_unfinished_replay_of_another_range_is_left_alone(sales: Sales) -> None:
    store = Recording()
    await sales.archive(FIRST)
    failpoints.set_action("store.after_totals", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store)

    report = await sales.replay(store, start=DAY, end=DAY + HOUR_MS, resume=True)

    assert report.metrics[0].run == 2
    assert list(await sales.heads(store)) == [0]
    assert store.closed == [2]
