"""What every store drops, and what readers see meanwhile."""

import asyncio
import random

from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.store.protocol import Flip, Progress, ServingStore
from tests.store.samples import (
    METRIC,
    NOON,
    ONE,
    TOPIC,
    TWO,
    UNFOLDED,
    check_whole,
    covering,
    flip_for_a_while,
    partial,
    publish,
    read,
    rows_of,
    totals,
)


class CleanUpContract:
    """The promises of `clean_up`, and of all methods at one time."""

    async def test_clean_up_goes_one_version_behind(self, store: ServingStore) -> None:
        await store.upsert([partial(segment=n) for n in range(4)], [])
        await publish(store, covering(p0=2), b"a")
        assert 0 == await store.clean_up(METRIC, NOON, TWO)
        await publish(store, covering(p0=3), b"b")
        assert 2 == await store.clean_up(METRIC, NOON, TWO)
        assert [2, 3] == [p.segment for p in await store.partials(METRIC, NOON, TWO)]
        await store.undo(METRIC, NOON)
        assert [2, 3] == [p.segment for p in (await read(store)).partials]

    async def test_clean_up_drops_by_own_span_and_partition(self, store: ServingStore) -> None:
        rows = [partial(s + MINUTE_MS, partition=p) for s in (NOON, ONE) for p in (0, 1)]
        await store.upsert(rows, [])
        for n in (1, 2):
            await publish(store, covering(p0=n), b"%d" % n)
        assert 1 == await store.clean_up(METRIC, NOON, TWO)
        assert rows[1:] == list(await store.partials(METRIC, NOON, TWO))

    async def test_clean_up_changes_no_answer(self, store: ServingStore) -> None:
        rows = [
            partial(s, segment=n, partition=p)
            for s in (NOON, ONE)
            for n in (0, 1, 2)
            for p in (0, 1)
        ]
        await store.upsert(rows, [])
        for coverage in (covering(p0=1), covering(p0=2, p1=1), covering(p0=3, p1=1)):
            await publish(store, coverage, b"x")
        before = await read(store)
        await store.clean_up(METRIC, NOON, TWO)
        assert before == await read(store)

    async def test_clean_up_keeps_to_its_range_and_metric(self, store: ServingStore) -> None:
        other = partial(metric="arrivals-000000000000")
        await store.upsert([partial(), partial(ONE), other], [])
        for n in (1, 2):
            for span in (NOON, ONE):
                await publish(store, covering(p0=n), b"x", span=span)
        assert 1 == await store.clean_up(METRIC, ONE, TWO)
        assert [partial()] == list(await store.partials(METRIC, NOON, TWO))
        assert [other] == list(await store.partials(other.metric, NOON, TWO))

    async def test_heads_of_other_metrics_drop_nothing(self, store: ServingStore) -> None:
        await store.upsert([partial()], [])
        for n in (1, 2):
            await publish(store, covering(p0=n), b"x", metric="arrivals-000000000000")
        assert 0 == await store.clean_up(METRIC, NOON, TWO)
        assert [partial()] == list(await store.partials(METRIC, NOON, TWO))

    async def test_clean_up_of_many_spans(self, store: ServingStore) -> None:
        spans = [NOON + i * HOUR_MS for i in range(60)]
        await store.upsert([partial(span) for span in spans], [])
        for n, expected in ((1, None), (2, (1, covering(p0=1)))):
            flips = [Flip(span, expected, n, covering(p0=n), 0) for span in spans[5:]]
            await store.publish(METRIC, flips)
        assert 55 == await store.clean_up(METRIC, spans[0], spans[-1] + HOUR_MS)
        left = await store.partials(METRIC, spans[0], spans[-1] + HOUR_MS)
        assert spans[:5] == [p.window for p in left]

    async def test_what_was_not_folded_is_dropped_when_asked(self, store: ServingStore) -> None:
        late = partial(metric=UNFOLDED, dims='["late"]')
        await store.upsert([late, partial(segment=5, metric=UNFOLDED)], [])
        for n in (1, 2):
            await publish(store, covering(p0=n), b"x")
        assert 0 == await store.clean_up(METRIC, NOON, TWO)
        assert 1 == await store.clean_up(METRIC, NOON, TWO, UNFOLDED)
        assert late not in await store.partials(UNFOLDED, NOON, TWO)

    async def test_dead_letters_are_not_dropped(self, store: ServingStore) -> None:
        dead = partial(0, metric=UNFOLDED, dims='["dead:malformed"]')
        await store.upsert([dead], [])
        for n in (1, 2):
            await publish(store, covering(p0=n), span=0)
        assert 0 == await store.clean_up(METRIC, 0, HOUR_MS, UNFOLDED)
        assert [dead] == list(await store.partials(UNFOLDED, 0, HOUR_MS))

    async def test_obsolete_totals_are_dropped(self, store: ServingStore) -> None:
        versions = [await publish(store, covering(p0=n), b"x") for n in (1, 2, 3)]
        await store.clean_up(METRIC, NOON, TWO)
        assert [0, 1, 1] == [await rows_of(store, version) for version in versions]

    async def test_totals_of_an_open_run_are_kept(self, store: ServingStore) -> None:
        run = await store.open_run(METRIC, NOON, TWO, covering(p0=9))
        rows = {span: totals(span, b"new") for span in (NOON, ONE)}
        await store.write_totals(METRIC, run.number, rows)
        await publish(store, covering(p0=1), b"a")
        await store.clean_up(METRIC, NOON, TWO)
        assert 1 == await rows_of(store, run.number, ONE)
        await store.close_run(run.number)
        await store.clean_up(METRIC, NOON, TWO)
        assert 0 == await rows_of(store, run.number, ONE)

    async def test_no_reader_sees_half_a_version(self, store: ServingStore) -> None:
        writing = asyncio.create_task(flip_for_a_while(store, 40))
        seen = [0]
        while not writing.done():
            seen.append(check_whole(await read(store)))
            await asyncio.sleep(0)
        await writing
        assert sorted(seen) == seen
        assert 40 == check_whole(await read(store))

    async def test_many_writers_of_the_same_keys_agree(self, store: ServingStore) -> None:
        async def write(seed: int) -> None:
            stamps = list(range(20))
            random.Random(seed).shuffle(stamps)
            for stamp in stamps:
                rows = [partial(segment=n, stamp=stamp, state=b"%d" % stamp) for n in range(10)]
                random.Random(stamp).shuffle(rows)
                await store.upsert(rows, [Progress(TOPIC, 0, stamp, stamp, stamp)])

        await asyncio.gather(*(write(seed) for seed in range(4)))
        stored = await store.partials(METRIC, NOON, ONE)
        assert [(19, b"19")] * 10 == [(p.stamp, p.state) for p in stored]
        assert [19] == [p.next_offset for p in await store.progress(TOPIC)]
