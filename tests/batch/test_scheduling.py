"""Replays at the multiples of an interval, with a clock of our own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

import pytest
import stamina

from fastdata import failpoints
from fastdata.archive import open_archive_storage
from fastdata.batch.schedule import ScheduledRun, Uncounted, replay_every
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS
from fastdata.errors import (
    ArchiveUnavailableError,
    CorruptStateError,
    SettingsError,
    SpanConflictError,
    StoreUnavailableError,
)
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, ServingStore
from tests.batch.sales import DAY, FIRST, LATER, Sale, Sales, count

NOON = DAY + 12 * HOUR_MS


class EndError(Exception):
    """As many runs as a test wants."""


class Lab:
    """A schedule over `Sales` whose clock moves in sleep, and in what a run is told to take."""

    def __init__(self, sales: Sales, store: ServingStore, now: int = NOON + 10 * MINUTE_MS) -> None:
        self.sales = sales
        self.store = store
        self.now = now
        self.runs: list[ScheduledRun] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1_000)
        if self.meanwhile is not None:
            await self.meanwhile()

    def open_store(self) -> ServingStore:
        return self.store

    async def run(
        self, runs: int, then: Callable[[int], None] = lambda _: None, window: str = "30d"
    ) -> Sequence[ScheduledRun]:
        """So many runs, every four hours; `then` is called after each of them."""

        def on_run(run: ScheduledRun) -> None:
            self.runs.append(run)
            then(len(self.runs))
            if len(self.runs) >= runs:
                raise EndError

        with pytest.raises(EndError):
            await replay_every(
                "4h",
                [self.sales.by_shop],
                open_store=self.open_store,
                archive=self.sales.storage,
                window=window,
                workers=0,
                on_run=on_run,
                clock=lambda: self.now,
                sleep=self.sleep,
            )
        return self.runs


async def test_runs_start_at_once_and_then_at_multiples_of_the_interval(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)

    runs = await Lab(sales, store).run(3)

    assert [run.started for run in runs] == [
        NOON + 10 * MINUTE_MS,
        NOON + 4 * HOUR_MS,
        NOON + 8 * HOUR_MS,
    ]
    assert [run.next for run in runs[:2]] == [run.started for run in runs[1:]]
    assert not any(run.is_overrun for run in runs)
    assert await sales.shown(store) == count({0: FIRST})


async def test_what_is_late_is_counted_and_the_rest_only_advances(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    lab = Lab(sales, store)
    await lab.run(1)
    await sales.archive(LATER)

    await lab.run(2)

    reports = [run.report.metrics[0] for run in lab.runs if run.report]
    assert [(r.recomputed, r.relabelled, r.unchanged) for r in reports] == [(3, 21, 0), (2, 22, 0)]
    assert await sales.shown(store) == count({0: FIRST + LATER})


async def test_hours_before_the_window_are_told_of_and_left_alone(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.archive(LATER, partition=1)

    (run,) = await Lab(sales, store).run(1, window="11h")

    # 12:10 less eleven hours: the hour 01:00 is the first of the window.
    assert run.window_start == DAY + HOUR_MS
    assert run.uncounted == (Uncounted("by_shop", 1, 3, DAY, DAY + HOUR_MS),)
    assert run.uncounted[0].command == (
        "fastdata replay --metric by_shop --from 2013-01-01T00:00 --to 2013-01-01T01:00"
    )
    assert sorted(await sales.heads(store)) == list(range(1, 24))


async def test_the_warning_counts_only_new_events_and_stays_until_they_are_counted(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    await sales.replay(store)
    lab = Lab(sales, store, DAY + 40 * DAY_MS)
    await lab.run(1)
    await sales.archive(LATER)
    await lab.run(3)
    await sales.replay(store)

    runs = await lab.run(5)

    late = Uncounted("by_shop", 2, 2, DAY, DAY + 2 * HOUR_MS)
    assert [run.uncounted for run in runs] == [(), (late,), (late,), (), ()]


class Counting(MemoryStore):
    """Remembers which heads of hours were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []

    async def heads(self, metric: str, start: int, end: int) -> dict:  # type: ignore[type-arg]
        if not metric.endswith(":runs"):
            self.asked.append((start, end))
        return await super().heads(metric, start, end)


async def test_later_runs_look_at_no_head_before_the_window(sales: Sales) -> None:
    store = Counting()
    await sales.archive(FIRST)
    await sales.replay(store)

    def look(done: int) -> None:
        if done == 1:
            store.asked.clear()

    await Lab(sales, store, DAY + 40 * DAY_MS).run(3, look)

    assert [ask for ask in store.asked if ask[0] < ask[1]] == []


async def test_hours_after_today_get_heads_only_where_events_are(
    sales: Sales, store: ServingStore
) -> None:
    far = Sale("far", 400 * 24 * 60)
    await sales.archive([*FIRST, far])

    await Lab(sales, store).run(1)

    heads = await store.heads(sales.by_shop.id, DAY, DAY + 500 * DAY_MS)
    assert sorted(heads) == [*range(DAY, DAY + DAY_MS, HOUR_MS), DAY + 400 * DAY_MS]


async def test_a_window_without_anything_is_no_error(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)

    (run,) = await Lab(sales, store, DAY + 90 * DAY_MS).run(1)

    assert run.error is None
    assert run.uncounted == (Uncounted("by_shop", 3, 5, DAY, DAY + 3 * HOUR_MS),)


class Slow(MemoryStore):
    """Takes nine hours to publish for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.lab: Lab | None = None

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        await super().publish(metric, flips)
        if self.lab is not None:
            self.lab.now += 9 * HOUR_MS
            self.lab = None


async def test_a_run_that_takes_too_long_is_followed_by_one_at_once(sales: Sales) -> None:
    store = Slow()
    lab = store.lab = Lab(sales, store)
    await sales.archive(FIRST)

    first, second, third = await lab.run(3)

    assert first.is_overrun
    assert first.next == second.started == NOON + 9 * HOUR_MS + 10 * MINUTE_MS
    assert (second.is_overrun, third.started) == (False, NOON + 12 * HOUR_MS)


class Away(MemoryStore):
    """Cannot be opened a few times."""

    def __init__(self, times: int, error: Exception) -> None:
        super().__init__()
        self.times = times
        self.error = error

    async def __aenter__(self) -> "Away":
        if self.times:
            self.times -= 1
            raise self.error
        return self


@pytest.mark.parametrize(
    "error",
    [StoreUnavailableError("away"), ArchiveUnavailableError("away"), SpanConflictError("moved")],
)
async def test_what_may_pass_is_tried_again_with_longer_pauses(
    sales: Sales, error: Exception
) -> None:
    store = Away(3, error)
    await sales.archive(FIRST)

    runs = await Lab(sales, store).run(5)

    began = NOON + 10 * MINUTE_MS
    waits = [(run.started - began) // 1_000 for run in runs]
    assert waits == [0, 30, 90, 210, (3 * 60 + 50) * 60]
    assert [run.error for run in runs] == [error, error, error, None, None]
    assert await sales.shown(store) == count({0: FIRST})


async def test_pauses_end_with_the_next_multiple(sales: Sales) -> None:
    store = Away(100, StoreUnavailableError("away"))

    runs = await Lab(sales, store, NOON - MINUTE_MS).run(12)

    assert [run.started - NOON for run in runs[:3]] == [-60_000, -30_000, 0]
    pauses = [after.started - run.started for run, after in pairwise(runs)]
    assert max(pauses) == 10 * MINUTE_MS


@pytest.mark.parametrize("error", [SettingsError("no password"), CorruptStateError("damaged")])
async def test_what_does_not_pass_ends_the_schedule(sales: Sales, error: Exception) -> None:
    with pytest.raises(type(error)):
        await replay_every(
            "4h",
            [sales.by_shop],
            open_store=lambda: Away(1, error),
            archive=sales.storage,
            workers=0,
        )


async def test_an_archive_that_is_suddenly_empty_is_away(sales: Sales) -> None:
    store = MemoryStore()
    await sales.archive(FIRST)
    lab = Lab(sales, store)
    names = await sales.storage.names("")
    lab.meanwhile = lambda: sales.storage.delete(*names)

    with stamina.set_testing(True, attempts=5):  # without pauses
        runs = await lab.run(2)

    assert [type(run.error) for run in runs] == [type(None), ArchiveUnavailableError]
    assert await sales.shown(store) == count({0: FIRST})


async def test_an_interrupted_run_is_finished_by_the_next_schedule(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    failpoints.set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await Lab(sales, store).run(1)
    failpoints.reset()
    await sales.archive(LATER)

    (run,) = await Lab(sales, store, NOON + 20 * DAY_MS).run(1)

    assert run.resumed is not None
    assert run.resumed.metrics[0].run == 1
    newest = await store.last_run(sales.by_shop.id)
    assert newest is not None
    assert newest.is_done


async def test_an_unfinished_run_of_all_history_is_left_to_who_began_it(
    sales: Sales, store: ServingStore
) -> None:
    await sales.archive(FIRST)
    failpoints.set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await sales.replay(store)
    failpoints.reset()

    (run,) = await Lab(sales, store, NOON + 90 * DAY_MS).run(1)

    assert run.resumed is None


async def test_cancelling_ends_it_and_nothing_is_half(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)
    lab = Lab(sales, store)
    task = asyncio.create_task(
        replay_every(
            "4h",
            [sales.by_shop],
            open_store=lab.open_store,
            archive=sales.storage,
            workers=0,
            max_writes_per_s=0.01,  # minutes for these totals
            clock=lambda: lab.now,
        )
    )
    while await store.last_run(sales.by_shop.id) is None:  # noqa: ASYNC110 - in the store
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await sales.shown(store) == {}
    (run,) = await lab.run(1)
    assert run.resumed is not None
    assert await sales.shown(store) == count({0: FIRST})


@pytest.mark.parametrize(("every", "window"), [("0h", "30d"), ("4h", "0d"), ("often", "30d")])
async def test_a_schedule_needs_durations(sales: Sales, every: str, window: str) -> None:
    with pytest.raises(ValueError, match=r"duration|above 0"):
        await replay_every(
            every,
            [sales.by_shop],
            open_store=MemoryStore,
            archive=open_archive_storage("memory:///"),
            window=window,
        )
