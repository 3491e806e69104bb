"""A serving store in Apache Cassandra 5.

**A reading is one snapshot** although Cassandra has none, by the order in which things are read:

1. Progress. Whatever it says is folded was written before it, so all that is read later has it.
2. The heads of all spans, in one query of one partition, which compare-and-set changes as a whole.
3. The totals that they show, and the partials that they do not cover.
4. The heads again. If one has moved since, all but the progress is read anew.

If none has moved (a counter in each entry tells even a move there and back), they held all the time
between 2 and 4. In that time nothing that they need can have gone: a clean-up drops totals that are
neither the head's nor of the one before it, and partials that the head *before* it covers, which
the head covers as well; what an earlier head had allowed to drop, this one does not need either. So
no reading mixes two versions, and none misses a partial that a version it shows does not cover.

**What a crash leaves** is of no harm: an attempt is in its span's entry before it has rows, and can
be published only when that entry says that all are written; a clean-up takes that right away before
it deletes them.

**One node** with `commitlog_sync: periodic`, which is Cassandra's default, loses what it has
acknowledged in the last seconds when the machine dies, and the last milliseconds when the process
is killed. Run three nodes with replication 3, or set `commitlog_sync: batch`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self, TypeVar
from uuid import UUID, uuid4

from fastdata import failpoints
from fastdata.coordinates.segments import Coverage
from fastdata.errors import CommitUnknownError, StoreUnavailableError
from fastdata.store import protocol, rules
from fastdata.store.cassandra.entry import SpanEntry, heads_of, rows_of
from fastdata.store.cassandra.keyspace import open_keyspace
from fastdata.store.cassandra.options import CassandraOptions
from fastdata.store.cassandra.partials import PartialsTable
from fastdata.store.cassandra.schema import ONLY, dump_progress, load_progress
from fastdata.store.cassandra.session import Batch, CqlRow, Session
from fastdata.store.cassandra.versions import Versions
from fastdata.store.hours import Hours
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Gap, Head, Partial, Progress, Reading, Run, Survey

__all__ = ["CassandraStore"]

_READINGS = 10
_T = TypeVar("_T")


class CassandraStore(protocol.ServingStore):
    """A `ServingStore` of the tables of `cassandra.schema`.

    Args:
        options: The keyspace and how to reach it.
        create: Whether to create it where there is none; readers do not.
    """

    def __init__(self, options: CassandraOptions, create: bool = True) -> None:
        self._options = options
        self._create = create

    async def __aenter__(self) -> Self:
        """Connect, and create the keyspace where there is none; processes may race.

        Raises:
            StoreUnavailableError: No node can be reached, or there is no store yet.
            SettingsError: The password, TLS or an option is wrong.
            StoreError: The tables are of another version.
        """
        options = self._options
        self._keyspace = await asyncio.to_thread(open_keyspace, options, self._create)
        self._do = self._keyspace.statements
        self._session = Session(self._keyspace.session, options.shown, options.writes_per_s)
        self._partials = PartialsTable(self._session, self._do, self._keyspace.buckets)
        self._versions = Versions(self._session, self._do)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self._keyspace.session.cluster.shutdown)

    async def upsert(
        self,
        partials: Sequence[Partial],
        progress: Sequence[Progress],
        expected: Sequence[Progress] = (),
    ) -> None:
        """See `ServingStore`; of two partials of one key and stamp the larger bytes stay.

        What it has is looked at just before the progress is written, not together with it.
        """
        await self._partials.put(rules.newest(partials).values())
        for topic in {p.topic for p in expected}:
            of_topic = (p for p in expected if p.topic == topic)
            rules.check_kept(of_topic, await self.progress(topic), self._options.shown)
        put = self._do.put_progress
        await self._session.write(
            Batch([(put, (p.next_offset, dump_progress(p), p.topic, p.partition))])
            for p in rules.furthest(progress).values()
        )

    async def record_gap(self, gap: Gap) -> None:
        """See `ServingStore`; the end of the gap is its own write timestamp."""
        key = (gap.topic, gap.partition, gap.start)
        await self._session.write([Batch([(self._do.put_gap_end, (gap.end, gap.end, *key))])])

    async def read(
        self,
        metric: str,
        unfolded: str,
        topic: str,
        start: int,
        end: int,
        totals: Sequence[tuple[int, int]] | None = None,
        dims: Sequence[str] = ("",),
        hours: Hours | None = None,
        windows: tuple[int, int] | None = None,
    ) -> Reading:
        """See `ServingStore`; the order of the reads makes it one snapshot, as told above.

        Its partials lie by the hour, and all of an hour are read.

        Raises:
            StoreUnavailableError: Heads kept moving while they were read.
        """
        progress = await self.progress(topic)

        async def fetch(entries: Mapping[int, SpanEntry]) -> Reading:
            heads = heads_of(entries)
            first = _first_shown(heads)
            wanted = [entries[span] for span in rules.within(entries, totals)]
            shown, partials, missed, of_topic, of_metric = await asyncio.gather(
                self._versions.totals(wanted, dims, hours),
                self._partials.read(metric, start, end, first, dims),
                self._partials.read(unfolded, rules.first_timed(start), end, first),
                self.gaps(topic),
                self.gaps(metric),
            )
            return Reading(heads, shown, partials, missed, [*of_topic, *of_metric], progress)

        return await self._while_heads_rest(metric, start, end, fetch)

    async def survey(self, metric: str, unfolded: str, topic: str, start: int, end: int) -> Survey:
        """See `ServingStore`; of one snapshot, as a reading.

        Raises:
            StoreUnavailableError: Heads kept moving while they were read.
        """
        progress = await self.progress(topic)

        async def fetch(entries: Mapping[int, SpanEntry]) -> Survey:
            heads = heads_of(entries)
            first = _first_shown(heads)
            partials, missed, of_topic, of_metric = await asyncio.gather(
                self._partials.tally(metric, start, end, first),
                self._partials.tally(unfolded, rules.first_timed(start), end, first),
                self.gaps(topic),
                self.gaps(metric),
            )
            return Survey(heads, partials, missed, [*of_topic, *of_metric], progress)

        return await self._while_heads_rest(metric, start, end, fetch)

    async def _while_heads_rest(
        self,
        metric: str,
        start: int,
        end: int,
        fetch: Callable[[Mapping[int, SpanEntry]], Awaitable[_T]],
    ) -> _T:
        """What was fetched while no head moved."""
        entries = await self._versions.entries(metric, start, end)
        for _ in range(_READINGS):
            fetched = await fetch(entries)
            again = await self._versions.entries(metric, start, end)
            # Not the heads: one that was flipped and undone meanwhile is the same again.
            if _moves(again) == _moves(entries):
                return fetched
            entries = again
        raise StoreUnavailableError(
            f"cannot read {metric} in {self._options.shown}: its heads moved {_READINGS} times"
            " meanwhile; try again"
        )

    async def heads(self, metric: str, start: int, end: int) -> dict[int, Head]:
        return heads_of(await self._versions.entries(metric, start, end, serial=True))

    async def progress(self, topic: str) -> Sequence[Progress]:
        rows = await self._session.read(self._do.read_progress, (topic,))
        return [load_progress(topic, *row) for row in rows]

    async def gaps(self, topic: str) -> Sequence[Gap]:
        return [Gap(*row) for row in await self._session.read(self._do.read_gaps, (topic,))]

    async def partials(self, metric: str, start: int, end: int) -> Sequence[Partial]:
        partials = await self._partials.read(metric, rules.span_of(start), end, lambda *_: 0)
        return [p for p in partials if start <= p.window < end]

    async def has_partials(self, metric: str) -> bool:
        return await self._partials.has_any(metric)

    async def open_run(self, metric: str, start: int, end: int, coverage: Coverage) -> Run:
        opened = uuid4()
        while True:
            newest = await self._session.read(self._do.newest_run, (ONLY,), serial=True)
            number = newest[0][0] + 1 if newest else 1
            values = (ONLY, number, metric, start, end, coverage.dump(), opened)
            if await self._insert_run(number, opened, values):
                return Run(number, metric, start, end, coverage)

    async def _insert_run(self, number: int, opened: UUID, values: CqlRow) -> bool:
        error: CommitUnknownError | None = None
        try:
            if await self._session.compare_and_set([(self._do.new_run, values)]):
                return True
        except CommitUnknownError as unknown:
            error = unknown
        # The driver repeats what it has no answer to, and finds its own row there.
        try:
            rows = await self._session.read(self._do.opened_run, (ONLY, number), serial=True)
        except StoreUnavailableError as unanswered:
            raise error or unanswered from unanswered
        return rows == [(opened,)]

    async def close_run(self, number: int) -> None:
        await self._session.compare_and_set([(self._do.close_run, (ONLY, number))])

    async def last_run(self, metric: str) -> Run | None:
        rows = await self._session.read(self._do.last_run, (ONLY, metric), serial=True)
        for number, _, start, end, coverage, is_done in rows:
            return Run(number, metric, start, end, Coverage.load(coverage), is_done)
        return None

    async def replayed(self, prefix: str) -> Sequence[str]:
        """See `ServingStore`; a look at each run of one partition, which has a row a run."""
        between = ONLY, prefix, prefix + chr(sys.maxunicode)
        rows = await self._session.read(self._do.runs_between, between, serial=True)
        return list(dict.fromkeys(metric for (metric,) in rows))

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: protocol.SpanTotals,
        pace: Pace | None = None,
        hours: protocol.SpanTotals | None = None,
    ) -> dict[int, int]:
        """See `ServingStore`; in partitions of this call alone."""
        return await self._versions.write(metric, version, spans, pace, hours)

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        """See `ServingStore`; by one compare-and-set."""

        def move(entries: Mapping[int, SpanEntry]) -> list[SpanEntry]:
            moved = rules.move_heads(heads_of(entries), flips, rows_of(entries.values()))
            failpoints.reach("store.before_flip")
            return [entries.get(span, SpanEntry(span)).move(head) for span, head in moved.items()]

        await self._versions.change(metric, [flip.span for flip in flips], move)
        failpoints.reach("store.after_flip")

    async def undo(self, metric: str, span: int) -> bool:
        """See `ServingStore`; by one compare-and-set."""

        def move_back(entries: Mapping[int, SpanEntry]) -> list[SpanEntry]:
            entry = entries.get(span)
            if entry is None or entry.head is None or entry.head.previous is None:
                return []
            return [entry.move(Head(span, *entry.head.previous))]

        return bool(await self._versions.change(metric, [span], move_back))

    async def clean_up(self, metric: str, start: int, end: int, unfolded: str = "") -> int:
        """See `ServingStore`; the right to be published is taken from totals before their rows."""
        entries = await self._versions.entries(metric, start, end, serial=True)
        await self._versions.drop_totals(metric, entries.values())
        heads = heads_of(entries)

        def behind(span: int) -> Coverage:
            return rules.previous_coverage(rules.of_own_span(heads, span))

        dropped = await self._partials.drop(metric, start, end, behind)
        if unfolded:
            dropped += await self._partials.drop(unfolded, rules.first_timed(start), end, behind)
        return dropped


def _first_shown(heads: Mapping[int, Head]) -> Callable[[int, int], int]:
    """The first segment of a span and Kafka partition that is not in the span's totals."""
    return lambda span, partition: rules.first_open(heads.get(span), partition)


def _moves(entries: Mapping[int, SpanEntry]) -> dict[int, int]:
    """How often each span's head moved; one that never did may have an entry, or none."""
    return {span: entry.moves for span, entry in entries.items() if entry.head}
