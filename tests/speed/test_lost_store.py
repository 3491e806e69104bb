"""A worker whose store is another one, or has lost what it had."""

import pytest

from fastdata.errors import StoreLostError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Gap
from tests.speed.conftest import NOW, Bench


async def test_another_store_gets_all_cells_again_and_a_gap(bench: Bench) -> None:
    await bench.folded(23)
    before = await bench.partials()
    unfolded = await bench.unfolded()
    bench.store = MemoryStore()
    second = bench.layer()
    assert await second.open(0, bench.committed[0], 0, 23) == 23

    assert before == await bench.partials()
    assert unfolded == await bench.unfolded()
    assert [Gap("events", 0, 0, 23)] == list(await bench.store.gaps("events"))
    assert [] == list(await bench.store.progress("events"))
    await second.flush()  # without an event
    assert [23] == [p.next_offset for p in await bench.store.progress("events")]


async def test_a_store_that_has_all_gets_nothing_again(bench: Bench) -> None:
    await bench.folded(23)
    bench.order.clear()
    second = bench.layer()
    await second.open(0, bench.committed[0], 0, 23)
    await second.flush()
    assert ([], []) == (bench.order, list(await bench.store.gaps("events")))


async def test_a_store_that_was_restored_from_a_copy_is_noticed(bench: Bench) -> None:
    layer = await bench.folded(12)
    copy = await bench.store.progress("events")
    old = MemoryStore()
    await old.upsert(await bench.partials(), copy)
    for offset in range(12, 15):
        layer.fold(0, bench.record(offset))
    await layer.flush()
    whole = await bench.counts()
    bench.store = old
    await bench.layer().open(0, bench.committed[0], 0, 15)

    assert whole == await bench.counts()
    assert [Gap("events", 0, 0, 15)] == list(await old.gaps("events"))


async def test_a_store_that_is_emptied_meanwhile_stops_the_worker(bench: Bench) -> None:
    layer = await bench.folded(12)
    bench.store.__init__()  # type: ignore[misc]
    layer.fold(0, bench.record(12))
    with pytest.raises(StoreLostError, match="writes to it all that the worker has"):
        await layer.flush()
    assert bench.committed == {0: 12}
    assert [] == list(await bench.store.progress("events"))


async def test_an_idle_worker_notices_it_as_well(bench: Bench) -> None:
    layer = await bench.folded(12)
    layer.see_end(0, 12, NOW)
    bench.store.__init__()  # type: ignore[misc]
    bench.now += 10_000
    with pytest.raises(StoreLostError):
        await layer.flush()


async def test_a_new_group_owes_a_store_nothing(bench: Bench) -> None:
    layer = bench.layer()
    assert await layer.open(0, None, 0, 5) == 0
    await layer.flush()
    assert ([], []) == (bench.order, list(await bench.store.gaps("events")))


async def test_a_state_and_a_store_that_are_both_lost_leave_a_gap(bench: Bench) -> None:
    await bench.folded(23)
    bench.table.rows.clear()
    bench.store = MemoryStore()
    layer = bench.layer()
    assert await layer.open(0, bench.committed[0], 0, 23) == 20
    # Its last segment is folded again, from the log.
    assert [Gap("events", 0, 0, 20)] == list(await bench.store.gaps("events"))
