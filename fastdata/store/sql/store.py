"""A serving store in an SQL database, by SQLAlchemy's Core."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from typing import Self

from sqlalchemy import Delete, Table, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from fastdata import failpoints
from fastdata.coordinates.segments import Coverage
from fastdata.errors import StoreError, StoreUnavailableError
from fastdata.store import protocol, rules
from fastdata.store.hours import Hours, hours_id
from fastdata.store.pace import Pace
from fastdata.store.protocol import Flip, Gap, Head, Partial, Progress, Reading, Run, Survey, Total
from fastdata.store.sql import seeks, statements, tables
from fastdata.store.sql.dialect import READ, WRITE, Dialect, SqlRow, to_its_end, transaction
from fastdata.store.sql.hours import fetch_totals
from fastdata.store.sql.rows import RowsAsRead

__all__ = ["SqlStore"]

# A flush of the worker waits for a portion at most, so portions are short.
_ROWS_AT_ONCE = 5_000
_SPANS_AT_ONCE = 24
# A span, the id of its rows, whether they begin here, and rows.
_Piece = tuple[int, str, bool, Sequence[protocol.TotalRow]]


class SqlStore(protocol.ServingStore):
    """A `ServingStore` of the tables of `tables`, by one dialect.

    Every call is one transaction, or a few short ones where its docstring says so.

    Args:
        dialect: The database, and what is peculiar to it.
        create: Whether to create the tables where there are none; readers do not.
    """

    def __init__(self, dialect: Dialect, create: bool = True) -> None:
        self._dialect = dialect
        self._create = create
        self._engine = dialect.engine()
        self._transaction = partial(transaction, self._engine, dialect)
        self._texts: dict[tuple[str, int], str] = {}

    async def __aenter__(self) -> Self:
        """Connect, and create the tables where there are none; processes may race.

        Raises:
            StoreUnavailableError: The database cannot be reached, or holds no store yet.
            StoreError: It was written by another version of fastdata.
        """
        try:
            layout = await self._layout()
            if layout is None:
                await self._create_tables()
                layout = await self._layout()
            elif layout in tables.MIGRATIONS:
                await self._migrate()
                layout = await self._layout()
            self._check_layout(layout)
        except BaseException:
            await self._engine.dispose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.dispose()

    @to_its_end
    async def upsert(
        self,
        partials: Sequence[Partial],
        progress: Sequence[Progress],
        expected: Sequence[Progress] = (),
    ) -> None:
        """See `ServingStore`; atomic as a whole."""
        rows = [
            (*key, rules.span_of(p.window), p.stamp, p.state)
            for key, p in rules.newest(partials).items()
        ]
        reports = [
            (*key, p.next_offset, p.watermark, p.updated, p.read_until, p.is_at_end, p.epoch)
            for key, p in rules.furthest(progress).items()
        ]
        async with self._transaction("write partials", WRITE) as connection:
            for topic in {p.topic for p in expected}:
                stored = await statements.fetch_progress(connection, topic)
                of_topic = (p for p in expected if p.topic == topic)
                rules.check_kept(of_topic, stored, self._dialect.shown)
            await self._put(connection, tables.partials, rows)
            await self._put(connection, tables.progress, reports)

    @to_its_end
    async def record_gap(self, gap: Gap) -> None:
        async with self._transaction("record a gap", WRITE) as connection:
            await self._dialect.lock(connection, gap.topic)
            t = tables.gaps.c
            same = t.topic == gap.topic, t.partition == gap.partition, t.start == gap.start
            for row in await connection.execute(select(tables.gaps).where(*same)):
                gap = rules.merge_gaps(Gap(*row), gap)
            await self._put(connection, tables.gaps, [astuple(gap)])

    @to_its_end
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
        """See `ServingStore`; a transaction sees one snapshot, whatever is committed meanwhile."""
        counted, missed = _ranges(metric, unfolded, start, end)
        limits = windows or (start, end)
        async with self._transaction("read an answer", READ) as connection:
            heads = await statements.fetch_heads(connection, metric, start, end)
            every = ((max(start, a), min(end, b)) for a, b in totals or ())
            wanted = [(start, end)] if totals is None else list(every)
            shown = await fetch_totals(connection, metric, heads, wanted, dims, hours)
            partials_of = await seeks.partials_of(connection, self._dialect, metric, *limits, dims)
            counted["start"], counted["end"] = limits
            rows = await statements.fetch_rows(connection, partials_of, counted)
            partials = rules.beginning(rows, 2, dims)
            visible = statements.visible_partials(self._dialect)
            unseen = await statements.fetch_rows(connection, visible, missed)
            return Reading(
                heads=heads,
                totals=RowsAsRead(Total._make, shown),
                partials=RowsAsRead(Partial._make, partials),
                unfolded=RowsAsRead(Partial._make, unseen),
                gaps=await statements.fetch_gaps(connection, topic, metric),
                progress=await statements.fetch_progress(connection, topic),
            )

    @to_its_end
    async def survey(self, metric: str, unfolded: str, topic: str, start: int, end: int) -> Survey:
        """See `ServingStore`; of one snapshot, as a reading."""
        counted, missed = _ranges(metric, unfolded, start, end)
        async with self._transaction("survey an answer", READ) as connection:
            tally = statements.tally_partials(self._dialect)
            return Survey(
                heads=await statements.fetch_heads(connection, metric, start, end),
                partials=await statements.fetch_tallies(connection, tally, counted),
                unfolded=await statements.fetch_tallies(connection, tally, missed),
                gaps=await statements.fetch_gaps(connection, topic, metric),
                progress=await statements.fetch_progress(connection, topic),
            )

    @to_its_end
    async def heads(self, metric: str, start: int, end: int) -> dict[int, Head]:
        async with self._transaction("read heads", READ) as connection:
            return await statements.fetch_heads(connection, metric, start, end)

    @to_its_end
    async def progress(self, topic: str) -> Sequence[Progress]:
        async with self._transaction("read progress", READ) as connection:
            return await statements.fetch_progress(connection, topic)

    @to_its_end
    async def gaps(self, topic: str) -> Sequence[Gap]:
        async with self._transaction("read gaps", READ) as connection:
            return await statements.fetch_gaps(connection, topic)

    @to_its_end
    async def partials(self, metric: str, start: int, end: int) -> Sequence[Partial]:
        within = {"metric": metric, "start": start, "end": end}
        async with self._transaction("read partials", READ) as connection:
            rows = await statements.fetch_rows(connection, statements.READ_PARTIALS, within)
            return list(map(Partial._make, rows))

    @to_its_end
    async def has_partials(self, metric: str) -> bool:
        async with self._transaction("look for partials", READ) as connection:
            return bool(await connection.scalar(statements.HAS_PARTIALS, {"metric": metric}))

    @to_its_end
    async def open_run(self, metric: str, start: int, end: int, coverage: Coverage) -> Run:
        values = {"metric": metric, "start": start, "end": end, "coverage": coverage.dump()}
        async with self._transaction("open a run", WRITE) as connection:
            new = tables.runs.insert().values(is_done=False, **values)
            done = await connection.execute(new.returning(tables.runs.c.number))
            number = done.scalar_one()
        return Run(number, metric, start, end, coverage)

    @to_its_end
    async def close_run(self, number: int) -> None:
        async with self._transaction("close a run", WRITE) as connection:
            await connection.execute(statements.CLOSE_RUN, {"run": number})

    @to_its_end
    async def last_run(self, metric: str) -> Run | None:
        async with self._transaction("read runs", READ) as connection:
            rows = await connection.execute(statements.READ_LAST_RUN, {"metric": metric})
            row = rows.one_or_none()
        if row is None:
            return None
        return Run(row.number, metric, row.start, row.end, Coverage.load(row.coverage), row.is_done)

    @to_its_end
    async def replayed(self, prefix: str) -> Sequence[str]:
        async with self._transaction("read runs", READ) as connection:
            ids = await connection.scalars(statements.READ_REPLAYED)
            return [id for id in ids if id.startswith(prefix)]

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: protocol.SpanTotals,
        pace: Pace | None = None,
        hours: protocol.SpanTotals | None = None,
    ) -> dict[int, int]:
        """See `ServingStore`; 5,000 rows a transaction."""
        both = (metric, spans), (hours_id(metric), hours or {})
        rows = {
            (span, id): rules.unique(metric, totals.get(span, ()))
            for span in sorted(spans)
            for id, totals in both
        }
        at_once = min(_ROWS_AT_ONCE, pace.rows_at_once) if pace else _ROWS_AT_ONCE
        for portion in _portions_of(rows, at_once):
            if pace:
                await pace.wait(sum(len(totals) for *_, totals in portion))
            await self._write_portion(metric, version, portion)
            failpoints.reach("store.after_totals")
        return {span: sum(len(rows[span, id]) for id, _ in both) for span in spans}

    @to_its_end
    async def _write_portion(self, metric: str, version: int, portion: Sequence[_Piece]) -> None:
        written = {"metric": metric, "version": version}
        begun = [
            written | {"metric": id, "span": span} for span, id, is_first, _ in portion if is_first
        ]
        rows = [(id, version, span, *total) for span, id, _, totals in portion for total in totals]
        spans = {span for span, *_ in portion}
        between = {"start": min(spans), "end": max(spans) + 1}
        async with self._transaction("write totals", WRITE) as connection:
            await self._dialect.lock(connection, metric)
            published = await connection.scalars(statements.READ_PUBLISHED, written | between)
            rules.refuse_published(metric, version, spans.intersection(published))
            if begun:
                await connection.execute(statements.DROP_VERSION, begun)
            await self._put(connection, tables.totals, rows)

    @to_its_end
    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        if not flips:
            return
        spans = [flip.span for flip in flips]
        async with self._transaction("publish", WRITE) as connection:
            # Compare and set: whoever flips, undoes or drops of this metric waits here, so heads
            # and rows are still as they are read now when the new heads are committed.
            await self._dialect.lock(connection, metric)
            heads = await statements.fetch_heads(connection, metric, min(spans), max(spans) + 1)
            counted = [(flip.span, flip.version) for flip in flips if flip.rows is not None]
            rows = await statements.count_totals(connection, metric, counted)
            moved = rules.move_heads(heads, flips, rows)
            failpoints.reach("store.before_flip")
            await self._put_heads(connection, metric, moved.values())
        failpoints.reach("store.after_flip")

    @to_its_end
    async def undo(self, metric: str, span: int) -> bool:
        async with self._transaction("undo", WRITE) as connection:
            await self._dialect.lock(connection, metric)
            head = (await statements.fetch_heads(connection, metric, span, span + 1)).get(span)
            if head is None or head.previous is None:
                return False
            await self._put_heads(connection, metric, [Head(span, *head.previous)])
            return True

    async def clean_up(self, metric: str, start: int, end: int, unfolded: str = "") -> int:
        """See `ServingStore`; 24 spans with heads a transaction."""
        spans, obsolete = await self._plan_clean_up(metric, start, end)
        drop = statements.drop_partials(self._dialect)
        dropped = 0
        for first, last in itertools.pairwise([start, *spans[_SPANS_AT_ONCE::_SPANS_AT_ONCE], end]):
            ranges = _ranges(metric, unfolded, first, last)
            dropped += await self._drop(metric, drop, ranges if unfolded else ranges[:1])
        for portion in rules.portions(obsolete, _SPANS_AT_ONCE):
            versions = [{"judge": metric, "span": span, "version": v} for span, v in portion]
            both = [v | {"metric": m} for v in versions for m in (metric, hours_id(metric))]
            await self._drop(metric, statements.DROP_OBSOLETE, both)
        return dropped

    @to_its_end
    async def _plan_clean_up(
        self, metric: str, start: int, end: int
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """The spans with heads, and the (span, version) that none needs."""
        within = {"metric": metric, "start": start, "end": end}
        async with self._transaction("plan a clean-up", READ) as connection:
            heads = await statements.fetch_heads(connection, metric, start, end)
            closed = await connection.execute(statements.READ_CLOSED_VERSIONS, within)
            obsolete = [(s, v) for s, v in closed if v not in rules.versions_of(heads.get(s))]
            return list(heads), obsolete

    @to_its_end
    async def _drop(
        self, metric: str, statement: Delete, parameters: Sequence[Mapping[str, object]]
    ) -> int:
        """How many rows were dropped, in one transaction."""
        async with self._transaction("clean up", WRITE) as connection:
            await self._dialect.lock(connection, metric)
            done = [await connection.execute(statement, values) for values in parameters]
            return sum(result.rowcount for result in done)

    async def _put(self, connection: AsyncConnection, table: Table, rows: Sequence[SqlRow]) -> None:
        for size, parameters in self._dialect.portions(rows):
            if not parameters:
                continue
            text = self._texts.get((table.name, size))
            if text is None:
                text = statements.put(self._dialect, self._engine.dialect, table, size)
                self._texts[table.name, size] = text
            # The driver's own executemany: three times as fast as by way of dictionaries.
            await connection.exec_driver_sql(text, parameters)

    async def _put_heads(
        self, connection: AsyncConnection, metric: str, heads: Iterable[Head]
    ) -> None:
        rows = []
        for head in heads:
            version, coverage = head.previous or (None, None)
            behind = coverage.dump() if coverage else None
            rows.append((metric, head.span, head.version, head.coverage.dump(), version, behind))
        await self._put(connection, tables.heads, rows)

    @to_its_end
    async def _layout(self) -> int | None:
        """The version of the tables; None when there are none."""
        async with self._transaction("open the store", READ) as connection:
            if not await connection.run_sync(lambda c: inspect(c).has_table(tables.layout.name)):
                return None
            return (await connection.execute(select(tables.layout.c.version))).scalar()

    @to_its_end
    async def _create_tables(self) -> None:
        if not self._create:
            raise StoreUnavailableError(
                f"{self._dialect.shown} holds no store yet: start a worker or a replay first, or"
                " check FASTDATA_STORE"
            )
        try:
            await self._dialect.prepare(self._engine)
        except SQLAlchemyError as error:
            raise self._dialect.failure(error, "prepare the file", False) from error
        async with self._transaction("create the tables", WRITE) as connection:
            await self._dialect.lock(connection, tables.layout.name)
            await connection.run_sync(tables.metadata.create_all)
            await self._put(connection, tables.layout, [(tables.LAYOUT,)])

    @to_its_end
    async def _migrate(self) -> None:
        """Bring the tables of an earlier version to this layout; processes may race."""
        async with self._transaction("migrate the tables", WRITE) as connection:
            await self._dialect.lock(connection, tables.layout.name)
            version = (await connection.execute(select(tables.layout.c.version))).scalar_one()
            while version in tables.MIGRATIONS:
                for statement in tables.MIGRATIONS[version]:
                    await connection.execute(text(statement))
                version += 1
            await connection.execute(update(tables.layout).values(version=version))

    def _check_layout(self, version: int | None) -> None:
        if version != tables.LAYOUT:
            raise StoreError(
                f"{self._dialect.shown} has tables of layout {version}, this fastdata needs"
                f" {tables.LAYOUT}: use the version of fastdata that wrote them, or start a new"
                " store and replay"
            )


def _ranges(metric: str, unfolded: str, start: int, end: int) -> list[dict[str, object]]:
    """Whose partials, for the statements: the metric's, and those that it has not folded."""
    counted: dict[str, object] = {"metric": metric, "judge": metric, "start": start, "end": end}
    return [counted, counted | {"metric": unfolded, "start": rules.first_timed(start)}]


def _portions_of(
    rows: Mapping[tuple[int, str], Sequence[protocol.TotalRow]], at_once: int
) -> Iterator[list[_Piece]]:
    """What one transaction writes; long spans are split."""
    pieces = (
        (*key, first == 0, totals[first : first + at_once])
        for key, totals in rows.items()
        for first in range(0, len(totals) or 1, at_once)
    )
    # A span without rows is work, too.
    return rules.portions(pieces, at_once, lambda piece: len(piece[3]) + 1)
