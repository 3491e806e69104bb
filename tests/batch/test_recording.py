"""What replays did is kept for people: each that was done or failed, and no more than that."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from fastdata import failpoints
from fastdata.batch.replay import Replayer, Request
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.errors import ArchiveUnavailableError, FastdataError, StoreUnavailableError
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.past_runs import PastRun, past_runs
from fastdata.store.protocol import Flip, ServingStore
from tests.batch.sales import DAY, FIRST, LATER, Sales

NOW = DAY + 30 * DAY_MS


async def runs_of(sales: Sales, store: ServingStore) -> list[PastRun]:
    return [replace(run, took_s=0) for run in await past_runs(store, sales.by_shop.id)]


async def replay(
    sales: Sales, store: ServingStore, next: int | None = None, dry_run: bool = False
) -> None:
    replayer = Replayer(sales.storage, workers=0, clock=lambda: NOW)
    await replayer.run([sales.by_shop], Request(next=next), store, dry_run=dry_run)


async def test_a_replay_that_is_done_says_what_it_did(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)

    await replay(sales, store, next=NOW + HOUR_MS)

    (run,) = await runs_of(sales, store)
    assert run == PastRun(
        NOW, 0, number=1, start=DAY, end=DAY + DAY_MS, counted=3, confirmed=21, events=5,
        objects=2, object_bytes=118, next=NOW + HOUR_MS,
    )  # fmt: skip


async def test_a_replay_that_finds_nothing_to_do_is_one(sales: Sales, store: ServingStore) -> None:
    await sales.archive(FIRST)
    await replay(sales, store)

    await replay(sales, store)

    idle, first = await runs_of(sales, store)
    assert idle == PastRun(NOW, 0, start=DAY, end=DAY + DAY_MS)
    assert (1, 3) == (first.number, first.counted)


async def test_a_replay_that_fails_says_why_and_what_it_had_done(
    sales: Sales, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    await sales.archive(FIRST)

    async def fail(*_: object) -> None:
        raise StoreUnavailableError("no answer of postgresql://me:secret@host/db")

    monkeypatch.setattr("fastdata.batch.replay._clean_up", fail)
    with pytest.raises(StoreUnavailableError):
        await replay(sales, store, next=NOW + HOUR_MS)

    (run,) = await runs_of(sales, store)
    assert "no answer of postgresql://***@host/db" == run.error
    assert (3, 5, NOW + HOUR_MS) == (run.counted, run.events, run.next)


@pytest.mark.parametrize(
    ("error", "next"),
    [(ArchiveUnavailableError("away"), NOW + HOUR_MS), (FastdataError("a hole"), None)],
)
async def test_after_what_ends_a_schedule_none_is_told_to_come(
    sales: Sales, monkeypatch: pytest.MonkeyPatch, error: FastdataError, next: int | None
) -> None:
    store = MemoryStore()

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Replayer, "_plan", fail)
    with pytest.raises(FastdataError):
        await replay(sales, store, next=NOW + HOUR_MS)

    assert [PastRun(NOW, 0, error=str(error), next=next)] == await runs_of(sales, store)


async def test_a_dry_run_and_one_that_is_killed_or_cancelled_say_nothing(sales: Sales) -> None:
    store = MemoryStore()
    await sales.archive(FIRST)
    await replay(sales, store, dry_run=True)
    failpoints.set_action("batch.before_flip", "raise")
    with pytest.raises(FailpointError):
        await replay(sales, store)
    cancelled = asyncio.create_task(replay(sales, store))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    assert [] == await runs_of(sales, store)
    last = await store.last_run(sales.by_shop.id)
    assert last is not None
    assert not last.is_done


class Forgetful(MemoryStore):
    """Answers readers, and does not take what is told of runs that are over."""

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        if metric.endswith(":runs"):
            raise StoreUnavailableError("the disk is full")
        await super().publish(metric, flips)


async def test_a_replay_is_done_though_nothing_can_be_kept_of_it(
    sales: Sales, caplog: pytest.LogCaptureFixture
) -> None:
    store = Forgetful()
    await sales.archive(FIRST + LATER)
    with caplog.at_level(logging.WARNING):
        await replay(sales, store)

    assert "what the replay did is not kept: the disk is full" in caplog.text
    last = await store.last_run(sales.by_shop.id)
    assert last is not None
    assert last.is_done
    assert [] == await runs_of(sales, store)


async def test_a_crash_while_it_is_kept_leaves_what_was_kept_before(sales: Sales) -> None:
    store = MemoryStore()
    await sales.archive(FIRST)
    await replay(sales, store)
    before = await runs_of(sales, store)

    for place in ("store.after_totals", "store.before_flip"):
        # There is nothing else left to write.
        failpoints.set_action(place, "raise")
        with pytest.raises(FailpointError):
            await replay(sales, store)
        assert before == await runs_of(sales, store)

    await replay(sales, store)
    assert [PastRun(NOW, 0, start=DAY, end=DAY + DAY_MS), *before] == await runs_of(sales, store)
