"""What an event costs a worker, and its memory, with more events, partitions and processes.

Views of 1,000 pages, the same 100,000 again and again. As in benchmarks/worker.py, the worker has
read some when the others are sent; more than a million are sent while it works, on the same cores.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks import loads
from benchmarks.loads import Encoded, views
from benchmarks.machine import peak_mb
from benchmarks.processes import running
from benchmarks.worker import FASTDATA, PATIENCE_S, answered, work_off, worker_environment
from fastdata.store.opening import open_store

REPEATED = 100_000
FIRST = 5_000


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    events: int
    partitions: int
    processes: int


QUICK = (
    Size(300_000, 1, 1), Size(300_000, 4, 1), Size(1_000_000, 4, 1), Size(300_000, 64, 1),
    Size(300_000, 64, 2),
)  # fmt: skip
USUAL = (
    *(Size(1_000_000, partitions, 1) for partitions in (1, 4, 16, 64)),
    *(Size(1_000_000, partitions, 2) for partitions in (4, 16, 64)),
    Size(10_000_000, 4, 1), Size(10_000_000, 64, 2),
)  # fmt: skip
LARGE = (Size(100_000_000, 16, 2),)


async def joined(client: dict[str, Any], group: str, processes: int) -> None:
    """Wait until each process has its share of the partitions."""
    admin = AdminClient({**client, "log_level": 4})
    while True:
        with suppress(KafkaException):  # nobody coordinates the group before it is asked for
            described = admin.describe_consumer_groups([group])[group].result(30)
            is_stable = described.state == ConsumerGroupState.STABLE
            if is_stable and len(described.members) >= processes:
                return
        await asyncio.sleep(0.2)


async def worked_off(client: dict[str, Any], folder: Path, size: Size) -> dict[str, Any]:
    """One row."""
    topic = f"bench-growth-{time.time_ns()}"
    metric = views(1_000).declare(folder, topic)
    encoded = Encoded(views(1_000), metric, REPEATED)
    messages, times = encoded.messages[:REPEATED], max(1, size.events // REPEATED)
    total, first = times * REPEATED, FIRST
    others = itertools.islice(
        itertools.chain.from_iterable(itertools.repeat(messages, times)), first, None
    )
    loads.create(client, topic, size.partitions)
    loads.send(client, topic, messages[:first])
    environment = worker_environment(client, folder, topic)
    words = (*FASTDATA, "worker", "--processes", str(size.processes))
    async with open_store(environment["FASTDATA_STORE"]) as store:
        with running(words, folder, environment) as process:
            await asyncio.wait_for(joined(client, topic, size.processes), PATIENCE_S)
            send = partial(loads.send, client, topic, others)
            cpu, wall = await work_off(process, store, topic, first, total, send)
            peak = peak_mb(process.pid)
        counts = await answered(store, metric, encoded.counts)
    right = {cell: count * times for cell, count in encoded.counts.items()}
    return {
        "events": total,
        "partitions": size.partitions,
        "processes": size.processes,
        "us_cpu": round(cpu / (total - first) * 1e6, 2),
        "events_per_s": round((total - first) / wall),
        "peak_mb": round(peak),
        "wrong": 0 if counts == right else abs(total - sum(counts.values())) or 1,
    }


async def measure(client: dict[str, Any], folder: Path, sizes: tuple[Size, ...]) -> list[Any]:
    """One row for each size."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            rows.append(await worked_off(client, Path(made), size))
        print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    return rows
