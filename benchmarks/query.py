"""What a query costs a process that is running: milliseconds of CPU, and how long one waits for it.

python benchmarks/query.py [--store URL] [--keys 10000] [--queries 30] [--json] [--year ROWS]

Thirty days of minutes in a store (a SQLite file that is gone afterwards, unless one is named), of
which batch has not covered the last four hours: these are partials of 16 partitions. Three queries
are asked of some metrics: of small states and of a sketch beside them, alone, beside rows by KEYS
keys in another grouping set (each once an hour of the last day; two more queries are about one of
them, and the 20 with the most flights), and with days that are kept ready.
A store that was filled before is asked as it is, so that two versions of fastdata can be compared
on the same rows. With --year, queries over a year of ROWS rows in memory come after that.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

import fastdata
from fastdata import Count, Metric, Sum, Uniques
from fastdata.answer.query import query
from fastdata.batch.hours import hour_totals
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, floor_to, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Measure
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Progress, ServingStore, Total
from fastdata.store.rollups import DAY, Marks, rollup_id, span_of_window

YEAR_MINUTES = 365 * 24 * 60
PARTITIONS, SEGMENT = 16, 40
FIRST = parse_instant("2013-01-01")
END = FIRST + 30 * DAY_MS
COVERED = END - 4 * HOUR_MS
# The start of a question, and the other arguments of `query`.
Shape = tuple[str, dict[str, Any]]
SHAPES: dict[str, Shape] = {
    "last hour by minute": ("2013-01-30T23:00", {"every": "1m"}),
    "a day by minute": ("2013-01-30", {"every": "1m"}),
    "30 days by day": ("2013-01-01", {"every": "day"}),
}
TOP: dict[str, Any] = {"every": "all", "by": "tailnum", "order": "flights desc", "limit": 20}
OF_KEYS: dict[str, Shape] = {
    "a day of one key": ("2013-01-30", {"every": "1m", "where": "tailnum = 'N7'"}),
    "top 20 keys of a day": ("2013-01-30", TOP),
}


def metrics(keys: int) -> dict[str, Metric]:
    """Of small states and with a sketch, alone, with rows by key beside them, and with days."""
    departures = fastdata.load("agents/flights.py").departures
    small: dict[str, Measure] = {"flights": Count(), "distance": Sum("distance")}
    made = {"counts": Metric("counts", departures.source, measures=small)}
    sketched = small | {"aircraft": Uniques("tailnum")}
    made["sketches"] = Metric("sketches", departures.source, measures=sketched)
    if keys:
        for name, measures in (("counts", small), ("sketches", sketched)):
            made[f"{name}, {keys:,} keys"] = Metric(
                f"keyed_{name}",
                departures.source,
                by=["tailnum"],
                measures=measures,
                grouping_sets=[[], ["tailnum"]],
            )
    for name, measures in (("counts", small), ("sketches", sketched)):
        made[f"{name}, ready days"] = Metric(
            f"ready_{name}", departures.source, measures=measures, rollups=["day"]
        )
    return made


def drawn(rng: random.Random) -> dict[str, object]:
    """The fields of a flight."""
    return {
        "distance": rng.randrange(80, 5_000),
        "dep_delay": rng.choice((None, rng.randrange(-20, 300))),
        "tailnum": f"N{rng.randrange(4_043)}",
        "origin": None,
        "carrier": None,
    }


def states(metric: Metric, rng: random.Random, events: int, exact: bool) -> bytes:
    """The stored states of some events."""
    folded = metric.zero(exact)
    for _ in range(events):
        metric.add(folded, drawn(rng))
    return metric.dump(folded)


def totals_of(metric: Metric, keys: int) -> Iterator[tuple[int, list[Total]]]:
    """By covered hour: a total of each minute, and of each key one in the last day."""
    rng, of_all = random.Random(1), "[0]" if metric.by else "[]"
    some = [states(metric, rng, 20, exact=True) for _ in range(200)]
    for hour in range(FIRST, COVERED, HOUR_MS):
        minutes = range(hour, hour + HOUR_MS, MINUTE_MS)
        rows = [Total(minute, of_all, rng.choice(some)) for minute in minutes]
        if metric.by and hour >= END - DAY_MS:
            rows += [
                Total(rng.choice(minutes), dump_dims([1, f"N{key}"]), rng.choice(some))
                for key in range(keys)
            ]
        yield hour, rows


def partials_of(metric: Metric, keys: int) -> Iterator[Partial]:
    """Of the hours that are not covered: a partial of each minute and partition."""
    rng, of_all = random.Random(2), "[0]" if metric.by else "[]"
    some = [states(metric, rng, 2, exact=False) for _ in range(200)]
    offset = SEGMENT * metric.source.segment_size
    for hour in range(COVERED, END, HOUR_MS):
        for minute in range(hour, hour + HOUR_MS, MINUTE_MS):
            for p in range(PARTITIONS):
                offset += 1
                yield Partial(metric.id, minute, of_all, p, SEGMENT, offset, rng.choice(some))
        for key in range(keys if metric.by else 0):
            offset, minute = offset + 1, hour + rng.randrange(60) * MINUTE_MS
            dims = dump_dims([1, f"N{key}"])
            p = key % PARTITIONS
            yield Partial(metric.id, minute, dims, p, SEGMENT, offset, rng.choice(some))


async def fill(store: ServingStore, metric: Metric, keys: int) -> None:
    """Write thirty days, unless the store has them."""
    if await store.has_partials(metric.id):
        return
    coverage = Coverage(dict.fromkeys(range(PARTITIONS), SEGMENT))
    run = await store.open_run(metric.id, FIRST, COVERED, coverage)
    spans = dict(totals_of(metric, keys))
    hours = {span: hour_totals(metric, span, totals) for span, totals in spans.items()}
    held = await store.write_totals(metric.id, run.number, spans, hours=hours)
    flips = [Flip(span, None, run.number, coverage, rows) for span, rows in held.items()]
    await store.publish(metric.id, flips)
    if metric.rollups:
        await keep_days(store, metric, spans)
    offset = (SEGMENT + 1) * metric.source.segment_size
    progress = [
        Progress(metric.source.topic, p, offset, END, END, END, is_at_end=True)
        for p in range(PARTITIONS)
    ]
    await store.upsert(list(partials_of(metric, keys)), progress)


async def keep_days(store: ServingStore, metric: Metric, spans: dict[int, list[Total]]) -> None:
    """Merge the hours to ready windows, as a replay does."""
    marks = Marks(await store.heads(metric.id, FIRST, END))
    id, coverage = rollup_id(metric.id, DAY, "UTC"), Coverage()
    for day in range(FIRST, END, DAY_MS):
        merged = metric.zero(exact=True)
        for total in (t for h in range(day, day + DAY_MS, HOUR_MS) for t in spans.get(h, ())):
            metric.merge(merged, metric.load(total.state))
        span, mark = span_of_window(day + DAY_MS), marks.of(day, day + DAY_MS)
        if mark is not None:
            ready = Total(day, "[]", metric.dump(merged))
            await store.write_totals(id, mark, {span: [ready]})
            await store.publish(id, [Flip(span, None, mark, coverage, 1)])


async def timed(ask: Callable[[], Awaitable[pa.Table]], queries: int) -> dict[str, float]:
    """Milliseconds of a query, of CPU and of the clock; the first ones are not counted."""
    cpu, waited = [], []
    for number in range(queries + 2):
        began, at = time.process_time(), time.perf_counter()
        table = await ask()
        if number >= 2:
            cpu.append(1_000 * (time.process_time() - began))
            waited.append(1_000 * (time.perf_counter() - at))
    p99 = sorted(waited)[min(queries - 1, queries * 99 // 100)]
    return {
        "rows": table.num_rows,
        "cpu_ms": statistics.median(cpu),
        "p50_ms": statistics.median(waited),
        "p99_ms": p99,
    }


async def ask_all(
    store: ServingStore, keys: int, queries: int
) -> AsyncIterator[dict[str, str | float]]:
    """A row for each metric and shape of a query; `queries` is how often each is asked."""
    for name, metric in metrics(keys).items():
        await fill(store, metric, keys)
        shapes = SHAPES | (OF_KEYS if metric.by else {})
        for shape, (start, arguments) in shapes.items():
            ask = partial(query, metric, start, "2013-01-31", store=store, **arguments)
            yield {"metric": name, "query": shape, **await timed(ask, queries)}


def shown(row: dict[str, str | float]) -> str:
    """One line of text."""
    return (
        f"{row['metric']:22} {row['query']:20} {row['rows']:5,} rows "
        f"{row['cpu_ms']:8.1f} ms of CPU, p50 {row['p50_ms']:8.1f} ms, p99 {row['p99_ms']:8.1f} ms"
    )


def cells(metric: Metric, rows: int, exact: bool) -> dict[tuple[int, str], bytes]:
    """States of `rows` combinations of a minute of 2013, an origin and a carrier."""
    rng = random.Random(1)
    found: dict[tuple[int, str], bytes] = {}
    while len(found) < rows:
        folded = states(metric, rng, rng.choice((1, 1, 1, 2)), exact)
        dims = dump_dims([rng.choice(("EWR", "JFK", "LGA")), f"C{rng.randrange(16)}"])
        found[FIRST + rng.randrange(YEAR_MINUTES) * MINUTE_MS, dims] = folded
    return found


async def fill_year(store: MemoryStore, metric: Metric, rows: int) -> None:
    """Nine in ten rows from batch, the rest from the speed layer."""
    spans: dict[int, list[Total]] = {}
    for (window, dims), state in cells(metric, rows * 9 // 10, exact=True).items():
        spans.setdefault(floor_to(window, HOUR_MS), []).append(Total(window, dims, state))
    await store.write_totals(metric.id, 1, spans)
    flips = [Flip(s, None, 1, Coverage({0: 40}), len(t)) for s, t in spans.items()]
    await store.publish(metric.id, flips)
    partials = [
        Partial(metric.id, window, dims, 0, 40, 400_001, state)
        for (window, dims), state in cells(metric, rows // 10, exact=False).items()
    ]
    latest = parse_instant("2014-01-01")
    await store.upsert(partials, [Progress("flights", 0, 400_002, latest, latest)])


async def ask_year(rows: int) -> None:
    """Print one line a query over a year of minutes of five measures."""
    metric = fastdata.load("agents/flights.py").departures
    store = MemoryStore()
    await fill_year(store, metric, rows)
    every_one = list(metric.by)
    for every, rolling, by in (
        ("all", None, []),
        ("month", None, []),
        ("day", None, ["origin"]),
        ("day", "30d", []),
        ("day", "30d", every_one),
        ("1d", None, ["origin"]),
        ("1h", None, every_one),
        ("1m", None, []),
    ):
        began = time.process_time()
        table = await query(
            metric, "2013-01-01", "2014-01-01", every=every, rolling=rolling, by=by, store=store
        )
        took = time.process_time() - began
        what = f"every {every}" + (f" rolling {rolling}" if rolling else "")
        print(f"{what:21} by {by}: {table.num_rows:7,} rows in {took:5.2f} s of CPU")


async def main(asked: argparse.Namespace) -> None:
    """Fill a store and ask."""
    with tempfile.TemporaryDirectory() as folder:
        url = asked.store or f"sqlite:///{Path(folder) / 'queries.db'}"
        async with open_store(url) as store:
            async for row in ask_all(store, asked.keys, asked.queries):
                print(json.dumps(row) if asked.json else shown(row), flush=True)
    if asked.year:
        await ask_year(asked.year)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--store", help="URL of the store")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each query")
    parser.add_argument("--year", type=int, default=0, metavar="ROWS")
    asyncio.run(main(parser.parse_args()))
