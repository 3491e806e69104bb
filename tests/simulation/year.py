"""A year of events through both layers, with a scheduled replay each day, and a plain count.

Late and repeated events are those of a careless world: one in a hundred is up to 20 days late, one
in a hundred is sent again. The count is kept in dictionaries, and knows nothing of the library.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from obstore.store import MemoryStore as ObjectStore

from fastdata import Count, Metric, Source, Sum, Uniques
from fastdata.answer.merge import Buckets, Doubts, Row, merge
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive
from fastdata.batch.replay import Replayer
from fastdata.batch.schedule import ScheduledReplay, ScheduledRun
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, floor_to, parse_instant
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.store.memory import MemoryStore
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Head, SpanTotals
from tests.simulation.fakes import Budget, FakeTable, NoDeadLetters

START = parse_instant("2021-01-01")
PARTITIONS = 2
WINDOW_MS = 30 * DAY_MS
LATEST_MS = 20 * DAY_MS
SCHEMA = {
    "type": "record",
    "name": "Visit",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "id", "type": "string"},
        {"name": "page", "type": "string"},
        {"name": "visitor", "type": "int"},
        {"name": "bytes", "type": "long"},
    ],
}
Numbers = tuple[int, int, int]


class CountedStorage(ArchiveStorage):
    """Remembers which objects are read."""

    def __init__(self) -> None:
        super().__init__(ObjectStore())
        self.read: list[str] = []

    async def get(self, name: str) -> bytes | None:
        self.read.append(name)
        return await super().get(name)


class CountedStore(MemoryStore):
    """Remembers which hours are touched, and how; past runs are kept in none."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at: list[tuple[int, int]] = []
        self.written: list[int] = []
        self.moved: list[int] = []

    async def heads(self, metric: str, start: int, end: int) -> dict[int, Head]:
        if start < end and not _is_of_runs(metric):
            self.looked_at.append((start, end))
        return await super().heads(metric, start, end)

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: SpanTotals,
        pace: Pace | None = None,
        hours: SpanTotals | None = None,
    ) -> dict[int, int]:
        self.written += () if _is_of_runs(metric) else spans
        return await super().write_totals(metric, version, spans, pace, hours)

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        self.moved += [flip.span for flip in flips if not _is_of_runs(metric)]
        await super().publish(metric, flips)

    async def current(self, metric: str) -> dict[tuple[int, str], bytes]:
        """All totals that readers see."""
        heads = await super().heads(metric, 0, 1 << 60)
        reading = await super().read(metric, "", "", 0, 1 << 60)
        assert reading.heads == heads
        return {(total.window, total.dims): total.state for total in reading.totals}


def _is_of_runs(metric: str) -> bool:
    return metric.endswith(":runs")


@dataclass(frozen=True, slots=True)
class Visit:
    """An event; `page`, `visitor` and `size` are what is counted."""

    id: str
    at: int
    page: str
    visitor: int
    size: int

    @property
    def hour(self) -> int:
        return floor_to(self.at, HOUR_MS)

    @property
    def partition(self) -> int:
        return int(self.id[1:]) % PARTITIONS


@dataclass(slots=True)
class Counted:
    """The plain count of one day."""

    ids: set[str] = field(default_factory=set)
    visitors: set[int] = field(default_factory=set)
    size: int = 0

    def add(self, visit: Visit) -> None:
        if visit.id not in self.ids:
            self.ids.add(visit.id)
            self.visitors.add(visit.visitor)
            self.size += visit.size

    @property
    def numbers(self) -> Numbers:
        return len(self.ids), self.size, len(self.visitors)


@dataclass(slots=True)
class Work:
    """What one run did, and what it had to do.

    Attributes:
        dirty: Hours with events in segments that closed since the run before.
        holding: Objects of the closed segments that hold events of these hours.
        objects: Objects of events that it opened.
        entries: Entries of the manifest that it opened, of closed segments and of tiles.
        closed: Segments that closed since the run before.
    """

    run: ScheduledRun
    dirty: set[int]
    holding: int
    objects: int
    entries: int
    closed: int
    written: list[int]
    moved: list[int]
    looked_at: list[tuple[int, int]]


class Year:
    """The world, day by day. The same seed gives the same one."""

    def __init__(
        self,
        folder: Path,
        events_a_day: int,
        segment_size: int,
        seed: int = 1,
        rollups: Sequence[str] = (),
        zone: str = "UTC",
    ) -> None:
        (folder / "visit.avsc").write_text(json.dumps(SCHEMA))
        self.source = Source(
            "visits", topic="visits", schema=str(folder / "visit.avsc"), time="at", id="id",
            lateness="2d", segment_size=segment_size,
        )  # fmt: skip
        self.metric = Metric(
            "pages", self.source, by=["page"],
            measures={"visits": Count(), "bytes": Sum("bytes"), "visitors": Uniques("visitor")},
            rollups=rollups, zone=zone,
        )  # fmt: skip
        self.rng = random.Random(seed)
        self.events_a_day = events_a_day
        self.now = START
        self.sent: list[Visit] = []
        self.log: dict[int, list[Visit]] = {p: [] for p in range(PARTITIONS)}
        self.days: dict[int, Counted] = defaultdict(Counted)
        self.held: dict[int, set[tuple[int, int]]] = defaultdict(set)
        self.closed = dict.fromkeys(range(PARTITIONS), 0)
        self.storage, self.store = CountedStorage(), CountedStore()
        self.schedule = ScheduledReplay(
            [self.metric], Replayer(self.storage, workers=0, complete=True), WINDOW_MS
        )
        self.decoder = Decoder(self.source, FolderRegistry(folder))
        self.archives: dict[int, PartitionArchive] = {}
        self.worker = SpeedLayer(
            self.source,
            [self.metric],
            self.decoder,
            table=FakeTable({p: {} for p in range(PARTITIONS)}, Budget()),
            store=self.store,
            dead_letters=NoDeadLetters(),
            commit=self.commit,
            clock=lambda: self.now,
        )

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        return True

    async def open(self) -> None:
        for p in range(PARTITIONS):
            await self.worker.open(p, None, 0, 0)
            archive = PartitionArchive(
                self.storage, self.source, self.decoder, p, clock=lambda: self.now
            )
            await archive.open(0)
            self.archives[p] = archive

    async def live_a_day(self) -> None:
        """A day of events goes through worker and archiver."""
        morning = self.now
        for visit in self.draw():
            self.sent.append(visit)
            self.days[floor_to(visit.at, DAY_MS)].add(visit)
            log, p = self.log[visit.partition], visit.partition
            offset = len(log)
            log.append(visit)
            value = encode(
                self.source.schema,
                {"at": visit.at, "id": visit.id, "page": visit.page}
                | {"visitor": visit.visitor, "bytes": visit.size},
            )
            self.worker.fold(p, Record(offset, visit.at, None, value))
            self.archives[p].append(ArchivedRecord(offset, visit.at, None, value))
        self.now = morning + DAY_MS
        for p, log in self.log.items():
            self.worker.see_end(p, len(log), self.now)
            await self.archives[p].flush()
        await self.worker.flush()
        if self.rng.random() < 0.1:
            await self.worker.clean_up()

    def draw(self) -> Iterable[Visit]:
        """The events of a day; the clock goes on between them."""
        for _ in range(self.events_a_day):
            self.now += DAY_MS // (self.events_a_day + 1)
            at, luck = self.now, self.rng.random()
            if luck < 0.01:
                at -= self.rng.randrange(LATEST_MS)
            elif luck < 0.02 and self.sent:
                back = min(len(self.sent), 10 * self.events_a_day)
                yield self.sent[-self.rng.randint(1, back)]
                continue
            number = len(self.sent)
            page = self.rng.choice("abc")
            yield Visit(f"v{number}", at, page, self.rng.randrange(200), self.rng.randrange(10_000))

    async def replay(self) -> Work:
        """The run of the schedule at the end of the day, and what it touched."""
        dirty, closed = self.close_segments()
        self.storage.read.clear()
        for touched in (self.store.looked_at, self.store.written, self.store.moved):
            touched.clear()
        run = await self.schedule.run(self.store, self.now)
        return Work(
            run,
            dirty,
            len({place for hour in dirty for place in self.held[hour]}),
            sum(name.startswith("topics/") for name in self.storage.read),
            sum(name.endswith((".json", ".entries")) for name in self.storage.read),
            closed,
            list(self.store.written),
            list(self.store.moved),
            list(self.store.looked_at),
        )

    def close_segments(self) -> tuple[set[int], int]:
        """The hours of events in segments that closed since the last time, and how many closed."""
        size, dirty, closed = self.source.segment_size, set(), 0
        for p, log in self.log.items():
            end = len(log) // size
            for segment in range(self.closed[p], end):
                for visit in log[segment * size : (segment + 1) * size]:
                    dirty.add(visit.hour)
                    self.held[visit.hour].add((p, segment))
            closed += end - self.closed[p]
            self.closed[p] = end
        return dirty, closed

    def open_days(self) -> set[int]:
        """Days that have events in segments which are not closed."""
        size = self.source.segment_size
        return {
            floor_to(visit.at, DAY_MS)
            for p, log in self.log.items()
            for visit in log[self.closed[p] * size :]
        }

    async def answers(self, start: int, end: int) -> dict[int, Row]:
        """What a reader gets, day by day, over all pages."""
        source = self.source
        reading = await self.store.read(
            self.metric.id, unfolded_of(source).id, source.topic, start, end
        )
        doubts = Doubts(self.metric, reading)
        rows = merge(self.metric, doubts, Buckets(start, end, DAY_MS))
        return {row.start: row.estimated(self.metric) for row in rows}
