"""How fresh the speed layer says that it is: fresh means read to the end, not only seen."""

from dataclasses import replace

from fastdata.events.decoder import NO_TIMESTAMP
from fastdata.store.protocol import NEVER
from tests.speed.conftest import NOW, Bench


async def test_what_is_folded_to_its_end_is_fresh_whether_events_come_or_not(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 2)
    await layer.open(1, None, 0, 0)
    layer.fold(0, bench.record(0))
    layer.see_end(0, 2, NOW - 3)
    layer.see_end(1, 0, NOW - 2)
    await layer.flush()

    behind, idle = await bench.store.progress("events")
    assert (behind.is_at_end, behind.read_until, behind.fresh_until) == (False, NOW, NOW)
    assert (idle.is_at_end, idle.read_until, idle.fresh_until) == (True, NOW - 2, NOW - 2)


async def test_readers_are_told_that_nothing_has_come(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)
    layer.fold(0, bench.record(0))
    layer.see_end(0, 1, NOW)
    await layer.flush()
    moments = []
    for now in (NOW + 4_999, NOW + 5_000):
        bench.now = now
        layer.see_end(0, 1, now - 1)
        await layer.flush()
        moments += [p.fresh_until for p in await bench.store.progress("events")]

    assert moments == [NOW, NOW + 4_999]


async def test_what_was_read_to_its_end_stays_read_when_more_has_come(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)
    layer.fold(0, bench.record(0))
    layer.see_end(0, 1, NOW + 60_000)
    layer.see_end(0, 9, NOW + 60_001)
    await layer.flush()

    (behind,) = await bench.store.progress("events")
    assert (behind.is_at_end, behind.read_until, behind.fresh_until) == (False, NOW + 60_000, NOW)


async def test_the_end_counts_that_was_seen_before_the_last_event_was_folded(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)
    layer.see_end(0, 1, NOW + 5)
    layer.fold(0, bench.record(0))
    layer.see_end(0, 2, NOW + 6)
    await layer.flush()

    assert [NOW + 5] == [p.read_until for p in await bench.store.progress("events")]


async def test_a_record_without_a_timestamp_tells_nothing(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 9)
    layer.fold(0, bench.record(0))
    layer.fold(0, replace(bench.record(1), timestamp=NO_TIMESTAMP))
    await layer.flush()

    assert [NOW] == [p.read_until for p in await bench.store.progress("events")]


async def test_who_has_just_begun_does_not_take_back_how_far_all_was_read(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)
    layer.fold(0, bench.record(0))
    layer.see_end(0, 1, NOW + 7)
    await layer.flush()
    bench.now += 1
    second = bench.layer()
    await second.open(0, 1, 0, 3)
    await second.open(1, None, 0, 3)
    second.fold(1, bench.record(0))
    await second.flush()

    reports = await bench.store.progress("events")
    assert [(1, NOW + 7), (1, NOW)] == [(p.next_offset, p.read_until) for p in reports]


async def test_who_has_just_begun_says_so_of_a_partition_that_nobody_has_read(
    bench: Bench,
) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)
    await layer.open(1, None, 0, 3)
    layer.fold(0, bench.record(0))
    layer.see_end(0, 1, NOW)
    await layer.flush()

    assert [NOW, NEVER] == [p.read_until for p in await bench.store.progress("events")]
