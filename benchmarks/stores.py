"""How fast serving stores write and read, side by side.

python benchmarks/stores.py [--rows 100000] [--bytes 400] [--rounds 3] URL URL ...

Each URL is of a new store that may be filled. Every round does the same on every store in turn,
with a metric of its own; the best of the rounds is shown, since other work can only slow it down.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace

from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, floor_to, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.errors import mask_url
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Progress, ServingStore, Total

DAY = parse_instant("2013-01-01")
FLUSH, READS = 5_000, 20
Figures = dict[str, float]


def partials_of(metric: str, rows: int, size: int) -> list[Partial]:
    """Of the minutes of a day, in any order, as cells become dirty."""
    rng = random.Random(1)
    minutes = rng.choices(range(DAY_MS // MINUTE_MS), k=rows)
    return [
        Partial(metric, DAY + m * MINUTE_MS, f'["{n}"]', 0, 3, n, rng.randbytes(size))
        for n, m in enumerate(minutes)
    ]


def totals_of(rows: int, size: int) -> dict[int, list[Total]]:
    """By span: one a minute for a year from `DAY` on, as far as the rows go."""
    rng = random.Random(2)
    spans: dict[int, list[Total]] = {}
    for window in range(DAY, DAY + rows * MINUTE_MS, MINUTE_MS):
        total = Total(window, '["EWR"]', rng.randbytes(size))
        spans.setdefault(floor_to(window, HOUR_MS), []).append(total)
    return spans


async def seconds(work: Awaitable[object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def upsert(store: ServingStore, partials: Sequence[Partial]) -> None:
    """Flush after flush, as a worker does."""
    for first in range(0, len(partials), FLUSH):
        progress = [Progress("flights", 0, first, DAY, DAY)]
        await store.upsert(partials[first : first + FLUSH], progress)


async def publish(store: ServingStore, metric: str, spans: Mapping[int, Sequence[Total]]) -> float:
    """Write totals as a replay does, and publish them; how many seconds the writes took."""
    run = await store.open_run(metric, min(spans), max(spans) + HOUR_MS, Coverage({0: 4}))
    began = time.perf_counter()
    held = await store.write_totals(metric, run.number, spans)
    took = time.perf_counter() - began
    flips = [Flip(span, None, run.number, run.coverage, rows) for span, rows in held.items()]
    for first in range(0, len(flips), 500):
        await store.publish(metric, flips[first : first + 500])
    await store.close_run(run.number)
    return took


async def measure(store: ServingStore, metric: str, rows: int, size: int) -> Figures:
    """All figures of one round."""
    partials, spans = partials_of(metric, rows, size), totals_of(rows, size)
    newer = [replace(p, stamp=p.stamp + rows) for p in partials]
    figures = {
        "upsert new, rows/s": rows / await seconds(upsert(store, partials)),
        "upsert again, rows/s": rows / await seconds(upsert(store, newer)),
    }
    small = partials[:10]
    figures["upsert of 10 rows, ms"] = 1_000 * min(
        [await seconds(store.upsert(small, [])) for _ in range(READS)]
    )
    figures["write_totals, rows/s"] = rows / await publish(store, metric, spans)
    for name, span in (("day", DAY_MS), ("hour", HOUR_MS)):
        start = DAY + 30 * DAY_MS
        read = [
            await seconds(store.read(metric, "unfolded", "flights", start, start + span))
            for _ in range(READS)
        ]
        figures[f"read a {name} of minutes, ms"] = 1_000 * min(read)
    # A version more, so that what the one before it covers may go.
    heads = (await store.heads(metric, DAY, DAY + DAY_MS)).values()
    more = Coverage({0: 5})
    flips = [Flip(h.span, (h.version, h.coverage), h.version, more, None) for h in heads]
    await store.publish(metric, flips)
    cleaning = seconds(store.clean_up(metric, DAY, DAY + DAY_MS))
    figures["clean_up, partials/s"] = rows / await cleaning
    return figures


async def main(urls: Sequence[str], rows: int, size: int, rounds: int) -> None:
    """Print a line a figure, a column a store."""
    best: dict[str, dict[str, float]] = {}
    for number in range(rounds):
        for url in urls:
            async with open_store(url) as store:
                figures = await measure(store, f"metric-{number}", rows, size)
            for name, figure in figures.items():
                better = min if name.endswith("ms") else max
                known = best.setdefault(name, {})
                known[url] = better(figure, known.get(url, figure))
    print(f"{rows:,} rows of {size} bytes", *(mask_url(url)[:26] for url in urls), sep="\t")
    for name, by_url in best.items():
        print(f"{name:32}", *(f"{by_url[url]:16,.1f}" for url in urls))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(main(given.urls, given.rows, given.bytes, given.rounds))
