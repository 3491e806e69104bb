"""How long a query merges: a year of flights, 300,000 rows of five measures each.

python benchmarks/query.py [rows]
"""

import asyncio
import random
import sys
import time

import fastdata
from fastdata.answer.query import query
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, floor_to, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Partial, Progress, Total

YEAR_MINUTES = 365 * 24 * 60


def cells(metric: Metric, rows: int, exact: bool) -> dict[tuple[int, str], bytes]:
    """States of `rows` combinations of a minute of 2013, an origin and a carrier."""
    rng, start = random.Random(1), parse_instant("2013-01-01")
    found: dict[tuple[int, str], bytes] = {}
    while len(found) < rows:
        states = metric.zero(exact)
        for _ in range(rng.choice((1, 1, 1, 2))):
            fields = {
                "distance": rng.randrange(80, 5_000),
                "dep_delay": rng.choice((None, rng.randrange(-20, 300))),
                "tailnum": f"N{rng.randrange(4_043)}",
                "origin": None,
                "carrier": None,
            }
            metric.add(states, fields)
        dims = dump_dims([rng.choice(("EWR", "JFK", "LGA")), f"C{rng.randrange(16)}"])
        window = start + rng.randrange(YEAR_MINUTES) * MINUTE_MS
        found[window, dims] = metric.dump(states)
    return found


async def fill(store: MemoryStore, metric: Metric, rows: int) -> None:
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


async def main(rows: int) -> None:
    """Print one line a query."""
    metric = fastdata.load("agents/flights.py").departures
    store = MemoryStore()
    await fill(store, metric, rows)
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
        began = time.perf_counter()
        table = await query(
            metric, "2013-01-01", "2014-01-01", every=every, rolling=rolling, by=by, store=store
        )
        took = time.perf_counter() - began
        what = f"every {every}" + (f" rolling {rolling}" if rolling else "")
        print(f"{what:21} by {by}: {table.num_rows:7,} rows in {took:5.2f} s")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 300_000))
