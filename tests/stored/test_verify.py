"""A verification of what version 0.1.0 has counted, and of the same after a replay."""

from fastdata.batch.replay import replay
from fastdata.store.opening import open_store
from fastdata.verify.verify import verify
from tests.stored.written import Written, declared


async def test_ready_windows_are_right_wherever_their_rows_are(written: Written) -> None:
    archive, metrics = written.archive(), [declared().metrics["places"]]
    async with open_store(written.store()) as store:
        (before,) = (await verify(metrics, store=store, archive=archive)).metrics
        await replay(metrics, store=store, archive=archive, workers=0)
        (after,) = (await verify(metrics, store=store, archive=archive)).metrics

    # That version had all states of a day in one place, and no estimates of rolling days.
    assert 0 < before.windows < after.windows
    assert ([], []) == (before.findings, after.findings)
