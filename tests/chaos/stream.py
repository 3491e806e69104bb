"""A stream whose answers tell each of its events, and what they must be at every moment.

Every event has a digit of its own within its group, the events of one minute and page: it adds
16**digit to a sum. So the sum of a group says, in base 16, how often each of its events is in.
Some events are sent twice, as by a producer that has lost its memory.
"""

import json
import random
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import cast

from confluent_kafka import KafkaError, Message, Producer

from fastdata import Metric, load
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.schema import encode
from fastdata.store.protocol import Partial
from tests.support.lab import PARTITIONS, Lab

DIGITS = 30  # events of a group: 16**30 has no more than 38 decimal digits
PAGES, MINUTES = 5, 4
GROUPS = PAGES * MINUTES  # groups that are filled at the same time
SEGMENT = 150
FIRST_MS = 1_700_000_040_000  # a full minute
REPEATED = 0.04

SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "page", "type": "string"},
        {
            "name": "digit",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 0},
        },
    ],
}
AGENTS = """
from fastdata import Count, Metric, Source, Sum

clicks = Source("clicks", topic="{topic}", schema="schemas/click.avsc", time="at", id="id",
                lateness="30d", segment_size={segment})
pages = Metric("pages", clicks, by=["page"], measures={{"n": Count(), "sum": Sum("digit")}})
"""
APP = """
import asyncio

from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from fastdata import attach, load, make_app

lead = CoordinatorGroupRebalance._on_join_leader


async def lead_last(self, response):
    # The mock cluster refuses a member that comes for its partitions after the leader.
    await asyncio.sleep(0.3)
    return await lead(self, response)


CoordinatorGroupRebalance._on_join_leader = lead_last
app = make_app("{topic}", broker_session_timeout=2.0, broker_heartbeat_interval=0.3)
attach(app, load("agents/clicks.py").pages)
"""

# Workers that are slow, and whose queues are full with fewer events: one holds eight messages.
SLOW = """
import time

@clicks.map
def think(event):
    time.sleep({each_s})
    return event
"""
SMALL = """
from fastdata.speed import transport

transport._CHUNK_RECORDS = {records}
"""

Group = tuple[int, str]  # window and page
CellKey = tuple[str, int, str, int, int]  # metric, window, dimensions, partition, segment
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that cannot be read."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


@dataclass(slots=True)
class Cell:
    """Events of one cell in the order of their offsets, and what they add up to."""

    offsets: list[int] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)

    def add(self, offset: int, amount: int) -> None:
        self.offsets.append(offset)
        self.sums.append(amount + (self.sums[-1] if self.sums else 0))

    def until(self, stamp: int) -> tuple[int, int]:
        """Number and sum of the events up to an offset."""
        count = bisect_right(self.offsets, stamp)
        return count, self.sums[count - 1] if count else 0


class Stage(Lab):
    """A lab with such a stream, and the record of what the broker has taken.

    Args:
        app: A module that makes the app of the workers; holds `{topic}`.
        agents: What it declares, as `AGENTS`.
        settings: As of a lab.

    Attributes:
        segment: Offsets in a segment.
    """

    segment = SEGMENT

    def __init__(
        self,
        folder: Path,
        broker: str,
        topic: str,
        seed: int,
        app: str = APP,
        agents: str = AGENTS,
        **settings: str,
    ) -> None:
        super().__init__(folder, broker, topic, self.segment, **settings)
        (folder / "schemas/click.avsc").write_text(json.dumps(SCHEMA))
        (folder / "agents/clicks.py").write_text(agents.format(topic=topic, segment=self.segment))
        (folder / "short_sessions.py").write_text(app.format(topic=topic))
        self.environment["FASTDATA_COMMIT_INTERVAL_S"] = "0.1"
        self.rng = random.Random(seed)
        self.metric: Metric = load(folder / "agents/clicks.py").pages
        self.cells: dict[CellKey, Cell] = defaultdict(Cell)
        self.log: dict[int, list[CellKey]] = {p: [] for p in range(PARTITIONS)}
        self.sums: dict[Group, int] = defaultdict(int)
        self.repeats = 0
        self._n = 0
        self._recent: dict[int, list[tuple[int, bytes]]] = {p: [] for p in range(PARTITIONS)}
        config = {"bootstrap.servers": broker, "linger.ms": 5, "enable.idempotence": True}
        # With more in flight, librdkafka may write a batch twice when a leader is lost:
        # https://github.com/confluentinc/librdkafka/issues/4953
        config |= {"max.in.flight.requests.per.connection": 1}
        config |= {"log_level": 0}  # it outlives the broker
        self._sending = Producer(config)

    @property
    def sent(self) -> int:
        """How many records the broker has taken."""
        return sum(map(len, self.log.values()))

    def send_next(self, count: int) -> None:
        """Append events, and again some of those before."""
        for n in range(self._n, self._n + count):
            p = self.rng.randrange(PARTITIONS)
            recent = self._recent[p]
            if recent and self.rng.random() < REPEATED:
                hour, value = self.rng.choice(recent)
                self._send(p, value, (unfolded_of(self.metric.source).id, hour, '["repeat"]'), 0)
                self.repeats += 1
            block, rest = divmod(n, GROUPS * DIGITS)
            digit, group = divmod(rest, GROUPS)
            window = FIRST_MS + (block * MINUTES + group % MINUTES) * 60_000
            page, amount = f"p{group // MINUTES}", 16**digit
            fields = {"id": str(n), "at": window + digit, "page": page, "digit": Decimal(amount)}
            value = encode(self.schema, fields)
            self._send(p, value, (self.metric.id, window, f'["{page}"]'), amount)
            self.sums[window, page] += amount
            self._recent[p] = [*recent[-30:], (window - window % 3_600_000, value)]
        self._n += count
        self._sending.poll(0)

    def send_bad(self, letter: Letter, reason: str) -> None:
        """Append what must become a dead letter."""
        p = self.rng.randrange(PARTITIONS)
        place = (unfolded_of(self.metric.source).id, 0, f'["dead:{reason}"]')
        self._send(p, letter.value, place, 0, letter.key, letter.headers)

    def encode(self, **fields: object) -> bytes:
        """An event as the producer would send it, of other fields."""
        event = {"id": "", "at": FIRST_MS, "page": "", "digit": Decimal(0), **fields}
        return encode(self.schema, event)

    def learn(self) -> None:
        """Wait until the offsets of all that was sent are known."""
        assert self._sending.flush(60) == 0

    def _send(
        self,
        p: int,
        value: bytes | None,
        place: tuple[str, int, str],
        amount: int,
        key: bytes | None = None,
        headers: Headers = (),
    ) -> None:
        note = partial(self._note, place, amount)
        self._sending.produce(
            self.topic, value, key, partition=p, on_delivery=note, headers=[*headers]
        )

    def _note(
        self, place: tuple[str, int, str], amount: int, error: KafkaError | None, sent: Message
    ) -> None:
        assert error is None, error
        p, offset = cast("int", sent.partition()), cast("int", sent.offset())
        expected = len(self.log[p])
        assert offset == expected, f"{p}@{offset} was taken, and {expected} was the next one sent"
        key = (*place, p, offset // self.segment)
        self.cells[key].add(offset, amount)
        self.log[p].append(key)

    def held(self, found: Partial) -> tuple[int, int]:
        """Number and sum of the events in a stored partial."""
        is_own = found.metric == self.metric.id
        metric = self.metric if is_own else unfolded_of(self.metric.source)
        states = metric.load(found.state)
        values = [a.present(s).value for a, s in zip(metric.aggregates, states, strict=True)]
        return int(cast("int", values[0])), int(cast("Decimal", values[1])) if is_own else 0


def key_of(found: Partial) -> CellKey:
    return found.metric, found.window, found.dims, found.partition, found.segment
