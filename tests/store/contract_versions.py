"""What every store does with totals, heads and runs."""

import asyncio
import itertools

import pytest

from fastdata import failpoints
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import SpanConflictError
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Head, ServingStore, Total
from tests.store.samples import (
    METRIC,
    NOON,
    ONE,
    TWO,
    covering,
    partial,
    publish,
    read,
    relabel,
    rows_of,
    totals,
)


class VersionsContract:
    """The promises of `write_totals`, `publish`, `undo` and the runs."""

    async def test_unpublished_totals_are_not_read(self, store: ServingStore) -> None:
        rows = {NOON: totals(NOON, b"a", b"b"), ONE: []}
        assert {NOON: 2, ONE: 0} == await store.write_totals(METRIC, 7, rows)
        reading = await read(store)
        assert ([], {}) == (list(reading.totals), reading.heads)

    async def test_writing_keeps_a_pace(self, store: ServingStore) -> None:
        now_s, waited = 100.0, []

        async def sleep(seconds: float) -> None:
            nonlocal now_s
            waited.append(seconds)
            now_s += seconds

        pace = Pace(1_000, clock=lambda: now_s, sleep=sleep)
        rows = {NOON: totals(NOON, *[b"a"] * 55), ONE: totals(ONE, *[b"b"] * 945)}
        assert {NOON: 55, ONE: 945} == await store.write_totals(METRIC, 7, rows, pace)
        assert 0.79 < sum(waited) < 0.81  # what a fifth of a second allows is not waited for

    async def test_keys_that_vanished_vanish(self, store: ServingStore) -> None:
        await publish(store, covering(p0=1), b"a", b"b", b"c")
        await publish(store, covering(p0=2), b"d")
        assert totals(NOON, b"d") == list((await read(store)).totals)

    async def test_a_span_without_events_is_covered_too(self, store: ServingStore) -> None:
        await store.upsert([partial()], [])
        version = await publish(store, covering(p0=1))
        reading = await read(store)
        assert {NOON: Head(NOON, version, covering(p0=1))} == reading.heads
        assert ([], []) == (list(reading.totals), list(reading.partials))

    async def test_a_relabelled_span_keeps_its_rows(self, store: ServingStore) -> None:
        version = await publish(store, covering(p0=1), b"a")
        await relabel(store, covering(p0=4))
        reading = await read(store)
        previous = (version, covering(p0=1))
        assert {NOON: Head(NOON, version, covering(p0=4), previous)} == reading.heads
        assert totals(NOON, b"a") == list(reading.totals)

    async def test_an_interrupted_attempt_leaves_no_ghosts(self, store: ServingStore) -> None:
        failpoints.set_action("store.after_totals", "raise")
        ghosts = {NOON: totals(NOON, b"a", b"b", b"ghost"), ONE: totals(ONE, b"ghost")}
        with pytest.raises(failpoints.FailpointError):
            await store.write_totals(METRIC, 7, ghosts)
        rows = {NOON: totals(NOON, b"a", b"b"), ONE: []}
        held = await store.write_totals(METRIC, 7, rows)
        assert {NOON: 2, ONE: 0} == held
        flips = [Flip(span, None, 7, covering(p0=1), held[span]) for span in (NOON, ONE)]
        await store.publish(METRIC, flips)
        assert {b"a", b"b"} == {total.state for total in (await read(store)).totals}

    async def test_totals_of_many_portions_are_whole(self, store: ServingStore) -> None:
        # One span that is split, one that fits no more beside its rest, and one that is small.
        sizes = {NOON: 10_001, ONE: 4_999, TWO: 3}
        rows = {s: [Total(s, f"[{i}]", b"%d" % i) for i in range(n)] for s, n in sizes.items()}
        for _ in range(2):
            assert sizes == await store.write_totals(METRIC, 7, rows)
        flips = [Flip(span, None, 7, covering(p0=1), held) for span, held in sizes.items()]
        await store.publish(METRIC, flips)
        stored = (await read(store, NOON, TWO + HOUR_MS)).totals
        assert sorted(map(repr, itertools.chain(*rows.values()))) == sorted(map(repr, stored))

    async def test_of_a_key_that_comes_twice_the_last_counts(self, store: ServingStore) -> None:
        (first,), (last,) = totals(NOON, b"first"), totals(NOON, b"last")
        assert {NOON: 1} == await store.write_totals(METRIC, 7, {NOON: [first, last]})
        await store.publish(METRIC, [Flip(NOON, None, 7, covering(p0=1), 1)])
        assert [last] == list((await read(store)).totals)

    async def test_the_rows_of_a_published_version_cannot_change(self, store: ServingStore) -> None:
        first = await publish(store, covering(p0=1), b"a")
        second = await publish(store, covering(p0=2), b"b")
        for version in (first, second):
            with pytest.raises(SpanConflictError):
                await store.write_totals(METRIC, version, {NOON: totals(NOON, b"x")})
        assert totals(NOON, b"b") == list((await read(store)).totals)

    async def test_a_published_span_among_others_is_a_conflict(self, store: ServingStore) -> None:
        version = await publish(store, covering(p0=1), b"a")
        rows = {NOON: totals(NOON, b"x"), ONE: totals(ONE, b"y")}
        with pytest.raises(SpanConflictError, match=f"first of {NOON}"):
            await store.write_totals(METRIC, version, rows)
        assert totals(NOON, b"a") == list((await read(store)).totals)
        assert {ONE: 1} == await store.write_totals(METRIC, version, {ONE: rows[ONE]})

    async def test_other_metrics_and_spans_may_have_the_version(self, store: ServingStore) -> None:
        other = "arrivals-000000000000"
        version = await publish(store, covering(p0=1), b"a", metric=other)
        assert {NOON: 1} == await store.write_totals(METRIC, version, {NOON: totals(NOON, b"b")})
        assert {ONE: 1} == await store.write_totals(other, version, {ONE: totals(ONE, b"c")})
        assert 1 == await rows_of(store, version)

    @pytest.mark.parametrize(
        "expected",
        [None, (99, covering(p0=1)), (1, covering(p0=2)), (1, Coverage())],
        ids=["no head", "another version", "another coverage", "no coverage"],
    )
    async def test_a_head_that_is_not_the_expected_one_is_a_conflict(
        self, store: ServingStore, expected: tuple[int, Coverage] | None
    ) -> None:
        assert 1 == await publish(store, covering(p0=1), b"a")
        await store.write_totals(METRIC, 2, {NOON: totals(NOON, b"b")})
        before = await read(store)
        with pytest.raises(SpanConflictError):
            await store.publish(METRIC, [Flip(NOON, expected, 2, covering(p0=3), 1)])
        assert before == await read(store)

    async def test_a_head_that_is_expected_and_missing_is_a_conflict(
        self, store: ServingStore
    ) -> None:
        flip = Flip(NOON, (1, covering(p0=1)), 1, covering(p0=2), None)
        with pytest.raises(SpanConflictError):
            await store.publish(METRIC, [flip])
        assert {} == await store.heads(METRIC, NOON, TWO)

    async def test_one_conflict_among_many_flips_changes_nothing(self, store: ServingStore) -> None:
        await publish(store, covering(p0=1), b"a", span=ONE)
        before = await read(store)
        good, bad = (Flip(span, None, 9, covering(p0=2), 0) for span in (NOON, ONE))
        with pytest.raises(SpanConflictError):
            await store.publish(METRIC, [good, bad])
        assert before == await read(store)

    async def test_another_number_of_rows_is_a_conflict(self, store: ServingStore) -> None:
        await store.write_totals(METRIC, 7, {NOON: totals(NOON, b"a", b"b")})
        for rows in (1, 3, 0):
            with pytest.raises(SpanConflictError, match="holds 2"):
                await store.publish(METRIC, [Flip(NOON, None, 7, covering(p0=1), rows)])
        assert {} == await store.heads(METRIC, NOON, TWO)

    async def test_rows_of_another_span_do_not_count(self, store: ServingStore) -> None:
        await store.write_totals(METRIC, 7, {ONE: totals(ONE, b"a")})
        with pytest.raises(SpanConflictError, match="holds 0"):
            await store.publish(METRIC, [Flip(NOON, None, 7, covering(p0=1), 1)])

    async def test_publishing_twice_is_done_already(self, store: ServingStore) -> None:
        await publish(store, covering(p0=1), b"a")
        head = (await store.heads(METRIC, NOON, ONE))[NOON]
        await store.write_totals(METRIC, 9, {NOON: totals(NOON, b"b")})
        flip = Flip(NOON, (head.version, head.coverage), 9, covering(p0=2), 1)
        await store.publish(METRIC, [flip])
        once = await read(store)
        await store.publish(METRIC, [flip])
        assert once == await read(store)
        assert (head.version, head.coverage) == once.heads[NOON].previous

    async def test_a_flip_that_is_interrupted_before_it_is_not_seen(
        self, store: ServingStore
    ) -> None:
        await publish(store, covering(p0=1), b"a")
        before = await read(store)
        failpoints.set_action("store.before_flip", "raise")
        with pytest.raises(failpoints.FailpointError):
            await publish(store, covering(p0=2), b"b")
        assert before == await read(store)

    async def test_a_flip_that_is_interrupted_after_it_is_done(self, store: ServingStore) -> None:
        failpoints.set_action("store.after_flip", "raise")
        with pytest.raises(failpoints.FailpointError):
            await publish(store, covering(p0=2), b"b")
        assert totals(NOON, b"b") == list((await read(store)).totals)

    async def test_two_runs_of_one_span_cannot_mix(self, store: ServingStore) -> None:
        slow = await store.open_run(METRIC, NOON, ONE, covering(p0=1))
        quick = await store.open_run(METRIC, NOON, ONE, covering(p0=2))
        flips = {}
        for run, states in ((slow, [b"s"] * 5), (quick, [b"q"] * 3), (slow, [b"s"] * 5)):
            rows = await store.write_totals(METRIC, run.number, {NOON: totals(NOON, *states)})
            flips[run.number] = Flip(NOON, None, run.number, run.coverage, rows[NOON])
        outcomes = await asyncio.gather(
            *(store.publish(METRIC, [flip]) for flip in flips.values()), return_exceptions=True
        )
        assert [True, False] == sorted(
            (isinstance(outcome, SpanConflictError) for outcome in outcomes), reverse=True
        )
        reading = await read(store)
        winner = reading.heads[NOON].version
        states = {slow.number: [b"s"] * 5, quick.number: [b"q"] * 3}[winner]
        assert states == [total.state for total in reading.totals]

    async def test_undo_shows_the_version_before(self, store: ServingStore) -> None:
        await store.upsert([partial(segment=n) for n in (0, 1, 2)], [])
        await publish(store, covering(p0=1), b"a")
        before = await read(store)
        await publish(store, covering(p0=2), b"b")
        assert await store.undo(METRIC, NOON)
        after = await read(store)
        assert (before.totals, before.partials) == (after.totals, after.partials)
        assert covering(p0=1) == after.heads[NOON].coverage
        assert not await store.undo(METRIC, NOON)

    async def test_nothing_to_undo(self, store: ServingStore) -> None:
        assert not await store.undo(METRIC, NOON)
        await publish(store, covering(p0=1), b"a")
        assert not await store.undo(METRIC, NOON)
        assert totals(NOON, b"a") == list((await read(store)).totals)

    async def test_heads_are_those_of_the_spans_asked_for(self, store: ServingStore) -> None:
        for span in (TWO, NOON, ONE):
            await publish(store, covering(p0=1), span=span)
        assert [NOON, ONE] == list(await store.heads(METRIC, NOON, TWO))

    async def test_runs_have_growing_numbers(self, store: ServingStore) -> None:
        runs = [await store.open_run(METRIC, NOON, TWO, covering(p0=n)) for n in range(3)]
        other = await store.open_run("arrivals-000000000000", NOON, TWO, Coverage())
        numbers = [run.number for run in (*runs, other)]
        assert sorted(set(numbers)) == numbers
        assert runs[-1] == await store.last_run(METRIC)

    async def test_metrics_with_runs_are_found_by_how_they_begin(self, store: ServingStore) -> None:
        ids = ["trips-0b", "trips-0a", "trip-00", "trips-0b", "trips2-00", "trips-0c:error"]
        for id in ids:
            await store.open_run(id, NOON, TWO, covering(p0=1))
        assert ["trips-0c:error", "trips-0b", "trips-0a"] == list(await store.replayed("trips-"))
        assert [] == list(await store.replayed("tri-"))

    async def test_a_closed_run_is_done(self, store: ServingStore) -> None:
        run = await store.open_run(METRIC, NOON, TWO, covering(p0=3, p7=1))
        assert not run.is_done
        await store.close_run(run.number)
        await store.close_run(run.number)
        last = await store.last_run(METRIC)
        assert last is not None
        assert last.is_done
        assert (run.number, NOON, TWO, covering(p0=3, p7=1)) == (
            last.number,
            last.start,
            last.end,
            last.coverage,
        )
