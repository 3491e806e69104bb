"""How fresh the speed layer says that it is: fresh means read to the end, not only seen."""

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
