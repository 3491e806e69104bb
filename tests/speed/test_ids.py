"""The ids that a layer has seen: kept over restarts, crashes and old owners, within the horizon."""

from collections.abc import Sequence

from fastdata.speed.keys import ids_key, marker_key
from fastdata.speed.layer import Record, SpeedLayer
from tests.speed.conftest import NOW, Bench


async def test_a_repeated_id_is_counted_once_and_told(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 3)
    for offset, id in enumerate(["a", "b", "a"]):
        layer.fold(0, bench.record(offset, id=id))
    await layer.flush()

    assert await bench.counts() == {"[null]": 2}
    assert await bench.unfolded() == {(NOW, "repeat"): 1}


async def test_repeats_are_recognized_after_a_restart(bench: Bench) -> None:
    first = bench.layer()
    await first.open(0, None, 0, 1)
    first.fold(0, bench.record(0, id="a"))
    await first.flush()
    second = bench.layer()
    await second.open(0, 1, 0, 2)
    second.fold(0, bench.record(1, id="a"))
    await second.flush()

    assert await bench.counts() == {"[null]": 1}


async def test_ids_are_kept_when_a_crash_came_between_them_and_the_marker(bench: Bench) -> None:
    records = [bench.record(offset, id="a") for offset in range(2)]
    for committed in (None, None, 1):
        if committed is None:
            bench.table.rows.get(0, {}).pop(marker_key(0), None)
        layer = bench.layer()
        await layer.open(0, committed, 0, 2)
        layer.fold(0, records[committed or 0])
        await layer.flush()

    assert await bench.counts() == {"[null]": 1}
    assert await bench.unfolded() == {(NOW, "repeat"): 1}


async def test_ids_are_kept_until_no_start_needs_them(bench: Bench) -> None:
    ids = {5: "a", 24: "a"}
    records = [
        bench.record(offset, id=ids.get(offset, f"e{offset}"), page=ids.get(offset))
        for offset in range(45)
    ]
    first = bench.layer()
    await first.open(0, None, 0, 45)
    for record in records[:19]:
        first.fold(0, record)
    await first.flush()
    marker = bench.table.rows[0][marker_key(0)]
    for record in records[19:]:
        first.fold(0, record)
    await first.flush()
    bench.table.rows[0][marker_key(0)] = marker  # a crash came before the next one
    second = bench.layer()
    await second.open(0, 19, 0, 45)
    for record in records[19:]:
        second.fold(0, record)
    await second.flush()

    assert await bench.counts() == {'["a"]': 1, "[null]": 43}


async def test_ids_that_only_an_old_owner_has_written_are_kept_within_the_horizon(
    bench: Bench,
) -> None:
    ids = {22: "a", 36: "a"}
    records = [bench.record(offset, id=ids.get(offset, f"e{offset}")) for offset in range(37)]
    old, new = bench.layer(), bench.layer()
    await old.open(0, None, 0, 37)
    for record in records[:25]:
        old.fold(0, record)
    await new.open(0, None, 0, 37)
    for record in records[:10]:
        new.fold(0, record)
        await new.flush()
    await old.flush()  # its commit is refused
    for start, end in ((10, 31), (31, 36), (36, 37)):
        next_one = bench.layer()
        await next_one.open(0, start, 0, 37)
        for record in records[start:end]:
            next_one.fold(0, record)
            await next_one.flush()

    assert await bench.counts() == {"[null]": 36}


async def test_ids_that_an_old_owner_vouched_for_are_remembered_when_they_are_read_again(
    bench: Bench,
) -> None:
    ids = {22: "a", 41: "a"}
    records = [bench.record(offset, id=ids.get(offset, f"e{offset}")) for offset in range(42)]
    old, new = bench.layer(), bench.layer()
    await old.open(0, None, 0, 42)
    for record in records[:25]:
        old.fold(0, record)
    await new.open(0, None, 0, 42)
    await fold_and_flush(new, records[:5])
    await old.flush()  # its commit is refused; its ids replace the shorter row of that key
    del bench.table.rows[0][ids_key(0, 0)]  # as the new owner does beyond the horizon of its own
    third = bench.layer()
    await third.open(0, 21, 0, 42)
    await fold_and_flush(third, records[21:])

    assert await bench.counts() == {"[null]": 41}


async def test_ids_are_kept_for_an_owner_who_skips_less_than_the_one_before(bench: Bench) -> None:
    ids = {5: "a", 22: "a"}
    records = [bench.record(offset, id=ids.get(offset, f"e{offset}")) for offset in range(61)]
    first, skipping = bench.layer(), bench.layer()
    await first.open(0, None, 0, 61)
    await fold_and_flush(first, records[:20])
    marker = bench.table.rows[0][marker_key(0)]
    await skipping.open(0, 20, 60, 61)
    await fold_and_flush(skipping, records[60:])
    bench.table.rows[0][marker_key(0)] = marker  # a crash came before the next one
    third = bench.layer()
    await third.open(0, 20, 0, 61)
    await fold_and_flush(third, records[20:])

    assert await bench.counts() == {"[null]": 60}


async def test_what_is_skipped_is_committed_before_an_event_comes(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, 20, 60, 60)
    await layer.flush()

    assert bench.committed == {0: 60}


async def fold_and_flush(layer: SpeedLayer, records: Sequence[Record]) -> None:
    for record in records:
        layer.fold(0, record)
    await layer.flush()


async def test_ids_beyond_the_horizon_leave_the_table(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 100)
    for offset in range(100):
        layer.fold(0, bench.record(offset, id=f"e{offset}"))
        await layer.flush()

    assert 20 <= sum(key.startswith(b"i") for key in bench.table.rows[0]) <= 31
