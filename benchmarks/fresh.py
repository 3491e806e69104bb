"""How long it takes from sending an event until a query counts it, at shares of the capacity.

A worker first works off what lies in the topic: events a second of that is its capacity on this
machine, beside the broker. Then a process sends at 10, 50 and 90 % of it, and queries ask for the
count of all that was sent, 20 ms after each other. The k-th event is answered when a query counts
k of them. Sender, broker, worker and queries share the machine's cores.
"""

import asyncio
import itertools
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import loads, sending
from benchmarks.loads import Encoded, views
from benchmarks.processes import FailedError, running
from benchmarks.worker import FASTDATA, work_off, worker_environment
from fastdata import Metric, query
from fastdata.coordinates.instants import MINUTE_MS, to_datetime
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

SHARES = (0.1, 0.5, 0.9)
PAUSE_S = 0.02
REPEATED = 50_000


def ages(notes: list[tuple[float, int]], answers: list[tuple[float, int]]) -> list[float]:
    """Seconds from sending to the answer, of each event that was answered.

    Args:
        notes: When events were sent, and how many up to then, in the order of time.
        answers: When a query came back, and how many it counted.
    """
    found: list[float] = []
    place = 0
    for at, counted in answers:
        while len(found) < counted and place < len(notes):
            sent_at, sent = notes[place]
            found += [at - sent_at] * (min(sent, counted) - len(found))
            if sent > counted:
                break
            place += 1
    return found


def share(values: list[float], part: float) -> float:
    """A quantile: the smallest value that so many are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def at_rate(
    given: dict[str, Any], folder: Path, store: ServingStore, metric: Metric, before: int
) -> dict[str, Any]:
    """Send at a rate and ask until all are answered; `before` were counted before."""
    start = given.pop("start")
    times = to_datetime(start), to_datetime(start + 5 * MINUTE_MS)
    words = (sys.executable, "-m", "benchmarks.sending", json.dumps(given))
    answers: list[tuple[float, int]] = []
    environment = {"PYTHONPATH": str(loads.ROOT)}
    with running(words, folder, environment) as sender:
        said = asyncio.create_task(asyncio.to_thread(sender.stdout.read))  # type: ignore
        deadline, counted, sent = time.time() + given["seconds"] + 60, 0, -1
        while counted != sent and time.time() < deadline:
            table = await query(metric, *times, every="all", by=[], store=store)
            counted = sum(table.column("count").to_pylist()) - before
            answers.append((time.time(), counted))
            if said.done():
                notes = [json.loads(line) for line in said.result().splitlines()]
                sent = notes[-1][1]
            await asyncio.sleep(PAUSE_S)
    if counted != sent:
        raise FailedError(f"{sent:,} events were sent, and {counted:,} are counted")
    waited = ages(notes, answers)
    return {
        "sent": sent,
        "queries": len(answers),
        "p50_ms": round(1_000 * share(waited, 0.5)),
        "p99_ms": round(1_000 * share(waited, 0.99)),
    }


async def measure(
    client: dict[str, Any], folder: Path, events: int, seconds: int
) -> list[dict[str, Any]]:
    """One row for each share of the capacity."""
    load, topic = views(10), f"bench-fresh-{time.time_ns()}"
    metric = load.declare(folder, topic)
    encoded = Encoded(load, metric, REPEATED)
    messages = encoded.messages[: encoded.events]
    sending.write(folder / "messages", messages[:20_000])
    start = min(minute for _, minute in encoded.counts) * MINUTE_MS
    loads.create(client, topic)
    loads.send(client, topic, messages)
    again = max(1, events // REPEATED - 1)
    before = (again + 1) * REPEATED
    others = itertools.chain.from_iterable(itertools.repeat(messages, again))
    environment = worker_environment(client, folder, topic)
    rows = []
    async with open_store(environment["FASTDATA_STORE"]) as store:
        with running((*FASTDATA, "worker"), folder, environment) as process:
            send = partial(loads.send, client, topic, others)
            _, wall = await work_off(process, store, topic, REPEATED, before, send)
            capacity = again * REPEATED / wall
            for part in SHARES:
                rate = int(capacity * part)
                given = {
                    "servers": client["bootstrap.servers"],
                    "topic": topic,
                    "messages": str(folder / "messages"),
                    "rate": rate,
                    "seconds": seconds,
                    "start": start,
                }
                found = await at_rate(given, folder, store, metric, before)
                before += found["sent"]
                rows.append({"share": part, "events_per_s": rate, **found})
                print(f"  {rows[-1]}", file=sys.stderr, flush=True)
    return rows
