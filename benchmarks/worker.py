"""What an event costs a worker, beside the loops that one would write by hand. Real Kafka.

python benchmarks/worker.py [--events 300000] [--keys 10 1000 10000] [--flights] [--rounds 3]

The same events for all, as Avro on the wire in 4 partitions. Views of pages: a count, a sum, a mean
and distinct visitors by page and minute, with so many pages. Flights: those of the demo, with ids
and their own measures, of which nearly each makes a cell of its own. The loops keep counts in a
dictionary and no state: nothing of theirs survives their end. The broker is that of the settings,
so that this is one line beside `make services`.

The figure is CPU (user and system, of the process and all its threads) per event, between the first
event that is counted and the last: other work on the machine changes it less than the time.
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fastdata import Settings
from fastdata.declare.catalog import load_folder
from fastdata.demo.flights import read_flights
from fastdata.events.schema import encode
from fastdata.kafka.connection import Broker
from fastdata.store.opening import open_store

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
MINUTES = 5
AGENTS = """
from fastdata import Count, Mean, Metric, Source, Sum, Uniques

views = Source("{topic}", topic="{topic}", schema="schemas/view.avsc", time="at")
pages = Metric("pages", views, by=["page"],
               measures={{"views": Count(), "bytes": Sum("bytes"), "ms": Mean("ms"),
                         "visitors": Uniques("visitor")}})
"""
SCHEMA = {
    "type": "record",
    "name": "View",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        *({"name": name, "type": "string"} for name in ("page", "visitor", "country")),
        *({"name": name, "type": "long"} for name in ("bytes", "ms")),
    ],
}
VIEW = """
    key = event["page"], int(event["at"].timestamp()) // 60
    state = states.get(key)
    if state is None:
        state = states[key] = [0, 0, 0, hll_sketch(12, tgt_hll_type.HLL_4)]
    state[0] += 1
    state[1] += event["bytes"]
    state[2] += event["ms"]
    state[3].update(event["visitor"])
"""
FLIGHT = """
    at = int(event["scheduled_departure"].timestamp())
    key = event["origin"], event["carrier"], at // 60
    state = states.get(key)
    if state is None:
        state = states[key] = [0, 0, 0, 0, None, hll_sketch(12, tgt_hll_type.HLL_4)]
    state[0] += 1
    state[1] += event["distance"]
    if (delay := event["dep_delay"]) is not None:
        state[2] += 1
        state[3] += delay
        state[4] = delay if state[4] is None else max(state[4], delay)
    if event["tailnum"] is not None:
        state[5].update(event["tailnum"])
"""
# Reads the topic to its end, and prints the CPU seconds that it took from the first event on.
LOOP_HEAD = """
import asyncio, io, json, sys, time
import fastavro
from datasketches import hll_sketch, tgt_hll_type
topic, servers, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
schema = fastavro.parse_schema(json.loads(sys.argv[4]))
states, seen = {}, 0
def fold(value):
    event = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)"""
CONFLUENT = """
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": servers, "group.id": topic + "-confluent",
                     "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe([topic])
while seen < events:
    for message in consumer.consume(2_000, 1.0):
        if not seen:
            began = time.process_time()
        fold(message.value())
        seen += 1
print(time.process_time() - began)
"""
AIOKAFKA = """
from aiokafka import AIOKafkaConsumer
async def main():
    global seen
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id=topic + "-aiokafka",
                                auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    while seen < events:
        for records in (await consumer.getmany(timeout_ms=1_000)).values():
            if not seen:
                began = time.process_time()
            for record in records:
                fold(record.value)
            seen += len(records)
    print(time.process_time() - began)
asyncio.run(main())
"""


def cpu_s(pid: int) -> float:
    """User and system seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(*words: str, folder: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A process with its own log; stopped at the end."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


@dataclass(frozen=True)
class Load:
    """What is sent, what a worker counts of it, and what a loop does with an event."""

    name: str
    agents: str
    schema: dict[str, Any]
    fold: str
    events: Callable[[int], Iterator[dict[str, object]]]


def views(keys: int) -> Load:
    """Views of so many pages, drawn at random, within `MINUTES` minutes."""

    def events(count: int) -> Iterator[dict[str, object]]:
        start = (int(time.time()) // 3_600 - 2) * 3_600_000
        rng = random.Random(1)
        for n in range(count):
            yield {
                "id": f"{n:012}",
                "at": start + n * MINUTES * 60_000 // count,
                "page": f"/{rng.randrange(keys)}",
                "visitor": f"v{rng.randrange(20_000)}",
                "country": rng.choice(("DE", "US", "FR", "BR")),
                "bytes": rng.randrange(50_000),
                "ms": rng.randrange(2_000),
            }

    return Load(f"{keys:,} pages a minute", AGENTS, SCHEMA, VIEW, events)


def flights() -> Load:
    """The flights of the demo, in the order in which they left."""

    def events(count: int) -> Iterator[dict[str, object]]:
        return (flight.record for flight in itertools.islice(read_flights(), count))

    agents = (ROOT / "agents/flights.py").read_text().replace('topic="flights"', 'topic="{topic}"')
    agents = agents.replace("measures={", "measures={{").replace('("tailnum")}', '("tailnum")}}')
    schema = json.loads((ROOT / "schemas/flight.avsc").read_text())
    return Load("flights", agents, schema, FLIGHT, events)


class Bench:
    """Events in a topic, and who counts them."""

    def __init__(self, folder: Path, settings: Settings, load: Load, events: int) -> None:
        self.folder, self.load, self.events = folder, load, events
        self.broker = Broker.of(settings)
        self.topic = f"bench-{os.getpid()}-{load.name.split()[0].replace(',', '')}"
        for part in ("agents", "schemas"):
            (folder / part).mkdir(parents=True)
        (folder / "agents/bench.py").write_text(load.agents.format(topic=self.topic))
        for name in ("view", "flight"):
            (folder / f"schemas/{name}.avsc").write_text(json.dumps(load.schema))

    def send(self) -> None:
        """Fill the topic."""
        admin = AdminClient(self.broker.librdkafka())
        new = NewTopic(self.topic, num_partitions=PARTITIONS)
        admin.create_topics([new])[self.topic].result(30)
        (source,) = load_folder(self.folder / "agents").sources.values()
        producer = Producer({**self.broker.librdkafka(), "linger.ms": 50})
        sent = 0
        for sent, event in enumerate(self.load.events(self.events), 1):
            value = encode(source.schema, event, source.schema.id)
            producer.produce(self.topic, value, partition=sent % PARTITIONS)
            producer.poll(0)
        while producer.flush(10):
            pass
        self.events = sent

    async def loop(self, code: str) -> float:
        """CPU us an event of a loop by hand."""
        servers = str(self.broker.librdkafka()["bootstrap.servers"])
        program = LOOP_HEAD + self.load.fold + code
        words = "-c", program, self.topic, servers, str(self.events), json.dumps(self.load.schema)
        with running(*words, folder=self.folder) as process:
            said = (await asyncio.to_thread(process.communicate))[0]
        return float(said) / self.events * 1e6

    async def worker(self, round_: int) -> float:
        """CPU us an event of a worker, full path, an SQLite store and a state folder of its own."""
        with tempfile.TemporaryDirectory(dir=self.folder) as state:
            store_url = f"sqlite:///{state}/store.db"
            environment = {
                "FASTDATA_AGENTS": "agents",
                "FASTDATA_STATE": state,
                "FASTDATA_STORE": store_url,
                "FASTDATA_APPLICATION_ID": f"{self.topic}-{round_}",
            }
            async with open_store(store_url) as store:
                with running(
                    "-m", "fastdata.cli.main", "worker", folder=self.folder, **environment
                ) as process:
                    first, began, done = 0, 0.0, 0
                    while done < self.events:
                        if process.poll() is not None:
                            raise SystemExit((self.folder / "log").read_text()[-2_000:])
                        await asyncio.sleep(0.05)
                        ended = cpu_s(process.pid)
                        done = sum(p.next_offset for p in await store.progress(self.topic))
                        if done and not began:
                            first, began = done, ended
        return (ended - began) / (self.events - first) * 1e6


async def measure(asked: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Medians of all rounds, by load and system."""
    settings = Settings.load()
    loads = [views(keys) for keys in asked.keys] + [flights()] * asked.flights
    medians: dict[str, dict[str, float]] = {}
    for number, load in enumerate(loads):
        bench = Bench(folder / str(number), settings, load, asked.events)
        await asyncio.to_thread(bench.send)
        figures: dict[str, list[float]] = {}
        for n in range(asked.rounds):
            figures.setdefault("fastdata worker", []).append(await bench.worker(n))
            figures.setdefault("confluent-kafka loop", []).append(await bench.loop(CONFLUENT))
            figures.setdefault("aiokafka loop", []).append(await bench.loop(AIOKAFKA))
        base = statistics.median(figures["confluent-kafka loop"])
        print(f"{bench.events:,} events, {load.name}; us CPU an event")
        for name, values in figures.items():
            median = statistics.median(values)
            medians.setdefault(load.name, {})[name] = round(median, 1)
            each = ", ".join(f"{value:.1f}" for value in values)
            print(f"  {name:24} {median:8.1f}  x{median / base:5.1f}   ({each})", flush=True)
    return medians


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--keys", type=int, nargs="*", default=[10, 1_000, 10_000])
    parser.add_argument("--flights", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the medians to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        result = asyncio.run(measure(options, Path(made)))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
