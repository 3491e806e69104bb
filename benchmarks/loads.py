"""What is sent and counted: views of pages with so many keys, and the flights of the demo."""

import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fastdata import Metric
from fastdata.declare.catalog import load_folder
from fastdata.demo.flights import read_flights
from fastdata.events.schema import encode

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
DAY_MS = 86_400_000
Event = dict[str, Any]
Counts = dict[tuple[str, int], int]
DECLARED = """
from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques

events = Source("{topic}", topic="{topic}", schema="schemas/event.avsc", time="{time}"{more})
counted = Metric("counted", events, by={key}, measures={{{measures}}})
"""
MEASURES = {"sum": "Sum", "mean": "Mean", "max": "Max", "distinct": "Uniques"}
VIEW = {
    "type": "record",
    "name": "View",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        *({"name": name, "type": "string"} for name in ("page", "visitor", "country")),
        *({"name": name, "type": "long"} for name in ("bytes", "ms")),
    ],
}


@dataclass(frozen=True)
class Load:
    """Events, and how they are counted.

    Attributes:
        fold: What a loop by hand does with one: a name in benchmarks/peers/folding.py.
        key: The fields that are counted by; joined by a slash they are the key of the message.
        measures: Kind and field of each measure beside the count.
        grace_ms: How far an event may be behind the newest one.
        more: Further arguments of the source.
    """

    name: str
    fold: str
    schema: dict[str, Any]
    time: str
    key: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    grace_ms: int
    events: Callable[[int], Iterator[Event]]
    more: str = ""

    def key_of(self, event: Event) -> str:
        """What an event is counted by."""
        return "/".join(event[name] for name in self.key)

    def at(self, event: Event) -> int:
        """Its time, ms UTC."""
        found = event[self.time]
        return int(found.timestamp() * 1000) if isinstance(found, datetime) else int(found)

    def declare(self, folder: Path, topic: str, count_only: bool = False) -> Metric:
        """Write `agents` and `schemas` to a folder; the metric that is declared there."""
        for part in ("agents", "schemas"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        measures = ['"count": Count()']
        if not count_only:
            measures += [f'"{kind}": {MEASURES[kind]}("{name}")' for kind, name in self.measures]
        declared = DECLARED.format(
            topic=topic, time=self.time, key=list(self.key), measures=", ".join(measures),
            more=self.more,
        )  # fmt: skip
        (folder / "agents/counting.py").write_text(declared)
        (folder / "schemas/event.avsc").write_text(json.dumps(self.schema))
        return load_folder(folder / "agents").metric("counted")


def views(keys: int, minutes: int = 5) -> Load:
    """Views of so many pages, drawn at random, within some minutes that are over."""

    def events(count: int) -> Iterator[Event]:
        start = (int(time.time()) // 3_600 - 1) * 3_600_000 - minutes * 60_000
        rng = random.Random(1)
        for n in range(count):
            yield {
                "id": f"{n:012}",
                "at": start + n * minutes * 60_000 // count,
                "page": f"/{rng.randrange(keys)}",
                "visitor": f"v{rng.randrange(20_000)}",
                "country": rng.choice(("DE", "US", "FR", "BR")),
                "bytes": rng.randrange(50_000),
                "ms": rng.randrange(2_000),
            }

    measures = ("sum", "bytes"), ("mean", "ms"), ("distinct", "visitor")
    name = f"{keys:,} pages a minute"
    return Load(name, "view", VIEW, "at", ("page",), measures, 0, events)


def flights() -> Load:
    """The flights of the demo, in the order in which they left: most are behind the newest."""

    def events(count: int) -> Iterator[Event]:
        return (flight.record for flight in itertools.islice(read_flights(), count))

    schema = json.loads((ROOT / "schemas/flight.avsc").read_text())
    measures = (
        ("sum", "distance"),
        ("mean", "dep_delay"),
        ("max", "dep_delay"),
        ("distinct", "tailnum"),
    )
    key, at, more = ("origin", "carrier"), "scheduled_departure", ', id="flight_id"'
    return Load("flights", "flight", schema, at, key, measures, DAY_MS, events, more)


class Encoded:
    """Events as they are sent, with the counts that are right.

    After the last come late ones, one for each partition, so that all windows before them close.
    They are of a key of their own, and of a later minute than all others.
    """

    def __init__(self, load: Load, metric: Metric, count: int) -> None:
        self.load, schema = load, metric.source.schema
        self.counts: Counter[tuple[str, int]] = Counter()
        self.messages: list[tuple[str, int, bytes, int]] = []
        last, event = 0, {}
        for event in load.events(count):
            key, at = load.key_of(event), load.at(event)
            self.counts[key, at // 60_000] += 1
            self.messages.append((key, at, encode(schema, event, schema.id), -1))
            last = max(last, at)
        self.events = len(self.messages)
        end = last + 2 * load.grace_ms + 600_000
        fields = dict.fromkeys(load.key, "closing")
        late = event | fields | {load.time: end}
        value = encode(schema, late, schema.id)
        self.messages += [(f"closing-{p}", end, value, p) for p in range(PARTITIONS)]

    def differences(self, counts: Counts) -> int:
        """How many events are missing or too many, cell by cell."""
        end = max(minute for _, minute in self.counts)
        mine = {cell: count for cell, count in counts.items() if cell[1] <= end}
        cells = self.counts.keys() | mine.keys()
        return sum(abs(self.counts.get(cell, 0) - mine.get(cell, 0)) for cell in cells)


def create(client: dict[str, Any], topic: str, partitions: int = PARTITIONS) -> None:
    """Create a topic that keeps its records, whatever their time."""
    new = NewTopic(topic, num_partitions=partitions, config={"retention.ms": "-1"})
    admin = AdminClient({**client, "log_level": 4})
    admin.create_topics([new])[topic].result(30)


def end(client: dict[str, Any], topic: str) -> int:
    """How many records a topic has, of which none was deleted."""
    consumer = Consumer({**client, "group.id": topic})
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(place, timeout=30) for place in places]
    consumer.close()
    return sum(last for _, last in ends)


def send(
    client: dict[str, Any], topic: str, messages: Iterable[tuple[str, int, bytes, int]]
) -> None:
    """Append messages, each at its event time and where its key belongs or says."""
    producer = Producer({**client, "linger.ms": 50, "enable.idempotence": True})
    for n, (key, at, value, partition) in enumerate(messages):
        while True:
            try:
                producer.produce(topic, value, key, partition, timestamp=at)
                break
            except BufferError:
                producer.poll(0.1)
        if n % 1_000 == 0:
            producer.poll(0)
    while producer.flush(10):
        pass


def counts_of(rows: Sequence[tuple[str, int, int]]) -> Counts:
    """Key, minute and count of each row; the last one of a cell is right."""
    return {(key, minute): count for key, minute, count in rows}
