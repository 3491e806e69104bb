"""What every store does with the runs that are over: it keeps the newest, whoever adds them."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from fastdata.coordinates.segments import Coverage
from fastdata.errors import CorruptStateError
from fastdata.store.kept import change_kept, read_kept
from fastdata.store.past_runs import MOST_RUNS, PastRun, add_past_run, next_run, past_runs
from fastdata.store.protocol import Flip, ServingStore
from tests.store.samples import METRIC, NOON, ONE, TWO, covering, publish, read

COUNTED = PastRun(
    NOON, 6.25, number=7, start=NOON, end=TWO, counted=2, confirmed=5, events=1_000, objects=3,
    object_bytes=1 << 40, next=TWO,
)  # fmt: skip
FAILED = PastRun(ONE, 0.5, error="the store is not reached: ünknown\nhost")
IDLE = PastRun(TWO, 0.1, start=NOON, end=TWO)


class PastRunsContract:
    """The promises of `past_runs`."""

    async def test_runs_that_are_over_are_told_the_newest_first(self, store: ServingStore) -> None:
        assert [] == await past_runs(store, METRIC)
        await add_past_run(store, METRIC, COUNTED)
        await add_past_run(store, METRIC, FAILED)
        assert [FAILED, COUNTED] == await past_runs(store, METRIC)
        assert [] == await past_runs(store, "departures-0000000000ff")

    async def test_an_error_with_the_name_of_a_file_that_is_no_text_is_kept(
        self, store: ServingStore
    ) -> None:
        await add_past_run(store, METRIC, PastRun(NOON, 0.5, error="no file caf\udce9"))
        assert ["no file caf?"] == [run.error for run in await past_runs(store, METRIC)]

    async def test_only_so_many_runs_are_kept(self, store: ServingStore) -> None:
        for number in range(1, MOST_RUNS + 3):
            await add_past_run(store, METRIC, PastRun(NOON, 1.0, number=number, counted=1))
        numbers = [run.number for run in await past_runs(store, METRIC)]
        assert list(range(MOST_RUNS + 2, 2, -1)) == numbers

    async def test_a_run_with_nothing_to_do_is_kept_until_there_is_a_newer_one(
        self, store: ServingStore
    ) -> None:
        for run in (COUNTED, PastRun(NOON, 0.1), PastRun(ONE, 0.1), IDLE):
            await add_past_run(store, METRIC, run)
        assert [IDLE, COUNTED] == await past_runs(store, METRIC)
        await add_past_run(store, METRIC, FAILED)
        assert [FAILED, COUNTED] == await past_runs(store, METRIC)

    async def test_a_text_that_was_kept_before_is_kept_again(self, store: ServingStore) -> None:
        for text in (b"a", b"b", b"a", b"b"):
            await change_kept(store, "kept", AsyncMock(return_value=text))
            assert text == await read_kept(store, "kept")

    async def test_a_run_by_hand_does_not_hide_when_the_schedule_comes(
        self, store: ServingStore
    ) -> None:
        for run in (PastRun(NOON, 0.1, next=ONE), PastRun(ONE, 0.1, next=TWO), IDLE):
            await add_past_run(store, METRIC, run)
        runs = await past_runs(store, METRIC)
        assert [(TWO, None), (ONE, TWO)] == [(run.began, run.next) for run in runs]
        assert TWO == next_run(runs)

    async def test_runs_that_end_together_are_all_kept(self, store: ServingStore) -> None:
        runs = [PastRun(NOON, 1.0, number=number, counted=1) for number in (1, 2, 3)]
        await asyncio.gather(*[add_past_run(store, METRIC, run) for run in runs])
        assert {1, 2, 3} == {run.number for run in await past_runs(store, METRIC)}

    async def test_the_same_run_again_changes_nothing(self, store: ServingStore) -> None:
        for _ in range(2):
            await add_past_run(store, METRIC, IDLE)
        assert [IDLE] == await past_runs(store, METRIC)

    async def test_runs_that_are_over_leave_their_metric_alone(self, store: ServingStore) -> None:
        await publish(store, covering(p0=1), b"a")
        before, last = await read(store), await store.last_run(METRIC)
        await add_past_run(store, METRIC, COUNTED)
        await store.clean_up(METRIC, 0, TWO)
        assert before == await read(store)
        assert last == await store.last_run(METRIC)
        assert [METRIC] == await store.replayed("departures-")

    async def test_what_does_not_verify_is_told_and_the_next_run_heals_it(
        self, store: ServingStore
    ) -> None:
        id = f"{METRIC}:runs"
        rows = await store.write_totals(id, 1, {0: [(0, "[]", b"\x01\0\0\0\0[]")]})
        await store.publish(id, [Flip(0, None, 1, Coverage(), rows[0])])
        with pytest.raises(CorruptStateError, match="does not verify"):
            await past_runs(store, METRIC)
        await add_past_run(store, METRIC, COUNTED)
        assert [COUNTED] == await past_runs(store, METRIC)
