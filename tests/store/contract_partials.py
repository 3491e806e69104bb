"""What every store does with partials, progress and gaps, and how it joins them."""

import itertools
import random
import string

import pytest

from fastdata.coordinates.dimensions import MAX_DIMS_BYTES, dump_dims, tip_dims
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import StoreError, StoreLostError
from fastdata.store.protocol import NEVER, Flip, Gap, Progress, Reading, ServingStore, Tally, Total
from tests.store.samples import (
    METRIC,
    NOON,
    ONE,
    TOPIC,
    TWO,
    UNFOLDED,
    covering,
    partial,
    publish,
    read,
    relabel,
    totals,
)


class PartialsContract:
    """The promises of `upsert`, `record_gap` and `read`."""

    @pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
    @pytest.mark.parametrize("at_once", [True, False])
    async def test_the_larger_stamp_wins_in_any_order(
        self, store: ServingStore, order: tuple[int, ...], at_once: bool
    ) -> None:
        arrived = [partial(stamp=stamp, state=b"%d" % stamp) for stamp in order]
        for batch in [arrived] if at_once else [[one] for one in arrived]:
            await store.upsert(batch, [])
        assert [partial(stamp=3, state=b"3")] == list(await store.partials(METRIC, NOON, ONE))

    @pytest.mark.parametrize("count", [49, 50, 51, 149])
    async def test_of_many_at_once_the_larger_stamp_of_each_stays(
        self, store: ServingStore, count: int
    ) -> None:
        first = [partial(segment=n, stamp=5, state=b"first") for n in range(count)]
        # Of equal stamps Cassandra keeps the larger bytes.
        other = [partial(segment=n, stamp=4 + n % 3, state=b"after") for n in range(count)]
        await store.upsert(first, [])
        await store.upsert(other, [])
        expected = [b if b.stamp > 5 else a for a, b in zip(first, other, strict=True)]
        stored = await store.partials(METRIC, NOON, ONE)
        assert sorted(stored, key=lambda p: p.segment) == expected

    async def test_an_equal_stamp_changes_nothing(self, store: ServingStore) -> None:
        await store.upsert([partial(stamp=7, state=b"first")], [])
        await store.upsert([partial(stamp=7, state=b"again")], [])
        assert [b"first"] == [p.state for p in await store.partials(METRIC, NOON, ONE)]

    async def test_each_part_of_the_key_tells_partials_apart(self, store: ServingStore) -> None:
        apart = [
            partial(),
            partial(NOON + MINUTE_MS),
            partial(dims='["JFK"]'),
            partial(partition=1),
            partial(segment=1),
        ]
        await store.upsert([*apart, partial(metric="arrivals-000000000000")], [])
        stored = await store.partials(METRIC, NOON, ONE)
        assert sorted(apart, key=repr) == sorted(stored, key=repr)

    async def test_partials_are_those_of_the_windows_asked_for(self, store: ServingStore) -> None:
        await store.upsert([partial(w) for w in (NOON - MINUTE_MS, NOON, ONE)], [])
        assert [partial(NOON)] == list(await store.partials(METRIC, NOON, ONE))

    async def test_whether_there_are_partials_is_told_until_the_last_is_dropped(
        self, store: ServingStore
    ) -> None:
        assert not await store.has_partials(METRIC)
        await store.upsert([partial(-5 * HOUR_MS), partial(metric="arrivals-000000000000")], [])
        assert await store.has_partials(METRIC)
        assert not await store.has_partials(UNFOLDED)
        for n in (1, 2):
            await publish(store, covering(p0=n), span=-5 * HOUR_MS)
        await store.clean_up(METRIC, -5 * HOUR_MS, 0)
        assert not await store.has_partials(METRIC)

    @pytest.mark.parametrize(
        "dims",
        [
            "[]",
            "[null]",
            '["",null,true,-3]',
            '["Zürich","東京","🛫"]',
            '["it\'s","a \\"quote\\"","100%","a_b","\\\\","\\u0000"]',
            '["; DROP TABLE partials; --"]',
        ],
    )
    async def test_dimensions_come_back_as_they_went(self, store: ServingStore, dims: str) -> None:
        await store.upsert([partial(dims=dims)], [])
        await publish(store, covering(p1=1))
        await store.write_totals(METRIC, 99, {ONE: [Total(ONE, dims, b"")]})
        await store.publish(METRIC, [Flip(ONE, None, 99, Coverage(), 1)])
        reading = await read(store)
        assert [partial(dims=dims)] == list(reading.partials)
        assert [Total(ONE, dims, b"")] == list(reading.totals)

    async def test_a_key_may_be_as_long_as_a_key_can_be(self, store: ServingStore) -> None:
        metric = "a" * 48 + "-0123456789ab"
        text = "".join(random.Random(7).choices(string.printable[:62], k=MAX_DIMS_BYTES - 4))
        dims = f'[999,"{text}"]'  # with the number of a grouping set
        stored = partial(dims=dims, metric=metric)
        await store.upsert([stored], [])
        await store.write_totals(metric, 99, {NOON: [Total(NOON, dims, b"")]})
        assert [stored] == list(await store.partials(metric, NOON, ONE))
        await store.publish(metric, [Flip(NOON, None, 99, Coverage(), 1)])
        reading = await store.read(metric, UNFOLDED, TOPIC, NOON, ONE)
        assert [Total(NOON, dims, b"")] == list(reading.totals)

    async def test_any_bytes_come_back_as_they_went(self, store: ServingStore) -> None:
        states = [b"", bytes(range(256)), random.Random(1).randbytes(1 << 20)]
        rows = [partial(segment=i, state=state) for i, state in enumerate(states)]
        await store.upsert(rows, [])
        assert rows == list((await read(store)).partials)

    async def test_large_and_negative_numbers_come_back(self, store: ServingStore) -> None:
        before_1970 = -5 * HOUR_MS
        rows = [
            partial(before_1970 + MINUTE_MS, segment=(1 << 53) - 1, stamp=(1 << 63) - 1),
            partial(before_1970 + 59 * MINUTE_MS, partition=100_000),
        ]
        await store.upsert(rows, [])
        reading = await read(store, before_1970, before_1970 + HOUR_MS)
        assert rows == list(reading.partials)

    async def test_a_state_of_more_than_a_mebibyte_is_refused(self, store: ServingStore) -> None:
        large = bytes((1 << 20) + 1)
        with pytest.raises(StoreError, match="1,048,577 bytes"):
            await store.upsert([partial(), partial(segment=1, state=large)], [])
        with pytest.raises(StoreError, match="1,048,577 bytes"):
            await store.write_totals(METRIC, 1, {NOON: totals(NOON, large)})
        assert [] == list(await store.partials(METRIC, NOON, ONE))

    async def test_progress_never_goes_back(self, store: ServingStore) -> None:
        far, near = Progress(TOPIC, 0, 90, 5, 1), Progress(TOPIC, 0, 80, 9, 2)
        await store.upsert([], [far, near])
        await store.upsert([], [near])
        other = Progress(TOPIC, 1, 3, 5, 1)
        await store.upsert([], [other, Progress("weather", 0, 7, 7, 7)])
        assert [far, other] == list(await store.progress(TOPIC))
        assert [far, other] == list((await read(store)).progress)

    async def test_a_store_that_lost_what_it_had_takes_no_progress(
        self, store: ServingStore
    ) -> None:
        had = [Progress(TOPIC, 0, 90, 5, 1), Progress(TOPIC, 1, 10, 5, 1)]
        await store.upsert([], had)
        further = Progress(TOPIC, 0, 95, 5, 2)
        await store.upsert([], [further], expected=had)
        assert [further, had[1]] == list(await store.progress(TOPIC))
        for lost in (Progress(TOPIC, 1, 11, 5, 3), Progress(TOPIC, 2, 1, 5, 3)):
            with pytest.raises(StoreLostError, match=f"{TOPIC}, partition {lost.partition}, "):
                await store.upsert([], [Progress(TOPIC, 0, 99, 5, 9)], expected=[*had, lost])
        assert [further, had[1]] == list(await store.progress(TOPIC))

    async def test_a_later_report_of_the_same_offset_is_kept(self, store: ServingStore) -> None:
        first, later = Progress(TOPIC, 0, 90, 5, 100), Progress(TOPIC, 0, 90, 5, 200)
        await store.upsert([], [later])
        await store.upsert([], [first])
        assert [later] == list(await store.progress(TOPIC))

    async def test_how_far_all_is_read_is_kept_to_the_millisecond(
        self, store: ServingStore
    ) -> None:
        reports = [
            Progress(TOPIC, 0, 90, 5, 100, read_until=99, is_at_end=True),
            Progress(TOPIC, 1, 90, NEVER, 100, read_until=-7, is_at_end=False),
            Progress(TOPIC, 2, 90, 5, 100),
        ]
        await store.upsert([], reports)
        assert reports == list(await store.progress(TOPIC))
        assert [99, NEVER, 5] == [report.fresh_until for report in reports]

    async def test_gaps_of_one_start_are_merged(self, store: ServingStore) -> None:
        await store.record_gap(Gap(TOPIC, 0, 100, 300))
        await store.record_gap(Gap(TOPIC, 0, 100, 200))
        await store.record_gap(Gap(TOPIC, 0, 100, 300))
        await store.record_gap(Gap(TOPIC, 1, 100, 150))
        await store.record_gap(Gap("weather", 0, 0, 1))
        both = [Gap(TOPIC, 0, 100, 300), Gap(TOPIC, 1, 100, 150)]
        assert both == list(await store.gaps(TOPIC))
        assert both == list((await read(store)).gaps)

    async def test_gaps_of_one_metric_are_read_with_it_alone(self, store: ServingStore) -> None:
        of_all, own = Gap(TOPIC, 0, 0, 5), Gap(METRIC, 0, 5, 9)
        for gap in (of_all, own, Gap("arrivals-000000000000", 0, 5, 9)):
            await store.record_gap(gap)
        assert [of_all, own] == list((await read(store)).gaps)
        other = await store.read("departures-000000000000", UNFOLDED, TOPIC, NOON, TWO)
        assert [of_all] == list(other.gaps)
        assert [own] == list(await store.gaps(METRIC))

    async def test_an_empty_store_answers_nothing(self, store: ServingStore) -> None:
        assert Reading({}, [], [], [], [], []) == await read(store)
        assert await store.last_run(METRIC) is None

    async def test_only_partials_that_the_head_does_not_cover_are_read(
        self, store: ServingStore
    ) -> None:
        rows = [partial(partition=p, segment=s) for p in (0, 1, 2) for s in (0, 1, 2)]
        await store.upsert(rows, [])
        await publish(store, covering(p0=2, p1=0, p2=3), b"a", b"b")
        reading = await read(store)
        shown = [(p.partition, p.segment) for p in reading.partials]
        assert [(0, 2), (1, 0), (1, 1), (1, 2)] == sorted(shown)
        assert totals(NOON, b"a", b"b") == sorted(reading.totals, key=lambda t: t.window)

    async def test_each_span_is_judged_by_its_own_head(self, store: ServingStore) -> None:
        await store.upsert([partial(NOON + MINUTE_MS), partial(ONE + MINUTE_MS)], [])
        await publish(store, covering(p0=1), b"noon")
        assert [partial(ONE + MINUTE_MS)] == list((await read(store)).partials)

    async def test_heads_of_other_metrics_hide_nothing(self, store: ServingStore) -> None:
        await store.upsert([partial()], [])
        await publish(store, covering(p0=9), b"x", metric="arrivals-000000000000")
        reading = await read(store)
        assert ([partial()], [], {}) == (
            list(reading.partials),
            list(reading.totals),
            reading.heads,
        )

    async def test_the_span_of_a_window_before_1970_is_found(self, store: ServingStore) -> None:
        span = -5 * HOUR_MS
        rows = [partial(span), partial(span + 59 * MINUTE_MS), partial(span - MINUTE_MS)]
        await store.upsert(rows, [])
        await publish(store, covering(p0=1), span=span)
        reading = await read(store, span - HOUR_MS, span + HOUR_MS)
        assert [partial(span - MINUTE_MS)] == list(reading.partials)

    async def test_what_was_not_folded_is_judged_by_the_heads_of_the_metric(
        self, store: ServingStore
    ) -> None:
        rows = [
            partial(s, metric=UNFOLDED, dims='["late"]', segment=n)
            for s in (NOON, ONE)
            for n in (0, 1)
        ]
        await store.upsert(rows, [])
        await publish(store, covering(p0=1))
        unfolded = [(p.window, p.segment) for p in (await read(store)).unfolded]
        assert [(NOON, 1), (ONE, 0), (ONE, 1)] == sorted(unfolded)

    async def test_dead_letters_at_window_0_are_not_read(self, store: ServingStore) -> None:
        dead = partial(0, metric=UNFOLDED, dims='["dead:malformed"]')
        await store.upsert([dead], [])
        assert [] == list((await read(store, 0, HOUR_MS)).unfolded)
        assert [dead] == list(await store.partials(UNFOLDED, 0, HOUR_MS))

    async def test_only_dimensions_with_the_beginning_asked_for_are_read(
        self, store: ServingStore
    ) -> None:
        texts = ["[0]", "[1,null]", "[10]", '[1,"0"]']
        run = await store.open_run(METRIC, NOON, ONE, covering(p0=1))
        rows = {NOON: [Total(NOON, dims, b"total") for dims in texts]}
        await store.write_totals(METRIC, run.number, rows)
        await store.publish(METRIC, [Flip(NOON, None, run.number, run.coverage, len(texts))])
        await store.upsert([partial(ONE, dims=dims) for dims in texts], [])
        late = partial(ONE, metric=UNFOLDED, dims='["late"]')
        await store.upsert([late], [])

        for begin, expected in (("[1,", [texts[1], texts[3]]), ("[0]", ["[0]"]), ("[2", [])):
            reading = await store.read(METRIC, UNFOLDED, TOPIC, NOON, TWO, dims=[begin])
            assert sorted(expected) == sorted(total.dims for total in reading.totals)
            assert sorted(expected) == sorted(partial.dims for partial in reading.partials)
            assert [late] == list(reading.unfolded)
            assert [NOON] == list(reading.heads)

    async def test_all_but_partials_of_other_windows_is_read_with_some_windows(
        self, store: ServingStore
    ) -> None:
        minutes = [NOON + n * MINUTE_MS for n in (0, 1, 2, 3)]
        late = partial(NOON, metric=UNFOLDED, dims='["late"]', segment=1)
        await store.upsert([late, *[partial(minute, segment=1) for minute in minutes]], [])
        await publish(store, covering(p0=1), b"x")
        every = await read(store)

        some = await store.read(
            METRIC, UNFOLDED, TOPIC, NOON, TWO, windows=(minutes[1], minutes[3])
        )

        assert minutes == [p.window for p in every.partials]
        assert {minutes[1], minutes[2]} <= {p.window for p in some.partials} <= set(minutes)
        assert (list(every.totals), list(every.unfolded)) == (
            list(some.totals), list(some.unfolded)
        )  # fmt: skip
        assert every.heads == some.heads

    @pytest.mark.parametrize("combinations", [3, 40])
    async def test_some_dimensions_of_few_or_many_are_read_whatever_is_beside_them(
        self, store: ServingStore, combinations: int
    ) -> None:
        # Names that sort before, behind and between what a text of dimensions can go on with.
        names = ["", "k", "k~", "k@1", 'k"', "k,", "\u00e9", *map(str, range(combinations))]
        texts = [dump_dims([name, number]) for name in names for number in (7, -1)]
        minutes = range(NOON, ONE, MINUTE_MS)
        stored = [*texts, tip_dims(texts[2], 0), tip_dims(texts[3], 12)]
        run = await store.open_run(METRIC, NOON, ONE, covering(p0=1))
        rows = {NOON: [Total(m, dims, dims.encode()) for m in minutes for dims in stored]}
        count = (await store.write_totals(METRIC, run.number, rows))[NOON]
        await store.publish(METRIC, [Flip(NOON, None, run.number, run.coverage, count)])
        windows = (ONE, ONE + 5 * MINUTE_MS, *range(ONE, TWO, 2 * MINUTE_MS))
        await store.upsert([partial(w, dims=dims) for w in windows for dims in texts], [])
        await store.upsert([partial(NOON, dims=texts[2], segment=0)], [])  # covered

        for begins in (
            ["["],
            ['["k",'],
            ['["k",7]'],
            ['["k",', '["\u00e9",'],
            ['["",', '["k,",-1]', '["\u00e9",'],
            ['["x"'],
            [],
        ):
            reading = await store.read(METRIC, UNFOLDED, TOPIC, NOON, TWO, dims=begins)
            wanted = tuple(begins)
            expected = [(m, t) for m in minutes for t in stored if t.startswith(wanted)]
            assert sorted(expected) == sorted((t.window, t.dims) for t in reading.totals)
            assert all(total.state == total.dims.encode() for total in reading.totals)
            expected = [(w, t) for w in set(windows) for t in texts if t.startswith(wanted)]
            assert sorted(expected) == [(p.window, p.dims) for p in reading.partials]
            none = await store.read(METRIC, UNFOLDED, TOPIC, NOON, TWO, totals=[], dims=begins)
            assert [] == list(none.totals)
            assert list(reading.partials) == list(none.partials)

    async def test_a_late_event_of_a_covered_span_is_in_the_answer(
        self, store: ServingStore
    ) -> None:
        await publish(store, covering(p0=5), b"exact")
        await store.upsert([partial(segment=5, stamp=501)], [])
        assert [partial(segment=5, stamp=501)] == list((await read(store)).partials)

    async def test_a_survey_counts_the_partials_that_a_reading_has(
        self, store: ServingStore
    ) -> None:
        huge = (1 << 63) - 1
        rows = [partial(segment=s, stamp=10 + s) for s in range(4)]
        rows += [partial(ONE, stamp=huge), partial(ONE, dims="[1]"), partial(ONE + MINUTE_MS)]
        rows += [partial(s, metric=UNFOLDED, dims='["late"]', segment=3) for s in (0, NOON, ONE)]
        await store.upsert(rows, [Progress(TOPIC, 0, 90, 5, 1)])
        await store.record_gap(Gap(TOPIC, 0, 100, 300))
        await store.record_gap(Gap(METRIC, 0, 100, 300))
        await publish(store, covering(p0=2), b"a")

        survey = await store.survey(METRIC, UNFOLDED, TOPIC, 0, TWO)
        reading = await read(store, 0, TWO)
        assert {NOON: Tally(2, 12 + 13), ONE: Tally(3, huge)} == survey.partials
        assert {NOON: Tally(1, 0), ONE: Tally(1, 0)} == survey.unfolded
        assert (reading.heads, reading.gaps, reading.progress) == (
            survey.heads,
            survey.gaps,
            survey.progress,
        )

    async def test_a_survey_sees_each_change_of_a_span(self, store: ServingStore) -> None:
        async def tally() -> object:
            found = await store.survey(METRIC, UNFOLDED, TOPIC, NOON, TWO)
            return found.partials, {span: head.version for span, head in found.heads.items()}

        async def fold(segment: int, stamp: int) -> None:
            await store.upsert([partial(segment=segment, stamp=stamp)], [])

        seen = [await tally()]
        for segment, stamp in ((5, 501), (5, 502), (6, 0)):
            await fold(segment, stamp)
            seen.append(await tally())
        await publish(store, covering(p0=6), b"a")
        seen.append(await tally())
        await publish(store, covering(p0=7), b"a")
        seen.append(await tally())
        assert len(seen) == len({repr(one) for one in seen})
        await fold(6, 0)
        await relabel(store, covering(p0=8))
        await store.clean_up(METRIC, NOON, TWO)
        assert seen[-1] == await tally()
