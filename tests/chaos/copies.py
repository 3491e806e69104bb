"""A careless stream whose answers tell each of its events, and what becomes of each copy of one.

As in `tests.chaos.stream`, an event adds 16**digit to the sum of its group. Here some events are
delayed, some come again in their own partition or in another one, and some records cannot be read.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from pathlib import Path
from typing import cast

from confluent_kafka import KafkaError, Message

from fastdata.coordinates.instants import HOUR_MS
from fastdata.events.schema import encode
from tests.chaos.stream import DIGITS, FIRST_MS, Group, Stage
from tests.support.lab import PARTITIONS

__all__ = ["SEGMENT", "CopiesStage", "Copy", "Due", "Events", "hour_of"]

SEGMENT = 500
PAGES, MINUTES = 10, 4
GROUPS = PAGES * MINUTES  # groups that are filled at the same time
BLOCK_MS = 720_000  # from them to the next ones: an hour has five
STEP_MS = 2_000  # between two events of a group
SOON, DISTANT = 150, 600  # events that come before a copy that is delayed, at most
BROKEN = (None, b"", b"no magic", b"\0\0\0\0\1datum")

# Lateness: those of the first minute of a block are late when they are delayed by some steps, while
# others of their groups still come.
AGENTS = """
from fastdata import Count, Metric, Source, Sum

clicks = Source("clicks", topic="{topic}", schema="schemas/click.avsc", time="at", id="id",
                lateness="190s", segment_size=500)
pages = Metric("pages", clicks, by=["page"], measures={{"n": Count(), "sum": Sum("digit")}},
               rollups=("day",))
"""
_LATENESS_MS = 190_000


@dataclass(frozen=True, slots=True)
class Copy:
    """One record of an event.

    Attributes:
        fate: What the speed layer must do with it: "fold", "late" or "repeat".
    """

    partition: int
    offset: int
    fate: str

    @property
    def segment(self) -> int:
        return self.offset // SEGMENT


Events = dict[int, list[Copy]]
"""The copies of each event of a group, by its digit."""


@dataclass(slots=True)
class _Judge:
    """What the documented rules say of each record of a partition, in the order of its offsets."""

    watermark: int = 0
    folded: set[tuple[Group, int]] = field(default_factory=set)

    def fate(self, event: tuple[Group, int], at: int) -> str:
        if at < self.watermark - _LATENESS_MS:
            return "late"
        if event in self.folded:
            return "repeat"
        self.folded.add(event)
        self.watermark = max(self.watermark, at)
        return "fold"


@dataclass(frozen=True, order=True, slots=True)
class Due:
    """A record that comes after the event of that number; without a time it cannot be read."""

    number: int
    partition: int
    value: bytes | None = field(compare=False)
    at: int = 0
    group: Group = (0, "")
    digit: int = 0


class CopiesStage(Stage):
    """A stage with such a stream.

    Attributes:
        events: What the broker has taken, by group.
        broken: Partition and offset of each record that cannot be read.
        fates: How many copies have each fate.
    """

    def __init__(self, folder: Path, broker: str, topic: str, app: str, **settings: str) -> None:
        super().__init__(folder, broker, topic, len(topic), app, AGENTS, **settings)
        self.events: dict[Group, Events] = defaultdict(lambda: defaultdict(list))
        self.broken: set[tuple[int, int]] = set()
        self.fates: dict[str, int] = defaultdict(int)
        self._judges = [_Judge() for _ in range(PARTITIONS)]
        self._waiting: list[Due] = []

    def send_next(self, count: int) -> None:
        """Append events, and copies of some of those before."""
        for n in range(self._n, self._n + count):
            self._plan(n)
            while self._waiting and self._waiting[0].number <= n:
                self.send_one(heappop(self._waiting))
        self._n += count
        self._sending.poll(0)

    def _plan(self, n: int) -> None:
        """Decide when an event comes, where, and how often."""
        rng = self.rng
        block, rest = divmod(n, GROUPS * DIGITS)
        digit, place = divmod(rest, GROUPS)
        window = FIRST_MS + block * BLOCK_MS + place % MINUTES * 60_000
        group, at = (window, f"p{place // MINUTES}"), window + digit * STEP_MS
        fields = {"id": str(n), "at": at, "page": group[1], "digit": Decimal(16**digit)}
        value, home = encode(self.schema, fields), rng.randrange(PARTITIONS)
        luck = rng.randrange(100)
        first = n + (rng.randrange(DISTANT) if luck < 8 else 0)
        heappush(self._waiting, Due(first, home, value, at, group, digit))
        if 8 <= luck < 13:
            again = Due(n + rng.randrange(SOON), home, value, at, group, digit)
            heappush(self._waiting, again)
        elif 13 <= luck < 19:
            other = (home + 1 + rng.randrange(PARTITIONS - 1)) % PARTITIONS
            again = Due(n + rng.randrange(DISTANT), other, value, at, group, digit)
            heappush(self._waiting, again)
        elif luck == 19 and rng.random() < 0.3:
            heappush(self._waiting, Due(n, home, rng.choice(BROKEN)))

    def send_one(self, due: Due) -> None:
        def keep(error: KafkaError | None, sent: Message) -> None:
            assert error is None, error
            self.keep(due, cast("int", sent.offset()))

        self._sending.produce(self.topic, due.value, partition=due.partition, on_delivery=keep)

    def keep(self, due: Due, offset: int) -> None:
        """Take note of where a record is."""
        p, expected, (window, page) = due.partition, len(self.log[due.partition]), due.group
        assert offset == expected, f"{p}@{offset} was taken, and {expected} was the next one sent"
        self.log[p].append((self.metric.id, window, f'["{page}"]', p, offset // SEGMENT))
        if not due.at:
            self.broken.add((p, offset))
            return
        fate = self._judges[p].fate((due.group, due.digit), due.at)
        self.fates[fate] += 1
        self.events[due.group][due.digit].append(Copy(p, offset, fate))


def hour_of(group: Group) -> int:
    """The start of the span that a group lies in, ms UTC."""
    return group[0] - group[0] % HOUR_MS
