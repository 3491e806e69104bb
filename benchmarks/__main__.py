"""What fastdata costs, beside its peers, in one run: CPU, ratios, and who counted right.

Starts a Kafka of its own (see `make fetch`), and installs the peers into ~/.cache/fastdata-bench
when they are first needed. Measure on a machine that does nothing else.

  worker   an event in a worker, beside loops by hand, Quix, Bytewax, Pathway and Faust
  replay   a replay from the archive, beside DuckDB and Polars
  start    the start of each command
  query    queries of a process that is running
  fresh    from sending an event to the answer that counts it
  growth   more events, partitions and processes

Examples:
  python -m benchmarks --quick
  python -m benchmarks --only worker,replay
  python -m benchmarks --quick --json results.json
  python -m benchmarks --page results.json      (writes docs/performance.md)
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import (
    environments,
    fresh,
    growth,
    machine,
    query,
    replaying,
    starting,
    tables,
    worker,
)
from benchmarks.loads import ROOT, flights, views
from fastdata.store.opening import open_store
from tests.support.services.kafka import Kafka

PAGE = ROOT / "docs/performance.md"
NEEDS_KAFKA = {"worker", "fresh", "growth"}


async def worker_part(client: dict[str, Any], folder: Path, asked: argparse.Namespace) -> Any:
    """Loads by systems; in a quick run some loads have few of them."""
    some = worker.FEW if asked.quick else worker.SYSTEMS
    chosen = [
        (views(1_000), worker.SYSTEMS),
        (flights(), worker.SYSTEMS),
        (views(10), some),
        (views(10_000), some),
    ]
    events = asked.events or (150_000 if asked.quick else 300_000)
    return await worker.measure(client, folder, chosen, events, asked.rounds)


async def replay_part(client: dict[str, Any], folder: Path, asked: argparse.Namespace) -> Any:
    """A replay and its peers."""
    events = asked.events or (1_000_000 if asked.quick else 2_000_000)
    return await replaying.measure(folder, events, asked.rounds)


async def start_part(client: dict[str, Any], folder: Path, asked: argparse.Namespace) -> Any:
    """Each command."""
    return await starting.measure(folder, asked.rounds)


async def query_part(client: dict[str, Any], folder: Path, asked: argparse.Namespace) -> Any:
    """What benchmarks/query.py asks."""
    keys, queries = (1_000, 10) if asked.quick else (10_000, 30)
    async with open_store(f"sqlite:///{folder}/queries.db") as store:
        return [row async for row in query.ask_all(store, keys, queries)]


async def fresh_part(client: dict[str, Any], folder: Path, asked: argparse.Namespace) -> Any:
    """Three rates."""
    events = asked.events or (500_000 if asked.quick else 1_000_000)
    return await fresh.measure(client, folder, events, 4 if asked.quick else 20)


async def growth_part(client: dict[str, Any], folder: Path, asked: argparse.Namespace) -> Any:
    """Sizes."""
    sizes = (growth.QUICK if asked.quick else growth.USUAL) + growth.LARGE * asked.large
    if asked.events:
        sizes = tuple(replace(size, events=asked.events) for size in sizes)
    return await growth.measure(client, folder, sizes)


PARTS: dict[str, Callable[[dict[str, Any], Path, argparse.Namespace], Awaitable[Any]]] = {
    "worker": worker_part,
    "replay": replay_part,
    "start": start_part,
    "query": query_part,
    "fresh": fresh_part,
    "growth": growth_part,
}


@contextmanager
def kafka(asked: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Settings of a client of the broker that was named, or of one that is started."""
    if asked.broker or not NEEDS_KAFKA & set(asked.only):
        yield {"bootstrap.servers": asked.broker}
        return
    place = folder / "kafka"
    place.mkdir()
    # Times of events are times of messages, and some are of 2013.
    with Kafka(place, {"log.retention.ms": "-1"}) as server:
        yield {"bootstrap.servers": server.bootstrap}


async def measure(asked: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """All parts that were asked for, in turn; one that fails does not end the others."""
    results: dict[str, Any] = {
        "machine": machine.facts(),
        "peers": list(dict.fromkeys(pin for pins in environments.PINS.values() for pin in pins)),
        "arguments": re.sub(r" ?--json( [^-]\S*)?", "", " ".join(arguments)).strip(),
        "seconds": {},
        "parts": {},
        "failed": {},
    }
    meter = machine.Meter()
    with (
        tempfile.TemporaryDirectory(prefix="fastdata-bench-") as made,
        kafka(asked, Path(made)) as client,
    ):
        for name in asked.only:
            began = time.monotonic()
            print(f"{name} ...", file=sys.stderr, flush=True)
            folder = Path(made) / name
            folder.mkdir()
            try:
                results["parts"][name] = await PARTS[name](client, folder, asked)
            except Exception as error:  # noqa: BLE001
                traceback.print_exc()
                results["failed"][name] = f"{type(error).__name__}: {error}"
            results["seconds"][name] = round(time.monotonic() - began, 1)
        results["load"] = meter.read()
    return results


def write_page(results: dict[str, Any]) -> None:
    """Write the tables of docs/performance.md, and its pictures."""
    PAGE.write_text(tables.page(PAGE.read_text(), results))
    images = PAGE.parent / "images"
    images.mkdir(exist_ok=True)
    for name, picture in tables.charts(results).items():
        (images / name).write_text(picture)


def parts_of(text: str) -> list[str]:
    """The parts of an argument, in the order in which they run."""
    named = set(text.split(","))
    if unknown := named - PARTS.keys():
        raise argparse.ArgumentTypeError(
            f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        )
    return [name for name in PARTS if name in named]


def is_bad(row: dict[str, Any]) -> bool:
    """Whether somebody counted wrong, or fastdata failed; a peer may be missing."""
    is_missing = "not_run" in row and row["system"].startswith("fastdata")
    return is_missing or bool(row.get("wrong"))


def main(arguments: list[str]) -> int:
    """Measure and print; 1 if anybody counted wrong, or a part failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer events and rounds: some ten minutes"
    )
    parser.add_argument(
        "--only",
        type=parts_of,
        default=list(PARTS),
        metavar="a,b",
        help="these parts [default: all]",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="one JSON object instead of tables; or to a file, beside them",
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the page of such an object"
    )
    parser.add_argument("--rounds", type=int, help="medians of so many [default: 3, quick 1]")
    parser.add_argument("--events", type=int, help="so many in each part")
    parser.add_argument("--large", action="store_true", help="growth to 100,000,000 events, too")
    parser.add_argument("--broker", default="", help="a Kafka instead of one that is started")
    asked = parser.parse_args(arguments)
    if asked.page:
        try:
            write_page(json.loads(asked.page.read_text()))
        except (OSError, ValueError) as error:
            parser.error(f"--page takes the JSON of a run: {error}")
        return 0
    asked.rounds = asked.rounds or (1 if asked.quick else 3)
    results = asyncio.run(measure(asked, arguments))
    if asked.json == "-":
        print(json.dumps(results))
    else:
        if asked.json:
            Path(asked.json).write_text(json.dumps(results))
        print(tables.machine(results))
        for name, rows in results["parts"].items():
            print(f"\n## {name}\n\n{tables.PARTS[name](rows)}")
    bad = [row for rows in results["parts"].values() for row in rows if is_bad(row)]
    if bad:
        print(f"counted wrong, or not at all: {json.dumps(bad)}", file=sys.stderr)
    if results["failed"]:
        print(f"failed: {json.dumps(results['failed'])}", file=sys.stderr)
    return 1 if bad or results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
