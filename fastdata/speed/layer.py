"""The speed layer of one source: folds events into cells, and makes them durable.

Knows no Faust and no sockets: records come in, rows go to a table, partials to a store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, InitVar, dataclass, field

from fastdata import failpoints
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import CommitUnknownError, StoreUnavailableError, TableError
from fastdata.events.decoder import Decoder
from fastdata.speed import start
from fastdata.speed.clean_up import Cleaner
from fastdata.speed.flush import FlushSnapshot, take_snapshot
from fastdata.speed.intake import Intake
from fastdata.speed.opening import begin_metrics, check_stored, find_marker, record_gap, stored_of
from fastdata.speed.outlet import Outlet
from fastdata.speed.repeats import Repeats
from fastdata.speed.state import (
    Cells,
    DeadLetters,
    Partition,
    Record,
    StateTable,
)  # fmt: skip
from fastdata.store.protocol import NEVER, Gap, Partial, Progress, ServingStore

__all__ = ["Commit", "Record", "SpeedLayer"]

_SAY_EVERY_MS = 5_000  # how often readers are told that nothing has come
_MAX_OUTGOING_BYTES = 16 << 20

Commit = Callable[[Mapping[int, int]], Awaitable[bool]]


@dataclass(eq=False)
class SpeedLayer:
    """Folds the events of one source in the partitions that are open. One event loop only.

    Order of a flush: dead letters, what is sent on, table (changelog acknowledged), store, commit.
    So readers see nothing that a crash takes back, and what is committed is in all of them.
    Whatever raises leaves the layer unusable: what was dirty is no longer known, so the process
    must end and fold again from the committed offset.

    Attributes:
        metrics: All over `source`; the layer adds that of what it does not fold.
        commit: Commits next offsets per partition; False when the group refused (a rebalance).
        outlet: Takes the events that a source with a destination sends on.
        clock: Now, ms UTC.
        epoch: Which log the events are of, for readers.
        confirm: Asked in each flush, before anything is written: raises when it is another log.
        max_dirty: So many changed cells, of all partitions, make the layer full.
        max_cells: Cells kept in memory, of all partitions.
        partitions: Those that are open.
        intake: What becomes of each record.
        sent_on: Events sent on since the start.
    """

    source: Source
    metrics: Sequence[Metric]
    decoder: InitVar[Decoder]
    _: KW_ONLY
    table: StateTable
    store: ServingStore
    dead_letters: DeadLetters
    commit: Commit
    clock: Callable[[], int]
    outlet: Outlet | None = None
    epoch: str = ""
    confirm: Callable[[], Awaitable[object]] | None = None
    max_dirty: int = 20_000
    max_cells: int = 100_000
    partitions: dict[int, Partition] = field(default_factory=dict, init=False)
    intake: Intake = field(init=False)
    sent_on: int = field(default=0, init=False)

    def __post_init__(self, decoder: Decoder) -> None:
        self.intake = Intake(self.source, self.metrics, decoder, self.clock, self.outlet)
        self.metrics = (*self.metrics, unfolded_of(self.source))
        self._cleaner = Cleaner(self.metrics, self.table, self.store)
        self._lock = asyncio.Lock()
        self._failed = False
        self._said_at = NEVER
        self._outlets = () if self.outlet is None else (f"to:{self.outlet.topic}",)

    async def open(
        self,
        partition: int,
        committed: int | None,
        log_start: int,
        log_end: int,
        *,
        is_intact: bool = True,
        first: int = 0,
    ) -> int:
        """Own a partition from now on, after its table has recovered.

        Args:
            committed: The group's offset; None when it never committed.
            log_start: The first offset that the log holds, or from where on it is to be folded.
            log_end: The offset after the last.
            is_intact: False when the table was restored from a changelog that had lost its head.
            first: The first offset that belongs to the partition.

        Returns:
            The offset to read from: before `committed` when state was lost, and after it where
            what comes next is deleted or too old, which is a gap then.

        Raises:
            StoreError: A gap could not be recorded.
            TableError: State that must not be found could not be taken away.
            CorruptStateError: The marker does not verify.
        """
        stored = await stored_of(self.store, self.source.topic, partition)
        marker = await find_marker(
            self.table, self.metrics, partition, stored,
            is_intact=is_intact, is_uncommitted=(committed or 0) <= first,
        )  # fmt: skip
        size = self.source.segment_size
        vouched = marker.next_offset if marker else None
        begin = start.plan_start(committed, vouched, log_start, size, first)
        cells = Cells(partition, self.metrics, self.table)
        repeats = Repeats(self.source.repeat_horizon, size)
        opened = Partition(partition, cells, repeats, begin.position, begin.durable)
        opened.log_end, opened.epoch = log_end, self.epoch
        if marker is not None:
            opened.watermark, opened.vouched = marker.watermark, marker.next_offset
        # A marker that knows the outlet was written when all before it was sent on.
        is_sent = marker is not None and marker.metrics.issuperset(self._outlets)
        opened.sent = max(committed or 0, opened.vouched if is_sent else 0)
        opened.restore_ids(self.table)
        if begin.gap is not None:
            await record_gap(self.store, Gap(self.source.topic, partition, *begin.gap))
        folded = opened.vouched if committed is None else committed
        await check_stored(self.store, self.table, self.metrics, opened, stored, folded)
        # In a group that has folded nothing yet no metric is newer than another.
        if marker is not None or committed is not None:
            await begin_metrics(self.store, self.metrics[:-1], opened, marker, log_start)
        self.partitions[partition] = opened
        # The position may be an edge of a segment that the log has not reached yet.
        return max(log_start, min(opened.position, log_end))

    def close(self, partitions: Iterable[int]) -> None:
        """Own partitions no more; what was not flushed is folded again by the next owner."""
        for partition in partitions:
            self.partitions.pop(partition, None)

    @property
    def is_full(self) -> bool:
        """Whether so much has changed, or waits, that a flush must come before the next event."""
        opened = self.partitions.values()
        if self.outlet and sum(p.outgoing_bytes for p in opened) >= _MAX_OUTGOING_BYTES:
            return True
        return sum(p.cells.dirty for p in opened) >= self.max_dirty

    def dirty_limit(self, partition: int) -> int:
        """With how many changed cells of a partition the layer is full, if no others change."""
        others = sum(p.cells.dirty for n, p in self.partitions.items() if n != partition)
        return self.max_dirty - others

    def see_end(self, partition: int, log_end: int, at: int) -> None:
        """Learn how long the log was at a time in ms UTC: who has folded it all is fresh."""
        if (opened := self.partitions.get(partition)) is not None:
            opened.see_end(log_end, at)

    def fold(self, partition: int, record: Record) -> None:
        """Fold one record: to be called in the order of offsets, for a partition that is open.

        Idempotent. What cannot be read becomes a dead letter, and the next record may come.

        Raises:
            SchemaNeededError: Nothing was folded; call again when the registry was asked.
            MapError: The source's map function raised.
            CorruptStateError: A stored state does not verify.
            TableError: The layer has failed before.
        """
        if not self.fold_run(partition, (record,), 0, 1):
            self.intake.take(self.partitions[partition], record)

    def fold_run(self, partition: int, records: Sequence[Record], start: int, stop: int) -> int:
        """Fold `records[start:stop]` as `fold` does, faster, up to where one is missing before.

        Returns:
            The index to go on from; `start` only if one is missing before that: `fold` folds it.

        Raises:
            SchemaNeededError: Nothing more was folded; call again when the registry was asked.
            MapError: The source's map function raised.
            CorruptStateError: A stored state does not verify.
            TableError: The layer has failed before.
        """
        self._check()
        return self.intake.take_run(self.partitions[partition], records, start, stop)

    def _check(self) -> None:
        if self._failed:
            raise TableError("the speed layer has failed; end the process and start it again")

    async def flush(self) -> None:
        """Make everything that is folded durable, and commit it. May block; one at a time.

        Idempotent. When it returns without an error, changelog and store have all that was folded
        when it began. Events may be folded meanwhile; they are the next flush's. Where there is
        nothing to write, readers are told every now and then that this is so.

        Raises:
            FastdataError: Something was not written; the process must end.
        """
        async with self._lock:
            if not any(p.is_changed for p in self.partitions.values()):
                await self._say_fresh()
                return
            try:
                now, outlets = self.clock(), self._outlets
                await self._write(take_snapshot(self.partitions, self.metrics, now, outlets))
            except BaseException:
                # Also when cancelled: the snapshot is gone, and its cells are marked clean.
                self._failed = True
                raise
            for owned in self.partitions.values():
                owned.cells.evict(self.max_cells // len(self.partitions))

    async def _say_fresh(self) -> None:
        now, topic = self.clock(), self.source.topic
        fresh = [p.progress(topic, now) for p in self.partitions.values() if p.is_at_end]
        if fresh and now - self._said_at >= _SAY_EVERY_MS:
            with suppress(StoreUnavailableError, CommitUnknownError):
                await self._tell_store([], fresh)
                self._said_at = now

    async def _tell_store(self, partials: Sequence[Partial], reports: Sequence[Progress]) -> None:
        opened = self.partitions.values()
        expected = [p.stored for p in opened if p.stored is not None]
        await self.store.upsert(partials, reports, expected)
        for report in reports:
            if (owned := self.partitions.get(report.partition)) is not None:
                owned.stored = report

    async def _write(self, snapshot: FlushSnapshot) -> None:
        self._said_at = self.clock()
        if self.confirm is not None:
            await self.confirm()
        if snapshot.letters:
            await self.dead_letters.send(snapshot.letters)
        if self.outlet is not None and snapshot.outgoing:
            await self.outlet.send(snapshot.outgoing)
            self.sent_on += sum(map(len, snapshot.outgoing.values()))
        failpoints.reach("flush.before_table")
        await self.table.write(snapshot.rows)
        failpoints.reach("flush.after_table")
        await self._publish(snapshot)
        for partition, position in snapshot.positions.items():
            # It may have been closed meanwhile.
            if (owned := self.partitions.get(partition)) is not None:
                owned.durable = max(owned.durable, position)

    async def _publish(self, snapshot: FlushSnapshot) -> None:
        """Commit last: what is committed is never read again, so the store must have it.

        A commit that the group refuses does no harm: what is folded again finds itself in its cell.
        """
        await self._tell_store(snapshot.partials, snapshot.progress)
        failpoints.reach("flush.after_store")
        await self.commit(snapshot.positions)
        failpoints.reach("flush.after_commit")

    async def clean_up(self) -> int:
        """Drop the cells that the previous version of their own span covers.

        Returns:
            How many rows of the table were dropped.

        Raises:
            StoreError: The heads could not be read; nothing was dropped.
            TableError: The worker must stop.
        """
        kept = await self._cleaner.kept_segments()
        dropped = 0
        for index, by_span in kept.items():
            for partition in list(self.partitions):
                async with self._lock:
                    if (owned := self.partitions.get(partition)) is not None:
                        dropped += await self._cleaner.drop(owned, self.metrics[index], by_span)
        return dropped
