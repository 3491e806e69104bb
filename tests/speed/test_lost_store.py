"""A worker whose store is another one, or has lost what it had."""

import pytest

from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.errors import StoreLostError
from fastdata.speed.keys import marker_key
from fastdata.speed.opening import announce
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import NEVER, Gap, Progress
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


@pytest.mark.parametrize("gone", [b"c", marker_key(0)])  # cells that batch counted, or the marker
async def test_the_gap_reaches_over_what_marker_or_cells_vouch_for(
    bench: Bench, gone: bytes
) -> None:
    await bench.folded(23)
    bench.committed[0] = 20  # another owner was put out before it could commit the rest
    for key in [key for key in bench.table.rows[0] if key.startswith(gone)]:
        del bench.table.rows[0][key]
    bench.store = MemoryStore()
    layer = bench.layer()
    assert await layer.open(0, bench.committed[0], 0, 23) == 20
    assert [Gap("events", 0, 0, 23)] == list(await bench.store.gaps("events"))


async def test_a_store_is_told_of_all_partitions_before_one_is_read(bench: Bench) -> None:
    epoch = Epoch(LogIdentity("here", "aa"), 1_000)
    await announce(bench.store, "events", epoch, 2)
    reports = await bench.store.progress("events")
    assert [(1_000, 0, NEVER), (1_001, 0, NEVER)] == [
        (r.partition, r.next_offset, r.read_until) for r in reports
    ]
    known = Progress("events", 1_001, 7, NOW, NOW, NOW)
    await bench.store.upsert([], [known])
    await announce(bench.store, "events", epoch, 2)
    assert known in await bench.store.progress("events")


@pytest.mark.parametrize("committed", [None, 0])  # 0 by a flush while the log was empty
async def test_a_state_that_nothing_was_committed_of_is_begun_anew(
    bench: Bench, committed: int | None
) -> None:
    await bench.folded(12)
    for key in [key for key in bench.table.rows[0] if key.startswith(b"c")]:
        del bench.table.rows[0][key]  # the store before had counted these
    counts, bench.store = await bench.counts(), MemoryStore()
    layer = bench.layer()
    assert await layer.open(0, committed, 0, 12) == 0
    assert [] == list(await bench.store.gaps("events"))
    for offset in range(12):
        layer.fold(0, bench.record(offset))
    await layer.flush()
    assert counts == await bench.counts()


async def test_the_same_of_a_log_without_its_head_is_a_gap_up_to_the_edge(bench: Bench) -> None:
    await bench.folded(12)
    bench.store = MemoryStore()
    layer = bench.layer()
    assert await layer.open(0, None, 3, 12) == 10
    assert [Gap("events", 0, 0, 10)] == list(await bench.store.gaps("events"))
    for offset in range(10, 12):
        layer.fold(0, bench.record(offset))
    await layer.flush()
    assert {"[null]": 2} == await bench.counts()
