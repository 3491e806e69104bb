"""What the contract of the stores puts into them, and looks at."""

import pytest

from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import SpanConflictError
from fastdata.store.protocol import (
    Flip,
    Head,
    Partial,
    Reading,
    ServingStore,
    Total,
)

NOON = 1_356_998_400_000 + 12 * HOUR_MS  # 2013-01-01T12:00Z
ONE, TWO = NOON + HOUR_MS, NOON + 2 * HOUR_MS
METRIC, UNFOLDED, TOPIC = "departures-1f3a9c0b2d4e", "unfolded-77aa0c1b2d3e", "flights"


def partial(
    window: int = NOON,
    *,
    segment: int = 0,
    stamp: int = 0,
    state: bytes = b"state",
    dims: str = '["EWR"]',
    partition: int = 0,
    metric: str = METRIC,
) -> Partial:
    return Partial(metric, window, dims, partition, segment, stamp, state)


def totals(span: int, *states: bytes) -> list[Total]:
    return [Total(span + i * MINUTE_MS, '["EWR"]', state) for i, state in enumerate(states)]


def covering(**segments: int) -> Coverage:
    """`covering(p0=3, p1=1)`."""
    return Coverage({int(name[1:]): segment for name, segment in segments.items()})


async def read(store: ServingStore, start: int = NOON, end: int = TWO) -> Reading:
    return await store.read(METRIC, UNFOLDED, TOPIC, start, end)


async def publish(
    store: ServingStore,
    coverage: Coverage,
    *states: bytes,
    span: int = NOON,
    metric: str = METRIC,
    close: bool = True,
) -> int:
    """A whole run of batch over one span, on whatever head there is; its version."""
    run = await store.open_run(metric, span, span + HOUR_MS, coverage)
    head = (await store.heads(metric, span, span + HOUR_MS)).get(span)
    rows = await store.write_totals(metric, run.number, {span: totals(span, *states)})
    expected = (head.version, head.coverage) if head else None
    await store.publish(metric, [Flip(span, expected, run.number, coverage, rows[span])])
    if close:
        await store.close_run(run.number)
    return run.number


async def relabel(store: ServingStore, coverage: Coverage, span: int = NOON) -> None:
    head = (await store.heads(METRIC, span, span + HOUR_MS))[span]
    flip = Flip(span, (head.version, head.coverage), head.version, coverage, None)
    await store.publish(METRIC, [flip])


async def flip_for_a_while(store: ServingStore, rounds: int) -> None:
    """Fold a segment, count the ones before it exactly, drop what the last version has; again."""
    heads: dict[int, Head] = {}
    for segment in range(1, rounds + 1):
        await store.upsert([partial(s, segment=segment, stamp=segment) for s in (NOON, ONE)], [])
        run = await store.open_run(METRIC, NOON, TWO, covering(p0=segment))
        flips = []
        states = [b"%d" % segment] * (3 + segment % 4)
        rows = {span: totals(span, *states) for span in (NOON, ONE)}
        for span, held in (await store.write_totals(METRIC, run.number, rows)).items():
            expected = (heads[span].version, heads[span].coverage) if heads else None
            flips.append(Flip(span, expected, run.number, run.coverage, held))
        await store.publish(METRIC, flips)
        await store.close_run(run.number)
        heads = await store.heads(METRIC, NOON, TWO)
        await store.clean_up(METRIC, NOON, TWO)


def check_whole(reading: Reading) -> int:
    """One version of both spans, all of its rows, and all partials after it; its segment."""
    if not reading.heads:
        assert len(reading.totals) == 0
        return 0
    (segment,) = {head.coverage.get(0) for head in reading.heads.values()}
    assert len(reading.heads) == 2
    assert {b"%d" % segment} == {total.state for total in reading.totals}
    assert 2 * (3 + segment % 4) == len(reading.totals)
    for span in (NOON, ONE):
        seen = [p.segment for p in reading.partials if p.window == span]
        assert list(range(segment, segment + len(seen))) == seen
        assert seen
    return segment


async def rows_of(store: ServingStore, version: int, span: int = NOON) -> int:
    """How many totals a version has, found by asking to publish an impossible number of them."""
    head = (await store.heads(METRIC, span, span + HOUR_MS)).get(span)
    expected = (head.version, head.coverage) if head else None
    flip = Flip(span, expected, version, covering(p99=99), 1 << 40)
    with pytest.raises(SpanConflictError, match=r"holds \d+") as caught:
        await store.publish(METRIC, [flip])
    return int(str(caught.value).split("holds ")[1].split(":")[0])
