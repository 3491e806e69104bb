"""The two layers in one process, with a fake log and fake time, driven by a random schedule.

The start, the cells, the flush, the archive, the planner, the row engine, the store and the merge
are the real ones. The log is a list, the state table a dictionary, and a crash may come between any
two single writes. Four promises are checked:

* at most once: no answer holds an event twice;
* no flicker:   an event that a reader has seen stays in every later answer;
* whole hours:  an answer of them is the same as of their minutes;
* nothing lost: when all has drained, answers hold every event that is not in a recorded gap or left
                out, and after batch has read everything they hold every event once, those of open
                segments, too, and every row is exact.

And with every answer: the bounds hold, and what is called exact is complete. There is no gap that
no log without its head, no skip and no lost store has made. `reader` says all of this precisely,
also of events that are in the log more than once, and what of that is tolerated.

The speed layer leaves out some events, as late ones. What only batch has read of an open segment,
of these or of a gap, may go out of sight until the next run when the speed layer folds another
event of the same row into that segment; the row is not exact then.
"""

import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fastdata import Count, Metric, Source, Sum, failpoints
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import SpanConflictError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.failpoints import FailpointError
from fastdata.measures import numbers
from fastdata.speed.keys import marker_key
from fastdata.speed.layer import Record
from fastdata.store import hours
from fastdata.store.protocol import ServingStore
from tests.simulation.fakes import CrashError, ViolationError
from tests.simulation.log import FIRST_MS, PARTITIONS, SEGMENT, SPAN, WINDOWS, Log
from tests.simulation.reader import END_MS, Reader
from tests.simulation.worker import Worker

BATCH_FAILPOINTS = (
    "batch.after_open_run", "store.after_totals", "batch.before_flip", "batch.after_flip",
    "batch.before_clean_up",
)  # fmt: skip
SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "id", "type": "string"},
        {
            "name": "digit",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 120, "scale": 0},
        },
    ],
}
OpenStore = Callable[[], Awaitable[ServingStore]]
STEPS = {
    "produce": 30, "fold": 20, "flush": 6, "crash": 3, "rebalance_with_zombie": 1,
    "zombie_wakes": 2, "lose_state": 0.5, "lose_store": 0.3, "lose_head": 0.5, "archive": 8,
    "batch": 2, "undo": 0.5, "clean_up": 3, "query": 10,
}  # fmt: skip


class System:
    """One schedule. The same seed gives the same one."""

    def __init__(self, seed: int, open_store: OpenStore, folder: Path) -> None:
        self.rng = random.Random(seed)
        self.open_store = open_store
        self.store: ServingStore
        self.log = Log(seed)
        self.source, self.metric = declare(folder, self.log.horizon)
        self.reader = Reader(self.log, self.metric)
        self.decoder = Decoder(self.source, FolderRegistry(folder))
        self.registry = FolderRegistry(folder)
        self.now = WINDOWS * HOUR_MS
        self.table: dict[int, dict[bytes, bytes]] = {p: {} for p in range(PARTITIONS)}
        self.committed: dict[int, int] = {}
        self.storage: ArchiveStorage = open_archive_storage("memory:///")
        self.archives: dict[int, PartitionArchive] = {}
        self.has_lost_store = False
        # Drawn beside the schedule, which is the same with skips and without.
        self._skips = random.Random(f"skips of {seed}")
        self.skip_share = 0.15 if seed % 4 == 1 else 0.0
        self.skipped = dict.fromkeys(range(PARTITIONS), 0)
        self.zombie: Worker | None = None
        self.worker: Worker

    # --- the log ------------------------------------------------------------------------------
    async def produce(self) -> None:
        self.now += 1
        self.log.produce(self.rng, self.now, self.source.schema)

    def record(self, p: int, offset: int) -> Record:
        entry = self.log[p][offset]
        return Record(offset, entry.written_at, None, entry.value)

    # --- the speed layer ----------------------------------------------------------------------
    async def start_worker(self) -> None:
        known = {p for p, rows in self.table.items() if marker_key(p) in rows}
        self.worker = await Worker(self).start()
        for p, opened in self.worker.layer.partitions.items():
            # Of what lies before it has no ids, or not those of a gap.
            if p not in known or opened.position > self.committed.get(p, 0):
                self.log.begun_anew[p].add(opened.position)

    def first_to_fold(self, p: int) -> int:
        """Where the log begins for a new owner: at times the edge before its end, as after hours.

        What was there before is skipped, by a source with `skip_after`.
        """
        first = self.log.starts[p]
        if self._skips.random() < self.skip_share:
            self.skipped[p] = max(self.skipped[p], len(self.log[p]) // SEGMENT * SEGMENT)
            first = max(first, len(self.log[p]) // SEGMENT * SEGMENT)
        return first

    async def fold(self) -> None:
        layer, p = self.worker.layer, self.rng.randrange(PARTITIONS)
        for _ in range(self.rng.randint(1, 4)):
            offset = layer.partitions[p].position
            if offset >= len(self.log[p]):
                return
            layer.fold(p, self.record(p, offset))
            layer.see_end(p, len(self.log[p]), self.now)

    async def flush(self) -> None:
        await self.worker.layer.flush()

    async def crash(self) -> None:
        await self.cut_flush(self.worker, self.rng.randint(0, 3 * self.worker.dirty + 8))
        await self.start_worker()

    async def cut_flush(self, worker: Worker, writes: int) -> None:
        worker.budget.left = writes
        with suppress(CrashError):
            await worker.layer.flush()
        worker.budget.left = None

    async def rebalance_with_zombie(self) -> None:
        self.zombie = self.worker
        self.zombie.is_fenced = True
        await self.start_worker()

    async def zombie_wakes(self) -> None:
        if self.zombie:
            await self.cut_flush(self.zombie, self.rng.randint(0, 2 * self.zombie.dirty + 4))
            self.zombie = None

    async def lose_state(self) -> None:
        """The changelog is gone, the committed offsets are not; every old owner was stopped."""
        for rows in self.table.values():
            rows.clear()
        self.zombie = None
        await self.start_worker()

    async def lose_store(self) -> None:
        """All that readers have is gone, gaps too; every owner was stopped."""
        self.store = await self.open_store()
        self.has_lost_store = True
        self.reader.forget()
        self.zombie = None
        await self.start_worker()

    async def lose_head(self) -> None:
        """Kafka deletes the head of a log, which is archived; the owner was stopped before."""
        await self.flush()
        p = self.rng.randrange(PARTITIONS)
        self.log.starts[p] = self.rng.randint(self.log.starts[p], len(self.log[p]))
        self.zombie = None
        await self.start_worker()

    async def clean_up(self) -> None:
        if self.rng.random() < 0.5:
            await self.worker.layer.clean_up()
        else:
            unfolded = unfolded_of(self.source).id
            await self.store.clean_up(self.metric.id, 0, END_MS, unfolded)

    # --- archive and batch --------------------------------------------------------------------
    async def archive(self, p: int | None = None, count: int | None = None) -> None:
        p = self.rng.randrange(PARTITIONS) if p is None else p
        count = self.rng.randint(1, 8) if count is None else count
        archive = self.archives.get(p)
        if archive is None or self.rng.random() < 0.1:  # begun again, as after a crash
            archive = PartitionArchive(self.storage, self.source, self.decoder, p, tile_age_s=1e9)
            await archive.open(0)
            self.archives[p] = archive
        for offset in range(archive.position, min(len(self.log[p]), archive.position + count)):
            entry = self.log[p][offset]
            archive.append(ArchivedRecord(offset, entry.written_at, None, entry.value))
        await archive.flush(force=True)

    async def batch(self) -> None:
        first = self.rng.randrange(WINDOWS // SPAN)
        last = self.rng.randrange(first, WINDOWS // SPAN)
        if self.rng.random() < 0.3:
            failpoints.set_action(self.rng.choice(BATCH_FAILPOINTS), "raise")
        try:
            await self.replay(first, last + 1, resume=self.rng.random() < 0.2)
        except (FailpointError, SpanConflictError):
            pass
        finally:
            for name in BATCH_FAILPOINTS:
                failpoints.clear(name)

    async def replay(self, first: int, end: int, *, resume: bool = False) -> None:
        with pytest.MonkeyPatch.context() as patch:
            # Hours of two minutes are as good as those of many.
            patch.setattr(hours, "_FEW", 1)
            patch.setattr(hours, "_LEAST_ROWS", 1)
            patch.setattr(hours, "_LEAST_SAVING", 1)
            await replay(
                [self.metric],
                store=self.store,
                archive=self.storage,
                start=None if resume else FIRST_MS + first * HOUR_MS,
                end=None if resume else FIRST_MS + end * HOUR_MS,
                workers=0,
                complete=True,
                resume=resume,
            )

    async def undo(self) -> None:
        heads = await self.store.heads(self.metric.id, 0, END_MS)
        if heads and await self.store.undo(self.metric.id, self.rng.choice(sorted(heads))):
            # What only that version held is out of sight for a while.
            self.reader.seen = await self.reader.look(self.store)

    # --- the reader ---------------------------------------------------------------------------
    async def query(self) -> None:
        gaps = await self.store.gaps(self.source.topic)
        edges = {
            p: max(-(-start // SEGMENT) * SEGMENT, self.skipped[p])
            for p, start in self.log.starts.items()
        }
        found = [gap for gap in gaps if gap.end > edges[gap.partition]]
        if found and not self.has_lost_store:
            raise ViolationError(f"gaps that nothing has made: {found}")
        await self.reader.query(self.store)

    async def settle(self) -> None:
        """Drain everything and compare with the log."""
        self.now += HOUR_MS  # later reports are told by the clock
        self.skip_share = 0.0
        await self.start_worker()
        for p, log in self.log.items():
            for offset in range(self.worker.layer.partitions[p].position, len(log)):
                self.worker.layer.fold(p, self.record(p, offset))
            self.worker.layer.see_end(p, len(log), self.now)
        await self.flush()
        await self.query()
        if self.reader.read_until != self.now:
            until = self.reader.read_until
            raise ViolationError(f"all is read at {self.now}, and told until {until}")
        await self.reader.check_drained(self.store)
        for p, log in self.log.items():
            await self.archive(p, len(log))
        await self.replay(0, WINDOWS // SPAN)
        await self.query()
        await self.reader.check_healed(self.store)

    async def run(self, steps: int) -> None:
        self.store = await self.open_store()
        await self.start_worker()
        names, weights = zip(*STEPS.items(), strict=True)
        for name in self.rng.choices(names, weights, k=steps):
            await getattr(self, name)()
        await self.settle()


def declare(folder: Path, horizon: int) -> tuple[Source, Metric]:
    """A source whose segments hold 5 events, and a metric that tells each event."""
    schema = folder / "event.avsc"
    if not schema.exists():
        schema.write_text(json.dumps(SCHEMA))
    source = Source(
        "events", topic="events", schema=str(schema), time="at", id="id", lateness="30d",
        oldest="1970-01-01", segment_size=SEGMENT, repeat_horizon=horizon,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        # No column of an answer has so many, but no answer is made a table here.
        patch.setattr(numbers, "_MOST_DIGITS", 120)
        return source, Metric("seen", source, measures={"count": Count(), "sum": Sum("digit")})
