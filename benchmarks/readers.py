"""Many who look at pages at once: how long they wait, and what that costs the server.

python -m benchmarks.readers [--readers 200] [--seconds 60] [--json]

A `fastdata serve` over a day of flights in SQLite, to which a row is added each second. Each reader
does as a page does: it listens to what changes, and asks again for what it shows when something
has, a second after it did before at the earliest. Two thirds show the page of a metric, the others
ask for an answer, with the tag of the last one. All of it shares the processors: server, readers
and whatever else runs; `load` is that of the machine.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

import fastdata
from benchmarks.processes import running
from benchmarks.query import states
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial, Progress, Total

ROOT = Path(__file__).resolve().parents[1]
START = parse_instant("2013-01-30")
COVERED = START + DAY_MS - 2 * HOUR_MS
RANGE = "from=2013-01-30&to=2013-01-31&by=origin&every="
PAGE = f"/metrics/departures?{RANGE}15m"
ANSWER = f"/api/v1/metrics/departures/query?{RANGE}1h"


def minutes(metric: Metric, start: int, end: int, exact: bool) -> list[tuple[int, str, bytes]]:
    """Window, dimensions and state of each minute, origin and some carriers."""
    rng = random.Random(1)
    some = [states(metric, rng, 5, exact) for _ in range(100)]
    keys = [dump_dims([origin, f"C{n}"]) for origin in ("EWR", "JFK", "LGA") for n in range(4)]
    return [(at, key, rng.choice(some)) for at in range(start, end, MINUTE_MS) for key in keys]


async def fill(metric: Metric, url: str) -> None:
    """A day, the last two hours of which batch has not counted."""
    async with open_store(url) as store:
        for span in range(START, COVERED, HOUR_MS):
            rows = [Total(*row) for row in minutes(metric, span, span + HOUR_MS, exact=True)]
            await store.write_totals(metric.id, 1, {span: rows})
            await store.publish(metric.id, [Flip(span, None, 1, Coverage({0: 1}), len(rows))])
        rows = minutes(metric, COVERED, START + DAY_MS - 10 * MINUTE_MS, exact=False)
        await store.upsert([Partial(metric.id, at, key, 0, 1, 1, s) for at, key, s in rows], [])


async def change(metric: Metric, url: str, stop: asyncio.Event) -> None:
    """Fold one more event each second."""
    rng, state = random.Random(2), states(metric, random.Random(3), 3, exact=False)
    stamp, now = metric.source.segment_size, START + DAY_MS
    async with open_store(url) as store:
        while not stop.is_set():
            stamp += 1
            at = now - rng.randrange(1, 60) * MINUTE_MS
            partial = Partial(metric.id, at, dump_dims(["JFK", "C9"]), 0, 1, stamp, state)
            await store.upsert([partial], [Progress("flights", 0, stamp, now, now, now)])
            await asyncio.sleep(1)


class Reader:
    """One page in a browser, or a program."""

    def __init__(self, port: int, path: str, waits: list[float], codes: Counter[str]) -> None:
        self._port, self._path = port, path
        self._waits, self._codes = waits, codes
        self._changed = asyncio.Event()
        self._tag = ""

    async def read(self, until: float) -> None:
        """Listen and ask until then."""
        listening = asyncio.create_task(self._listen())
        try:
            while time.monotonic() < until:
                await self._ask()
                await asyncio.sleep(1)
                await self._changed.wait()
                self._changed.clear()
        except (OSError, asyncio.IncompleteReadError) as error:
            self._codes[type(error).__name__] += 1
        finally:
            listening.cancel()

    async def _ask(self) -> None:
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {self._tag}\r\n\r\n"
        writer.write(head.encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        names = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        await reader.readexactly(int(names.get("content-length", 0)))
        writer.close()
        self._waits.append(time.perf_counter() - began)
        self._codes[lines[0].split()[1]] += 1
        self._tag = names.get("etag", "").replace("w/", "W/")

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while line := await reader.readline():
                if line.startswith(b"event: change"):
                    self._changed.set()
        finally:
            self._changed.set()
            writer.close()


async def measure(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Run it all."""
    metric = fastdata.load(str(ROOT / "agents" / "flights.py")).departures
    url = f"sqlite:///{folder}/store.db"
    await fill(metric, url)
    environment = {"FASTDATA_STORE": url, "FASTDATA_AGENTS": str(ROOT / "agents")}
    words = [sys.executable, "-u", "-m", "fastdata", "serve", "--port", "0"]
    with running(words, ROOT, environment) as process:
        assert process.stdout is not None  # noqa: S101  (it is asked for)
        port = int(process.stdout.readline().split()[2].rpartition(":")[2])
        server = psutil.Process(process.pid)
        waits: dict[str, list[float]] = {PAGE: [], ANSWER: []}
        codes = Counter[str]()
        # One who has looked already: what is loaded once is loaded.
        await Reader(port, PAGE, [], Counter()).read(0)
        before, cpu = server.memory_info().rss, sum(server.cpu_times()[:2])
        until = time.monotonic() + asked.seconds
        paths = [ANSWER if number % 3 == 0 else PAGE for number in range(asked.readers)]
        readers = [Reader(port, path, waits[path], codes) for path in paths]
        stop = asyncio.Event()
        changing = asyncio.create_task(change(metric, url, stop))
        await asyncio.gather(*[reader.read(until) for reader in readers])
        stop.set()
        await changing
        cpu = sum(server.cpu_times()[:2]) - cpu
        after = server.memory_info().rss
    requests = sum(map(len, waits.values()))
    return {
        "readers": asked.readers,
        "requests": requests,
        "codes": dict(codes),
        "cpu_ms_a_request": round(1_000 * cpu / requests, 2),
        "mb_before": before >> 20,
        "mb_after": after >> 20,
        "load": os.getloadavg()[0],
        **{name: figures(of) for name, of in (("page", waits[PAGE]), ("answer", waits[ANSWER]))},
    }


def figures(waits: list[float]) -> dict[str, float]:
    """How many there were, and how long they waited, in ms."""
    ordered = sorted(waits)
    parts = {f"p{part}_ms": ordered[len(ordered) * part // 100] for part in (50, 99)}
    return {"requests": len(waits)} | {name: round(1_000 * s, 1) for name, s in parts.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        told = asyncio.run(measure(asked, Path(name)))
    if asked.json:
        print(json.dumps(told))
    else:
        print("\n".join(f"{name:18} {value}" for name, value in told.items()))
