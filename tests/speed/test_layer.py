"""Folding, flushing, restarting and cleaning up of the speed layer."""

import asyncio

import pytest

from fastdata import Count, Metric, Source, failpoints
from fastdata.coordinates.segments import Coverage
from fastdata.errors import CorruptStateError, MapError, TableError
from fastdata.failpoints import FailpointError
from fastdata.speed.keys import marker_key
from fastdata.store.protocol import Flip, Progress, Total
from tests.speed.conftest import DAY_MS, HOUR_MS, MINUTE_MS, NOW, Bench


async def test_a_flush_writes_one_partial_per_window_dims_and_segment(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 12)
    for offset in range(12):
        layer.fold(0, bench.record(offset, NOW + (offset % 2) * MINUTE_MS, page="a", size=offset))
    await layer.flush()

    found = [(p.segment, p.window, p.dims, p.stamp) for p in await bench.partials()]
    assert found == [
        (0, NOW, '["a"]', 8),
        (0, NOW + MINUTE_MS, '["a"]', 9),
        (1, NOW, '["a"]', 10),
        (1, NOW + MINUTE_MS, '["a"]', 11),
    ]
    assert bench.committed == {0: 12}


async def test_nothing_is_committed_before_the_store_has_it(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)
    layer.fold(0, bench.record(0))
    failpoints.set_action("flush.after_table", "raise")
    with pytest.raises(FailpointError):
        await layer.flush()

    assert (bench.committed, await bench.partials()) == ({}, [])
    with pytest.raises(TableError, match="has failed"):
        layer.fold(0, bench.record(1))


async def test_a_replayed_event_is_not_folded_again_but_emitted_again(bench: Bench) -> None:
    first = bench.layer()
    await first.open(0, None, 0, 2)
    for offset in range(2):
        first.fold(0, bench.record(offset))
    failpoints.set_action("flush.after_table", "raise")
    with pytest.raises(FailpointError):
        await first.flush()
    second = bench.layer()
    assert await second.open(0, None, 0, 2) == 0
    for offset in range(2):
        second.fold(0, bench.record(offset))
    await second.flush()

    assert await bench.counts() == {"[null]": 2}


async def test_an_offset_that_was_folded_by_this_owner_is_skipped(bench: Bench) -> None:
    layer = await bench.folded(1)
    for _ in range(2):
        layer.fold(0, bench.record(0))

    assert not layer.partitions[0].is_changed
    assert await bench.counts() == {"[null]": 1}


async def test_lost_state_is_folded_again_from_the_edge(bench: Bench) -> None:
    await bench.folded(15)
    bench.table.rows.clear()
    second = bench.layer()
    assert await second.open(0, 15, 0, 16) == 10
    for offset in range(10, 16):
        second.fold(0, bench.record(offset))
    await second.flush()

    assert await bench.counts() == {"[null]": 16}


async def test_a_table_that_is_not_intact_is_not_trusted(bench: Bench) -> None:
    await bench.folded(15)

    assert await bench.layer().open(0, 15, 0, 15, is_intact=False) == 10
    assert await bench.layer().open(0, 15, 0, 15) == 10


async def test_what_the_log_has_lost_is_a_gap_and_the_next_edge_the_start(bench: Bench) -> None:
    await bench.store.upsert([], [Progress("events", 0, 3, NOW, NOW)])
    layer = bench.layer()
    assert await layer.open(0, 3, 14, 30, is_intact=False) == 20

    assert [(g.start, g.end) for g in await bench.store.gaps("events")] == [(3, 20)]


async def test_events_before_an_edge_that_is_yet_to_come_are_not_folded(bench: Bench) -> None:
    layer = bench.layer()
    assert await layer.open(0, 3, 14, 16) == 16
    layer.fold(0, bench.record(16))
    layer.fold(0, bench.record(20))
    await layer.flush()

    assert await bench.counts() == {"[null]": 1}


async def test_late_and_future_events_are_counted_by_hour_and_reason(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 9)
    times = [NOW, NOW - HOUR_MS, NOW - HOUR_MS - 1, NOW + 5 * MINUTE_MS, NOW + 5 * MINUTE_MS + 1]
    for offset, time in enumerate(times):
        layer.fold(0, bench.record(offset, time))
    await layer.flush()

    assert await bench.counts() == {"[null]": 3}
    assert await bench.unfolded() == {(NOW - 2 * HOUR_MS, "late"): 1, (NOW, "future"): 1}


async def test_a_future_event_does_not_move_the_watermark(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 2)
    layer.fold(0, bench.record(0, NOW))
    layer.fold(0, bench.record(1, NOW + DAY_MS))

    assert layer.partitions[0].watermark == NOW


async def test_a_late_event_that_was_folded_before_is_emitted_and_not_called_late(
    bench: Bench,
) -> None:
    first = bench.layer()
    await first.open(0, None, 0, 2)
    first.fold(0, bench.record(0, NOW - DAY_MS))
    first.fold(0, bench.record(1, NOW))
    failpoints.set_action("flush.after_table", "raise")
    with pytest.raises(FailpointError):
        await first.flush()
    second = bench.layer()
    await second.open(0, None, 0, 2)
    second.fold(0, bench.record(0, NOW - DAY_MS))
    second.fold(0, bench.record(1, NOW))
    await second.flush()

    assert await bench.counts() == {"[null]": 2}


async def test_bad_events_go_to_the_dead_letters_first_and_the_rest_goes_on(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 3)
    bad = bench.record(1)
    bad.value, bad.headers = b"oops", [("trace", b"7")]
    for record in (bench.record(0), bad, bench.record(2, None), bench.record(3)):
        layer.fold(0, record)
    await layer.flush()

    assert [(b.record.offset, b.record.value, b.stage, b.reason) for b in bench.letters] == [
        (1, b"oops", "decode", "no-magic"),
        (2, bench.record(2, None).value, "time", "time-null"),
    ]
    assert bench.letters[0].record.headers == [("trace", b"7")]
    assert bench.order == ["dead letters", "commit"]
    assert await bench.counts() == {"[null]": 2}
    assert await bench.unfolded() == {(0, "dead:no-magic"): 1, (0, "dead:time-null"): 1}


async def test_a_map_function_that_raises_stops_before_the_event(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 1)

    @bench.source.map
    def broken(event: dict[str, object]) -> dict[str, object] | None:
        raise RuntimeError

    with pytest.raises(MapError):
        layer.fold(0, bench.record(0))
    assert layer.partitions[0].position == 0


async def test_evicted_cells_come_back_from_the_table(bench: Bench) -> None:
    layer = bench.layer(max_cells=2)
    await layer.open(0, None, 0, 100)
    for offset in range(10):
        layer.fold(0, bench.record(offset, page=f"p{offset % 5}"))
        await layer.flush()

    assert len(layer.partitions[0].cells) <= 2
    assert await bench.counts() == {f'["p{n}"]': 2 for n in range(5)}


async def test_cells_of_a_segment_that_was_begun_before_come_back_from_the_table(
    bench: Bench,
) -> None:
    before = bench.layer()
    await before.open(0, None, 0, 100)
    for offset in range(5):
        before.fold(0, bench.record(offset, page=f"p{offset}"))
    await before.flush()
    layer = bench.layer()
    await layer.open(0, 5, 0, 100)
    for offset in range(5, 10):
        layer.fold(0, bench.record(offset, page=f"p{offset - 5}"))
    await layer.flush()

    assert await bench.counts() == {f'["p{n}"]': 2 for n in range(5)}


async def test_the_table_is_not_asked_for_cells_of_a_segment_that_has_just_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = await bench.folded(10)
    asked: list[bytes] = []
    monkeypatch.setattr(bench.table, "get", lambda _partition, key: asked.append(key))
    for offset in range(10, 20):
        layer.fold(0, bench.record(offset, page=f"p{offset}"))
    await layer.flush()

    assert asked == []
    assert await bench.counts() == {"[null]": 10} | {f'["p{n}"]': 1 for n in range(10, 20)}


async def test_events_folded_during_a_flush_are_in_the_next_one(bench: Bench) -> None:
    layer = bench.layer()
    await layer.open(0, None, 0, 2)
    layer.fold(0, bench.record(0))
    flush = asyncio.create_task(layer.flush())
    await asyncio.sleep(0)
    layer.fold(0, bench.record(1))
    await flush
    await layer.flush()

    assert (await bench.counts(), bench.committed) == ({"[null]": 2}, {0: 2})


async def test_a_layer_is_full_at_its_bound_of_changed_cells(bench: Bench) -> None:
    layer = bench.layer(max_dirty=2)
    await layer.open(0, None, 0, 2)
    layer.fold(0, bench.record(0, page="a"))
    assert not layer.is_full
    layer.fold(0, bench.record(1, page="b"))

    assert layer.is_full


async def test_without_a_limit_an_event_is_folded_however_late(bench: Bench) -> None:
    source = Source(
        "events", topic="events", schema=str(bench.folder / "event.avsc"), time="at", id="id",
        segment_size=10,
    )  # fmt: skip
    bench.source, bench.metric = source, Metric("m", source, measures={"n": Count()})
    layer = bench.layer()
    await layer.open(0, None, 0, 2)
    layer.fold(0, bench.record(0))
    layer.fold(0, bench.record(1, at=NOW - 400 * 24 * HOUR_MS))
    await layer.flush()

    assert len(await bench.partials()) == 2


async def test_a_metric_that_is_declared_later_begins_at_the_edge(bench: Bench) -> None:
    await bench.folded(15)
    later = Metric("later", bench.source, measures={"n": Count()})
    second = bench.layer(bench.metric, later)
    assert await second.open(0, 15, 0, 16) == 10
    for offset in range(10, 16):
        second.fold(0, bench.record(offset))
    await second.flush()

    assert await bench.counts() == {"[null]": 16}
    assert [later.load(p.state) for p in await bench.partials(later)] == [[6]]
    assert [(g.start, g.end) for g in await bench.store.gaps(later.id)] == [(0, 10)]


async def test_a_metric_that_is_declared_later_counts_a_repeat_once(bench: Bench) -> None:
    records = [bench.record(offset, id=id) for offset, id in enumerate(["a", "b", "a"])]
    first = bench.layer()
    await first.open(0, None, 0, 3)
    for record in records:
        first.fold(0, record)
    await first.flush()
    later = Metric("later", bench.source, measures={"n": Count()})
    second = bench.layer(bench.metric, later)
    await second.open(0, 3, 0, 3)
    for record in records:
        second.fold(0, record)
    await second.flush()

    assert [later.load(p.state) for p in await bench.partials(later)] == [[2]]
    assert await bench.unfolded() == {(NOW, "repeat"): 1}


async def test_a_new_metric_is_found_out_even_when_the_state_is_lost(bench: Bench) -> None:
    await bench.folded(15)
    bench.table.rows.clear()
    later = Metric("later", bench.source, measures={"n": Count()})
    await bench.layer(bench.metric, later).open(0, 15, 0, 16)

    assert [(g.start, g.end) for g in await bench.store.gaps(later.id)] == [(0, 10)]
    assert await bench.store.gaps(bench.metric.id) == []


async def test_what_was_folded_before_a_crash_is_not_late_when_it_is_folded_again(
    bench: Bench,
) -> None:
    first = bench.layer()
    await first.open(0, None, 0, 3)
    for offset, time in enumerate([NOW - DAY_MS, NOW, NOW - DAY_MS]):
        first.fold(0, bench.record(offset, time))
    failpoints.set_action("flush.after_table", "raise")
    with pytest.raises(FailpointError):
        await first.flush()
    second = bench.layer()
    await second.open(0, None, 0, 3)
    for offset, time in enumerate([NOW - DAY_MS, NOW, NOW - DAY_MS]):
        second.fold(0, bench.record(offset, time))
    await second.flush()

    assert await bench.counts() == {"[null]": 2}
    assert await bench.unfolded() == {(NOW - DAY_MS, "late"): 1}


async def publish(bench: Bench, span: int, coverage: Coverage, metric: Metric) -> None:
    run = await bench.store.open_run(metric.id, span, span + HOUR_MS, coverage)
    state = metric.dump(metric.zero(exact=True))
    totals = {span: [Total(span, "[null]", state)]}
    await bench.store.write_totals(metric.id, run.number, totals)
    head = (await bench.store.heads(metric.id, span, span + 1)).get(span)
    expected = (head.version, head.coverage) if head else None
    await bench.store.publish(metric.id, [Flip(span, expected, run.number, coverage, 1)])


async def test_cells_are_dropped_one_version_behind(bench: Bench) -> None:
    layer = await bench.folded(25)
    await publish(bench, NOW, Coverage({0: 1}), bench.metric)
    dropped = [await layer.clean_up()]
    await publish(bench, NOW, Coverage({0: 2}), bench.metric)
    dropped.append(await layer.clean_up())

    assert dropped == [0, 1]
    kept = [key for key in bench.table.rows[0] if key.startswith(b"c")]
    assert len(kept) == 2
    assert len(layer.partitions[0].cells) == 2


async def test_a_corrupt_state_says_what_to_do(bench: Bench) -> None:
    await bench.folded(1)
    for key, value in bench.table.rows[0].items():
        if key.startswith(b"c"):
            bench.table.rows[0][key] = value[:-1] + bytes([value[-1] ^ 1])
    second = bench.layer()
    await second.open(0, 1, 0, 2)

    with pytest.raises(CorruptStateError, match="remove its state folder and start again"):
        second.fold(0, bench.record(1))


async def test_a_corrupt_marker_is_told(bench: Bench) -> None:
    bench.table.rows[0] = {marker_key(0): b"short"}

    with pytest.raises(CorruptStateError, match="marker"):
        await bench.layer().open(0, 1, 0, 2)
