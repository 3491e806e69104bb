"""The two layers in one process, with a fake log and fake time, driven by a random schedule.

The start, the cells, the flush, the archive, the planner, the row engine, the store and the merge
are the real ones. The log is a list, the state table a dictionary, and a crash may come between any
two single writes. Three promises are checked:

* at most once: no answer holds an event twice;
* no flicker:   an event that a reader has seen stays in every later answer;
* nothing lost: when all has drained, answers hold every event that is not in a recorded gap or left
                out, and after batch has read everything they hold every event, those of open
                segments, too, and every row is exact.

And with every answer: the bounds hold, and what is called exact is complete: it has every event
that either layer has read, and every one that was written to the log before `read_until`. There is
no gap that neither a log without its head nor a lost store has made.

The speed layer leaves out some events, as late ones. What only batch has read of an open segment,
of these or of a gap, may go out of sight until the next run when the speed layer folds another
event of the same row into that segment; the row is not exact then.

Every event carries the value 16**n, n its number, so that the exact sum of a window tells, digit by
digit in base 16, how often it holds each event.
"""

import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from fastdata import Count, Metric, Source, Sum, failpoints
from fastdata.answer.merge import Buckets, Doubts, merge
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import SpanConflictError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.failpoints import FailpointError
from fastdata.measures import numbers
from fastdata.measures.estimates import Estimate
from fastdata.speed.layer import Record
from fastdata.store.protocol import Gap, Head, Partial, Reading, ServingStore
from tests.simulation.fakes import CrashError, ViolationError
from tests.simulation.worker import Worker

PARTITIONS, SEGMENT, WINDOWS, SPAN = 2, 5, 6, 2
FIRST_MS = HOUR_MS  # of the hour before, what is left out is in no reading
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
        self.source, self.metric = declare(folder)
        self.decoder = Decoder(self.source, FolderRegistry(folder))
        self.registry = FolderRegistry(folder)
        self.now = WINDOWS * HOUR_MS
        self.log: dict[int, list[tuple[int, bytes]]] = {p: [] for p in range(PARTITIONS)}
        self.written: dict[tuple[int, int], int] = {}  # when an event was, by the log's own time
        self.numbers: dict[int, tuple[int, int]] = {}
        self.table: dict[int, dict[bytes, bytes]] = {p: {} for p in range(PARTITIONS)}
        self.committed: dict[int, int] = {}
        self.storage: ArchiveStorage = open_archive_storage("memory:///")
        self.archives: dict[int, PartitionArchive] = {}
        self.seen: set[tuple[int, int]] = set()
        self.seen_folded: set[tuple[int, int]] = set()  # in a partial that a reader saw
        self.left_out: set[tuple[int, int]] = set()
        self.log_starts = dict.fromkeys(range(PARTITIONS), 0)
        self.has_lost_store = False
        self.inexact: list[int] = []  # rows of the last answer
        self.read_until: int | None = None  # of the last answer
        self.zombie: Worker | None = None
        self.worker: Worker

    # --- the log ------------------------------------------------------------------------------
    async def produce(self) -> None:
        p = self.rng.randrange(PARTITIONS)
        newest = min(WINDOWS - 1, len(self.numbers) // 12)
        late = self.rng.randrange(newest + 1) if self.rng.random() < 0.3 else newest
        if len(self.log[p]) < 40:
            number = len(self.numbers)
            self.numbers[number] = (p, len(self.log[p]))
            if self.rng.random() < 0.1:
                self.left_out.add(self.numbers[number])
            at, id = window_start(late), f"e{number}"
            record = {"at": at, "id": id, "digit": Decimal(16**number)}
            self.now += 1
            self.written[self.numbers[number]] = self.now
            self.log[p].append((late, encode(self.source.schema, record)))

    def record(self, p: int, offset: int) -> Record:
        return Record(offset, self.written[p, offset], None, self.log[p][offset][1])

    # --- the speed layer ----------------------------------------------------------------------
    async def start_worker(self) -> None:
        self.worker = await Worker(self).start()

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
        self.seen, self.seen_folded, self.zombie = set(), set(), None
        await self.start_worker()

    async def lose_head(self) -> None:
        """Kafka deletes the head of a log, which is archived; the owner was stopped before."""
        await self.flush()
        p = self.rng.randrange(PARTITIONS)
        self.log_starts[p] = self.rng.randint(self.log_starts[p], len(self.log[p]))
        self.zombie = None
        await self.start_worker()

    async def clean_up(self) -> None:
        if self.rng.random() < 0.5:
            await self.worker.layer.clean_up()
        else:
            unfolded = unfolded_of(self.source).id
            await self.store.clean_up(self.metric.id, 0, WINDOWS * HOUR_MS, unfolded)

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
            at = self.written[p, offset]
            archive.append(ArchivedRecord(offset, at, None, self.log[p][offset][1]))
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
        heads = await self.store.heads(self.metric.id, 0, WINDOWS * HOUR_MS)
        if heads and await self.store.undo(self.metric.id, self.rng.choice(sorted(heads))):
            # What only that version held is out of sight for a while.
            self.seen = await self.visible()

    # --- the reader ---------------------------------------------------------------------------
    async def answer(self) -> dict[int, set[tuple[int, int]]]:
        """The events of each window, as the exact sum tells them; and checks the row's claims."""
        end = WINDOWS * HOUR_MS
        source = self.source
        reading = await self.store.read(
            self.metric.id, unfolded_of(source).id, source.topic, 0, end
        )
        self.inexact = []
        answers: dict[int, set[tuple[int, int]]] = defaultdict(set)
        doubts = Doubts(self.metric, reading)
        self.read_until = doubts.read_until
        self.note_folded(doubts.settled.partials)
        for merged in merge(self.metric, doubts, Buckets(0, end, MINUTE_MS)):
            row = merged.estimated(self.metric)
            count, total = row.estimates
            assert isinstance(total.value, Decimal)
            events = self.events_in(total.value, f"window {row.start}")
            answers[row.start] = events
            self.check_claims(row.start, events, count, row.is_exact, reading)
            if not row.is_exact:
                self.inexact.append(row.start)
        return answers

    def events_in(self, total: Decimal, place: str) -> set[tuple[int, int]]:
        """The events that a sum is made of."""
        digits = f"{int(total):x}"[::-1]
        if twice := [self.numbers[n] for n, d in enumerate(digits) if d not in "01"]:
            raise ViolationError(f"counted twice in {place}: {twice}")
        return {self.numbers[n] for n, digit in enumerate(digits) if digit == "1"}

    def note_folded(self, partials: Sequence[Partial]) -> None:
        for partial in partials:
            total = self.metric.aggregates[1].present(self.metric.load(partial.state)[1]).value
            assert isinstance(total, Decimal)
            self.seen_folded |= self.events_in(total, f"a partial of {partial.window}")

    def check_claims(
        self, start: int, events: set[tuple[int, int]], count: Estimate, exact: bool, read: Reading
    ) -> None:
        """The bounds hold for all events that either layer has read, and exact is complete."""
        folded = {p.partition: p.next_offset for p in read.progress}
        head = read.heads.get(start - start % HOUR_MS)
        counted = head.coverage if head else Coverage()
        all_read = {
            (p, offset)
            for p, log in self.log.items()
            for offset, (window, _) in enumerate(
                log[: max(folded.get(p, 0), counted.end(p, SEGMENT))]
            )
            if window_start(window) == start
        }
        lower, upper = cast("int", count.lower), cast("int", count.upper)
        if count.value != len(events) or not lower <= len(events | all_read) <= upper:
            raise ViolationError(f"{len(events | all_read)} is not in [{lower}, {upper}]")
        if exact and not all_read <= events:
            raise ViolationError(f"called exact without {sorted(all_read - events)[:4]}")
        if exact and (late := self.written_before(self.read_until, start) - events):
            raise ViolationError(f"read until {self.read_until}, and exact without {sorted(late)}")

    def written_before(self, moment: int | None, start: int) -> set[tuple[int, int]]:
        """The events of a window that were written to the log before a moment."""
        return {
            (p, offset)
            for (p, offset), at in self.written.items()
            if moment is not None and at < moment and window_start(self.log[p][offset][0]) == start
        }

    async def query(self) -> None:
        now = await self.visible()
        heads = await self.store.heads(self.metric.id, 0, WINDOWS * HOUR_MS)
        gaps = await self.store.gaps(self.source.topic)
        edges = {p: -(-start // SEGMENT) * SEGMENT for p, start in self.log_starts.items()}
        found = [gap for gap in gaps if gap.end > edges[gap.partition]]
        if found and not self.has_lost_store:
            raise ViolationError(f"gaps that nothing has made: {found}")
        if gone := {e for e in self.seen - now if not self.may_hide(e, heads, gaps)}:
            raise ViolationError(f"flicker: {sorted(gone)[:4]} seen before, gone now")
        self.seen = now

    async def visible(self) -> set[tuple[int, int]]:
        """All events that readers see."""
        return {event for events in (await self.answer()).values() for event in events}

    def may_hide(
        self, event: tuple[int, int], heads: Mapping[int, Head], gaps: Sequence[Gap]
    ) -> bool:
        """Whether only batch has read it, of a segment that is open to the current version."""
        p, offset = event
        start = window_start(self.log[p][offset][0])
        head = heads.get(start - start % HOUR_MS)
        is_open = head is None or not head.coverage.covers(p, offset // SEGMENT)
        is_in_gap = any(gap.partition == p and gap.start <= offset < gap.end for gap in gaps)
        is_unfolded = event in self.left_out or is_in_gap
        return is_open and is_unfolded and event not in self.seen_folded

    async def settle(self) -> None:
        """Drain everything and compare with the log."""
        self.now += HOUR_MS  # later reports are told by the clock
        await self.start_worker()
        for p, log in self.log.items():
            for offset in range(self.worker.layer.partitions[p].position, len(log)):
                self.worker.layer.fold(p, self.record(p, offset))
            self.worker.layer.see_end(p, len(log), self.now)
        await self.flush()
        await self.query()
        if self.read_until != self.now:
            raise ViolationError(f"all is read at {self.now}, and told until {self.read_until}")
        everything = {(p, o) for p, log in self.log.items() for o in range(len(log))}
        gaps = await self.store.gaps(self.source.topic)
        in_gaps = {(gap.partition, o) for gap in gaps for o in range(gap.start, gap.end)}
        if lost := everything - self.seen - in_gaps - self.left_out:
            raise ViolationError(f"lost: {sorted(lost)[:4]}")
        for p, log in self.log.items():
            await self.archive(p, len(log))
        await self.replay(0, WINDOWS // SPAN)
        await self.query()
        if lost := everything - self.seen:
            raise ViolationError(f"not healed: {sorted(lost)[:4]}")
        # A gap reaches to an edge, which the log may not have reached yet.
        if self.inexact and all(gap.end <= len(self.log[gap.partition]) for gap in gaps):
            raise ViolationError(f"all is counted, and these are not exact: {self.inexact}")

    async def run(self, steps: int) -> None:
        self.store = await self.open_store()
        await self.start_worker()
        names, weights = zip(*STEPS.items(), strict=True)
        for name in self.rng.choices(names, weights, k=steps):
            await getattr(self, name)()
        await self.settle()


def window_start(window: int) -> int:
    """Model window to time: two windows of a minute in each span of an hour."""
    return FIRST_MS + window // SPAN * HOUR_MS + window % SPAN * MINUTE_MS


def declare(folder: Path) -> tuple[Source, Metric]:
    """A source whose segments hold 5 events, and a metric that tells each event."""
    schema = folder / "event.avsc"
    if not schema.exists():
        schema.write_text(json.dumps(SCHEMA))
    source = Source(
        "events", topic="events", schema=str(schema), time="at", id="id", lateness="30d",
        oldest="1970-01-01", segment_size=SEGMENT,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        # No column of an answer has so many, but no answer is made a table here.
        patch.setattr(numbers, "_MOST_DIGITS", 120)
        return source, Metric("seen", source, measures={"count": Count(), "sum": Sum("digit")})
