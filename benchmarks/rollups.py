"""What rolling up costs, and what it saves: exact users of a day and of 30 days.

python benchmarks/rollups.py [users a day]

A million users, of whom so many come each day, at any minute, for 30 days. Each step is a process
of its own, so that its peak of memory is its own, too.
"""

import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from fastdata import Metric, Source, Uniques
from fastdata.answer.query import query
from fastdata.archive import ObjectEntry, open_archive_storage
from fastdata.batch.plan import Contents
from fastdata.batch.rollups.roll_up import roll_up
from fastdata.batch.rollups.storage import KeptStates
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Progress, ServingStore, Total

START, DAYS, USERS = parse_instant("2024-05-01"), 30, 1_000_000
END = START + DAYS * DAY_MS
SCHEMA = {
    "type": "record",
    "name": "Visit",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "user", "type": "long"},
    ],
}


def declare(folder: Path, *rollups: str) -> Metric:
    """The metric, without dimensions."""
    (folder / "visit.avsc").write_text(json.dumps(SCHEMA))
    source = Source("visits", topic="visits", schema=str(folder / "visit.avsc"), time="at")
    return Metric("users", source, measures={"users": Uniques("user")}, rollups=rollups)


def open_serving(folder: Path) -> ServingStore:
    """A file of SQLite."""
    return open_store(f"sqlite:///{folder / 'store.db'}")


def contents_of(metric: Metric) -> Contents:
    """An archive that has an object for each hour."""
    size = metric.source.segment_size
    objects = [
        ObjectEntry("", 0, n * size, n * size + 1, 1, 0, "", 1, str(n), {START + n * HOUR_MS: 1}, 0)
        for n in range(DAYS * 24)
    ]
    return Contents.of(Coverage({0: len(objects)}), objects, size)


async def fill(folder: Path, a_day: int) -> None:
    """What a replay leaves: totals of minutes, and whole states of hours."""
    rng, metric = random.Random(1), declare(folder, "day")
    contents = contents_of(metric)
    hours = KeptStates(open_archive_storage(str(folder / "archive")), metric, "hours")
    async with open_serving(folder) as store:
        for day in range(START, END, DAY_MS):
            users = rng.sample(range(USERS), a_day)
            for n in range(24):
                start, own = day + n * HOUR_MS, users[n::24]
                totals = [
                    Total(start + m * MINUTE_MS, "[]", metric.dump([set(own[m::60])]))
                    for m in range(60)
                ]
                await store.write_totals(metric.id, 1, {start: totals})
                flip = Flip(start, None, 1, contents.coverage, len(totals))
                await store.publish(metric.id, [flip])
                key = contents.hour_key(start, contents.coverage)
                await hours.write(start, str(key), [(day, "[]", metric.dump_whole([set(own)]))])
        await store.upsert([], [Progress("visits", 0, 1 << 40, END, END)])


async def merge(folder: Path, _: int) -> str:
    """Roll up all that is not ready."""
    metric = declare(folder, "day", "30d")
    storage = open_archive_storage(str(folder / "archive"))
    async with open_serving(folder) as store:
        contents = contents_of(metric)
        windows, _ = await roll_up(
            metric, START, END, store=store, storage=storage, contents=contents
        )
    return f"{windows} windows"


async def move(folder: Path, _: int) -> None:
    """Count an hour of 20 days ago again."""
    metric, span = declare(folder), END - 20 * DAY_MS
    async with open_serving(folder) as store:
        head = (await store.heads(metric.id, span, span + 1))[span]
        written = await store.write_totals(metric.id, 2, {span: []})
        expected = head.version, head.coverage
        await store.publish(metric.id, [Flip(span, expected, 2, head.coverage, written[span])])


async def ask(folder: Path, *rollups: str) -> str:
    """The users of the last 30 days, and how long they took alone."""
    metric = declare(folder, *rollups)
    async with open_serving(folder) as store:
        await query(metric, "2000-01-01", "2000-01-02", store=store)  # imports all that is needed
        began = time.process_time()
        table = await query(metric, "2024-05-30", every="day", rolling="30d", store=store)
        took = time.process_time() - began
    return f"{table['users'][0]} users, exact: {table['exact'][0]}, {took:.3f} s of a processor"


async def ask_ready(folder: Path, _: int) -> str:
    """With the window that is ready."""
    return await ask(folder, "30d")


async def ask_hours(folder: Path, _: int) -> str:
    """By merging the totals of minutes."""
    return await ask(folder)


def measured(
    step: Callable[[Path, int], Coroutine[None, None, str | None]], folder: Path, a_day: int
) -> str:
    """What a step says, its seconds, of which how many of a processor, and its peak of memory."""
    began, worked = time.perf_counter(), time.process_time()
    said = asyncio.run(step(folder, a_day))
    took, worked = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return f"{took:7.2f} s ({worked:6.2f} s), {peak:5,} MiB: {said or ''}"


def main(a_day: int) -> None:
    """Print a line for each step."""
    with tempfile.TemporaryDirectory() as name:
        steps = {
            "fill": fill, "roll up 30 days": merge, "query 30d, ready": ask_ready,
            "query 30d, of hours": ask_hours, "nothing to do": merge,
            "count an hour again": move, "roll up 20 days later": merge,
        }  # fmt: skip
        for title, step in steps.items():
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                print(f"{title:22}", pool.submit(measured, step, Path(name), a_day).result())


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 200_000)
