"""How fast a Cassandra store writes, and what a query of one day of minutes reads.

    python benchmarks/cassandra_store.py 'cassandra://127.0.0.1:9042/bench?replication=1' --keys 50

It writes a day of minutes of some keys into the keyspace: first as partials, as the speed layer
does, then as totals that cover them, as a replay does.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import fastdata
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, floor_to
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Progress, Reading, ServingStore, Total

FLUSH = 20_000
_T = TypeVar("_T")


def sample_state(events: int) -> bytes:
    """The stored bytes of five measures of some events, one of them a distinct count."""
    metric: Metric = fastdata.load("agents/flights.py").departures
    states = metric.zero()
    for n in range(events):
        fields = {"origin": None, "carrier": None, "distance": n, "dep_delay": n}
        metric.add(states, fields | {"tailnum": f"N{n}"})
    return metric.dump(states)


async def timed(call: Callable[[], Awaitable[_T]]) -> tuple[_T, float]:
    """The result of a call, and its seconds."""
    started = time.perf_counter()
    return await call(), time.perf_counter() - started


async def write_partials(store: ServingStore, day: int, keys: int, state: bytes) -> float:
    """Seconds to upsert a day in flushes of a worker's size."""
    partials = [
        Partial("bench", day + minute * MINUTE_MS, dump_dims([f"key {k}"]), k % 6, 0, 9, state)
        for minute in range(DAY_MS // MINUTE_MS)
        for k in range(keys)
    ]
    seconds = 0.0
    for first in range(0, len(partials), FLUSH):
        some = partials[first : first + FLUSH]
        progress = [Progress("bench", 0, first, day, day)]
        seconds += (await timed(lambda p=some, r=progress: store.upsert(p, r)))[1]
    return seconds


async def write_totals(store: ServingStore, day: int, keys: int, state: bytes) -> float:
    """Seconds to write and publish a day, hour by hour."""
    coverage = Coverage(dict.fromkeys(range(6), 1))
    run = await store.open_run("bench", day, day + DAY_MS, coverage)
    heads = await store.heads("bench", day, day + DAY_MS)
    started = time.perf_counter()
    for span in range(day, day + DAY_MS, HOUR_MS):
        minutes = range(span, span + HOUR_MS, MINUTE_MS)
        totals = [Total(m, dump_dims([f"key {k}"]), state) for m in minutes for k in range(keys)]
        rows = await store.write_totals("bench", run.number, {span: totals})
        head = heads.get(span)
        expected = (head.version, head.coverage) if head else None
        flip = Flip(span, expected, run.number, coverage, rows[span])
        await store.publish("bench", [flip])
    await store.close_run(run.number)
    return time.perf_counter() - started


async def read_day(store: ServingStore, day: int, times: int = 20) -> tuple[Reading, list[float]]:
    """A reading of the day, and the milliseconds that each of some took."""
    took = []
    for _ in range(times):
        reading, seconds = await timed(
            lambda: store.read("bench", "unfolded", "bench", day, day + DAY_MS)
        )
        took.append(seconds * 1_000)
    return reading, took


def show(what: str, reading: Reading, took: list[float]) -> None:
    """One line about a reading."""
    rows = [*reading.totals, *reading.partials]
    size = sum(len(row.state) + len(row.dims) for row in rows)
    print(
        f"read of a day, {what}: {len(rows):,} rows, {size / 1e6:.2f} MB, median"
        f" {statistics.median(took):.0f} ms, slowest of {len(took)} {max(took):.0f} ms"
    )


async def measure(url: str, keys: int, events: int) -> None:
    """Write and read, and print how long it took."""
    state = sample_state(events)
    day = floor_to(time.time_ns() // 1_000_000, DAY_MS)
    rows = DAY_MS // MINUTE_MS * keys
    async with open_store(url) as store:
        seconds = await write_partials(store, day, keys, state)
        print(f"state of {len(state)} bytes; upsert: {rows / seconds:,.0f} rows/s")
        show("partials alone", *await read_day(store, day))
        seconds = await write_totals(store, day, keys, state)
        print(f"write_totals and publish: {rows / seconds:,.0f} rows/s")
        show("covered by totals", *await read_day(store, day))
        _, seconds = await timed(lambda: store.clean_up("bench", day, day + DAY_MS))
        print(f"clean-up: {seconds:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--keys", type=int, default=10)
    parser.add_argument("--events", type=int, default=20, help="in each cell")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.url, arguments.keys, arguments.events))
