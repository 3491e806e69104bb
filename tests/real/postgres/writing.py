"""What the processes of these tests do with a store."""

import asyncio
import random

from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import SpanConflictError
from fastdata.store.protocol import Flip, Partial, Progress, ServingStore
from tests.store.samples import METRIC, NOON, TOPIC, partial, totals

SPANS = [NOON + i * HOUR_MS for i in range(40)]
KEYS = 150


def batches(seed: int) -> list[list[Partial]]:
    """What one writer writes: any of the keys, in any order, with any stamps."""
    rng = random.Random(seed)
    return [
        [
            partial(segment=n, stamp=(stamp := rng.randrange(1 << 40)), state=b"%d" % stamp)
            for n in rng.choices(range(KEYS), k=100)
        ]
        for _ in range(60)
    ]


async def meet(store: ServingStore, number: int, count: int) -> None:
    """Wait until all processes are here."""
    await store.upsert([], [Progress("here", number, 1, 1, 1)])
    while len(await store.progress("here")) < count:  # noqa: ASYNC110 - other processes
        await asyncio.sleep(0.005)


async def write(store: ServingStore, number: int, count: int) -> None:
    await meet(store, number, count)
    for n, rows in enumerate(batches(number)):
        await store.upsert(rows, [Progress(TOPIC, 0, n, n, n)])


async def open_run(store: ServingStore) -> int:
    return (await store.open_run(METRIC, NOON, NOON + HOUR_MS, Coverage())).number


async def backfill(store: ServingStore, number: int) -> list[int]:
    """Publish all spans, in some order; the number of the run, and the spans that were won."""
    run = await store.open_run(METRIC, SPANS[0], SPANS[-1] + HOUR_MS, Coverage({0: 1}))
    rows = {span: totals(span, *[b"%d" % run.number] * (3 + number)) for span in SPANS}
    held = await store.write_totals(METRIC, run.number, rows)
    await meet(store, number, 2)
    won = [run.number]
    for span in random.Random(number).sample(SPANS, len(SPANS)):
        flip = Flip(span, None, run.number, run.coverage, held[span])
        try:
            await store.publish(METRIC, [flip])
        except SpanConflictError:
            continue
        won.append(span)
    return won


async def resume(store: ServingStore, number: int) -> None:
    """Write and publish all spans under the version that the other process uses, too."""
    await meet(store, number, 2)
    for span in SPANS:
        states = [b"%d" % number] * (3 + number)
        try:
            held = await store.write_totals(METRIC, 7, {span: totals(span, *states)})
            await store.publish(METRIC, [Flip(span, None, 7, Coverage({0: 1}), held[span])])
        except SpanConflictError:
            continue
