"""What every store does with ready windows: versions are marks, and totals are left out."""

from datetime import date
from pathlib import Path

import pytest

from fastdata.answer.query import query
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import SpanConflictError
from fastdata.store.protocol import Flip, ServingStore, Total
from tests.batch.visits import Visits, local_ms
from tests.store.samples import METRIC, NOON, ONE, TWO, covering, publish, read, totals

ROLLUP = f"{METRIC}@30d@America/Argentina/ComodRivadavia"
LARGEST = (1 << 63) - 1
MONTH = NOON - 30 * DAY_MS


async def publish_mark(store: ServingStore, mark: int, *states: bytes) -> None:
    """One window that ends in the hour of noon, on whatever head there is."""
    head = (await store.heads(ROLLUP, NOON, ONE)).get(NOON)
    rows = [Total(MONTH, f'["{i}"]', state) for i, state in enumerate(states)]
    written = await store.write_totals(ROLLUP, mark, {NOON: rows})
    expected = (head.version, head.coverage) if head else None
    await store.publish(ROLLUP, [Flip(NOON, expected, mark, Coverage(), written[NOON])])


async def shown(store: ServingStore) -> tuple[int, list[bytes]]:
    reading = await store.read(ROLLUP, ROLLUP, ROLLUP, NOON, ONE)
    assert not reading.partials
    assert not reading.unfolded
    return reading.heads[NOON].version, sorted(total.state for total in reading.totals)


class RollupsContract:
    """The promises that ready windows rely on."""

    async def test_the_newest_mark_is_shown_however_large(self, store: ServingStore) -> None:
        for mark, state in ((LARGEST, b"a"), (0, b"b"), (LARGEST - 1, b"c")):
            await publish_mark(store, mark, state, b"x")
            assert await shown(store) == (mark, [state, b"x"])

    async def test_a_window_may_have_no_totals(self, store: ServingStore) -> None:
        await publish_mark(store, LARGEST)
        assert await shown(store) == (LARGEST, [])

    async def test_an_earlier_mark_comes_back_by_undo(self, store: ServingStore) -> None:
        await publish_mark(store, LARGEST, b"a")
        await publish_mark(store, 5, b"b")
        with pytest.raises(SpanConflictError):
            await store.write_totals(ROLLUP, LARGEST, {NOON: []})
        assert await store.undo(ROLLUP, NOON)
        assert await shown(store) == (LARGEST, [b"a"])
        await publish_mark(store, 5, b"c")
        assert await shown(store) == (5, [b"c"])

    async def test_marks_are_cleaned_up_one_behind(self, store: ServingStore) -> None:
        for mark in (LARGEST, 7, 1 << 62):
            await publish_mark(store, mark, b"%d" % mark)
        await store.clean_up(ROLLUP, NOON, NOON + 1)
        # The first one is gone, and may be written as if it had never been.
        flip = Flip(NOON, (1 << 62, Coverage()), LARGEST, Coverage(), 1)
        with pytest.raises(SpanConflictError, match="holds 0"):
            await store.publish(ROLLUP, [flip])
        assert await store.undo(ROLLUP, NOON)
        assert await shown(store) == (7, [b"7"])

    async def test_what_was_never_published_is_cleaned_up(self, store: ServingStore) -> None:
        await store.write_totals(ROLLUP, LARGEST, {NOON: [Total(MONTH, "[]", b"a")]})
        await store.clean_up(ROLLUP, NOON, NOON + 1)
        with pytest.raises(SpanConflictError, match="holds 0"):
            await store.publish(ROLLUP, [Flip(NOON, None, LARGEST, Coverage(), 1)])

    async def test_windows_leave_their_metric_alone(self, store: ServingStore) -> None:
        await publish(store, covering(p0=1), b"a")
        before = await read(store)
        await publish_mark(store, LARGEST, b"b")
        await store.clean_up(ROLLUP, 0, TWO)
        await store.clean_up(METRIC, 0, TWO)
        assert await read(store) == before
        assert await shown(store) == (LARGEST, [b"b"])

    async def test_only_the_totals_that_are_wanted_are_read(self, store: ServingStore) -> None:
        states = {NOON - HOUR_MS: b"a", NOON: b"b", ONE: b"c", TWO: b"d"}
        for span, state in states.items():
            await publish(store, covering(p0=1), state, span=span)
        start, end = NOON - HOUR_MS, TWO + HOUR_MS
        for wanted, found in (
            (None, [b"a", b"b", b"c", b"d"]),
            ([], []),
            ([(NOON, ONE)], [b"b"]),
            ([(start, NOON), (ONE, end)], [b"a", b"c", b"d"]),
        ):
            reading = await store.read(METRIC, "u-0", "t", start, end, wanted)
            assert sorted(reading.heads) == sorted(states)
            assert sorted(total.state for total in reading.totals) == found
        # Never more than the reading is about.
        reading = await store.read(METRIC, "u-0", "t", NOON, ONE, [(0, 1 << 60)])
        assert list(reading.totals) == totals(NOON, b"b")

    async def test_windows_of_replays_are_those_of_a_plain_count(
        self, store: ServingStore, tmp_path: Path
    ) -> None:
        grains, day = ("day", "month", "3d"), local_ms("2024-03-30", "Europe/Berlin")
        world = Visits(tmp_path, grains)
        await world.archive((day + n * HOUR_MS, "ab"[n % 2], n % 7) for n in range(72))
        await world.replay(store)
        await world.archive([(day + 30 * HOUR_MS, "a", 9), (day + 40 * HOUR_MS, "a", 9)])
        await world.replay(store)
        assert await store.undo(world.metric.id, day + 30 * HOUR_MS)
        before = [await world.ready(store, grain) for grain in grains]

        await world.replay(store)

        assert not any(before[0].keys() & {(date(2024, 3, 31), "[]")})
        for grain in grains:
            assert await world.ready(store, grain) == world.count(grain)
        table = await query(world.metric, every="day", store=store)
        assert table.equals(await query(world.declare(()), every="day", store=store))
