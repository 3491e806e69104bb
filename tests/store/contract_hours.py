"""What every store does with totals of whole hours: they are read where these will do."""

import pytest

from fastdata import failpoints
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.store.hours import Hours
from fastdata.store.protocol import Flip, ServingStore, Total
from tests.store.samples import METRIC, NOON, ONE, TOPIC, TWO, UNFOLDED, publish, rows_of, totals

EWR, JFK = '["EWR"]', '["JFK"]'
ALL = Hours([(NOON, TWO)], "")


def hour(span: int, state: bytes, dims: str = EWR) -> Total:
    return Total(span, dims, state)


async def shown(
    store: ServingStore,
    hours: Hours | None = ALL,
    wanted: list[tuple[int, int]] | None = None,
    dims: tuple[str, ...] = ("",),
) -> list[Total]:
    reading = await store.read(METRIC, UNFOLDED, TOPIC, NOON, TWO, wanted, dims, hours)
    return sorted(reading.totals)


async def count(
    store: ServingStore,
    segments: int,
    spans: dict[int, list[Total]],
    hours: dict[int, list[Total]],
    *,
    has_tips: bool = False,
) -> int:
    """A whole run of batch; its version."""
    coverage = Coverage({0: segments}, has_tips=has_tips)
    run = await store.open_run(METRIC, NOON, TWO, coverage)
    heads = await store.heads(METRIC, NOON, TWO)
    held = await store.write_totals(METRIC, run.number, spans, None, hours)
    flips = [
        Flip(span, (h.version, h.coverage) if h else None, run.number, coverage, rows)
        for span, rows in held.items()
        for h in [heads.get(span)]
    ]
    await store.publish(METRIC, flips)
    await store.close_run(run.number)
    return run.number


class HoursContract:
    """The promises of `Hours`."""

    async def test_hours_stand_for_minutes_where_they_will_do(self, store: ServingStore) -> None:
        minutes = {NOON: totals(NOON, b"a", b"b"), ONE: totals(ONE, b"c", b"d")}
        whole = {NOON: [hour(NOON, b"ab")], ONE: [hour(ONE, b"cd")]}
        await count(store, 1, minutes, whole)
        for_one = [*minutes[NOON], hour(ONE, b"cd")]
        assert [hour(NOON, b"ab"), hour(ONE, b"cd")] == await shown(store)
        assert for_one == await shown(store, Hours([(ONE, TWO)], ""))
        assert [*minutes[NOON], *minutes[ONE]] == await shown(store, None)
        assert [*minutes[NOON], *minutes[ONE]] == await shown(store, Hours([], ""))

    async def test_a_version_without_hours_gives_its_minutes(self, store: ServingStore) -> None:
        minutes = {NOON: totals(NOON, b"a", b"b"), ONE: totals(ONE, b"c", b"d")}
        await count(store, 1, minutes, {ONE: [hour(ONE, b"cd")]})
        assert [*minutes[NOON], hour(ONE, b"cd")] == await shown(store)

    async def test_tips_stay_beside_hours(self, store: ServingStore) -> None:
        tip = Total(NOON + MINUTE_MS, f"{EWR}@3", b"tip")
        minutes = {NOON: [*totals(NOON, b"a", b"b"), tip], ONE: totals(ONE, b"c")}
        await count(store, 1, minutes, {NOON: [hour(NOON, b"ab")]}, has_tips=True)
        assert [hour(NOON, b"ab"), tip, *minutes[ONE]] == await shown(store)

    async def test_only_what_is_wanted_is_read(self, store: ServingStore) -> None:
        minutes = {NOON: totals(NOON, b"a", b"b"), ONE: totals(ONE, b"c", b"d")}
        await count(store, 1, minutes, {NOON: [hour(NOON, b"ab")], ONE: [hour(ONE, b"cd")]})
        assert [hour(ONE, b"cd")] == await shown(store, ALL, [(ONE, TWO)])
        assert [] == await shown(store, ALL, [])

    async def test_where_hours_have_none_of_some_dimensions_there_are_none(
        self, store: ServingStore
    ) -> None:
        minutes = {
            NOON: [*totals(NOON, b"a", b"b"), Total(NOON, JFK, b"j")],
            ONE: [*totals(ONE, b"c"), Total(ONE, JFK, b"k")],
        }
        whole = {NOON: [hour(NOON, b"ab"), hour(NOON, b"J", JFK)]}
        await count(store, 1, minutes, whole)
        assert [hour(NOON, b"J", JFK), Total(ONE, JFK, b"k")] == await shown(store, dims=(JFK,))
        assert [] == await shown(store, dims=('["LGA"]',))
        both = (EWR, JFK)
        expected = sorted([*whole[NOON], *minutes[ONE]])
        assert expected == await shown(store, dims=both)

    async def test_a_grouping_set_may_have_hours_and_another_one_none(
        self, store: ServingStore
    ) -> None:
        of_all = [Total(NOON + i * MINUTE_MS, "[0]", b"all") for i in range(3)]
        by_key = [Total(NOON, '[1,"EWR"]', b"key")]
        await count(store, 1, {NOON: [*of_all, *by_key]}, {NOON: [hour(NOON, b"hour", "[0]")]})
        within = [(NOON, TWO)]
        assert [hour(NOON, b"hour", "[0]")] == await shown(
            store, Hours(within, "[0]"), dims=("[0]",)
        )
        assert by_key == await shown(store, Hours(within, "[1,"), dims=("[1,",))

    async def test_hours_are_those_of_the_version_shown(self, store: ServingStore) -> None:
        for segments, state in ((1, b"one"), (2, b"two")):
            rows = totals(NOON, state, state)
            await count(store, segments, {NOON: rows}, {NOON: [hour(NOON, b"sum of " + state)]})
        assert [hour(NOON, b"sum of two")] == await shown(store)
        await publish(store, Coverage({0: 3}), b"three")
        assert totals(NOON, b"three") == await shown(store)
        assert await store.undo(METRIC, NOON)
        assert [hour(NOON, b"sum of two")] == await shown(store)

    async def test_a_relabelled_span_keeps_its_hours(self, store: ServingStore) -> None:
        await count(store, 1, {NOON: totals(NOON, b"a", b"b")}, {NOON: [hour(NOON, b"ab")]})
        head = (await store.heads(METRIC, NOON, ONE))[NOON]
        later = Coverage({0: 2})
        flip = Flip(NOON, (head.version, head.coverage), head.version, later, None)
        await store.publish(METRIC, [flip])
        assert [hour(NOON, b"ab")] == await shown(store)

    async def test_hours_are_counted_when_they_are_shown(self, store: ServingStore) -> None:
        rows = {NOON: totals(NOON, b"a", b"b"), ONE: []}
        held = await store.write_totals(METRIC, 7, rows, None, {NOON: [hour(NOON, b"ab")]})
        assert {NOON: 3, ONE: 0} == held
        assert 3 == await rows_of(store, 7)

    async def test_an_interrupted_attempt_leaves_no_hours(self, store: ServingStore) -> None:
        failpoints.set_action("store.after_totals", "raise")
        ghosts = [hour(NOON, b"ghost"), hour(NOON, b"ghost", JFK)]
        with pytest.raises(failpoints.FailpointError):
            await store.write_totals(METRIC, 7, {NOON: totals(NOON, b"a")}, None, {NOON: ghosts})
        minutes = totals(NOON, b"b", b"c")
        held = await store.write_totals(METRIC, 7, {NOON: minutes})
        await store.publish(METRIC, [Flip(NOON, None, 7, Coverage({0: 1}), held[NOON])])
        assert minutes == await shown(store)

    async def test_hours_are_dropped_with_their_version(self, store: ServingStore) -> None:
        versions = [
            await count(store, n, {NOON: totals(NOON, b"a", b"b")}, {NOON: [hour(NOON, b"ab")]})
            for n in (1, 2, 3)
        ]
        await store.clean_up(METRIC, NOON, TWO)
        assert [0, 3, 3] == [await rows_of(store, version) for version in versions]
        assert [hour(NOON, b"ab")] == await shown(store)
        assert await store.undo(METRIC, NOON)
        assert [hour(NOON, b"ab")] == await shown(store)

    async def test_hours_without_any_beside_them_that_has_many_rows(
        self, store: ServingStore
    ) -> None:
        many = [Total(ONE + n % 60 * MINUTE_MS, f'["K{n}"]', b"k") for n in range(1_500)]
        wanted = [Total(ONE + n * MINUTE_MS, EWR, b"e") for n in range(3)]
        spans = {NOON: totals(NOON, b"a", b"b"), ONE: [*many, *wanted]}
        await count(store, 1, spans, {NOON: [hour(NOON, b"ab")]})
        assert [hour(NOON, b"ab"), *wanted] == await shown(store, dims=(EWR,))

    async def test_hours_of_a_month_are_read(self, store: ServingStore) -> None:
        first, spans = NOON - 700 * HOUR_MS, range(NOON - 700 * HOUR_MS, TWO, HOUR_MS)
        coverage = Coverage({0: 1})
        minutes = {span: totals(span, b"a", b"b") for span in spans}
        whole = {span: [hour(span, b"ab")] for span in spans if span % (5 * HOUR_MS)}
        held = await store.write_totals(METRIC, 1, minutes, None, whole)
        flips = [Flip(span, None, 1, coverage, rows) for span, rows in held.items()]
        await store.publish(METRIC, flips)
        within = Hours([(first, TWO)], "")
        reading = await store.read(METRIC, UNFOLDED, TOPIC, first, TWO, hours=within)
        expected = [total for span in spans for total in whole.get(span, minutes[span])]
        assert expected == sorted(reading.totals)
