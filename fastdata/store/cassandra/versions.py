"""The versions in Cassandra: the entries of spans, and the totals that they tell of."""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from uuid import UUID, uuid4

from fastdata import failpoints
from fastdata.coordinates.dimensions import is_tip
from fastdata.errors import CommitUnknownError, StoreUnavailableError
from fastdata.store import rules
from fastdata.store.cassandra.entry import Attempt, SpanEntry, heads_of
from fastdata.store.cassandra.schema import ONLY, Statements
from fastdata.store.cassandra.session import Batch, CqlRow, Session, batches
from fastdata.store.hours import Hours
from fastdata.store.pace import Pace
from fastdata.store.protocol import SpanTotals, Total, TotalRow

__all__ = ["Versions"]

_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0)
_SPANS_AT_ONCE = 200
_PART_BYTES = 4 << 20
_ROW_BYTES = 64
"""Of a total, beside its dimensions and state."""
_HOUR_PART = -1
"""The part of an attempt that has the totals of the whole hour: all, or none if they are too many.

No entry tells of it, so an earlier fastdata neither reads nor drops it.
"""


class Versions:
    """The entries and totals of one keyspace.

    Args:
        session: Requests to it.
        do: Its statements.
    """

    def __init__(self, session: Session, do: Statements) -> None:
        self._session = session
        self._do = do
        # Changes of one process would only get in each other's way.
        self._changing = asyncio.Lock()

    async def entries(
        self, metric: str, start: int, end: int, *, serial: bool = False
    ) -> dict[int, SpanEntry]:
        """The entries of the spans in `[start, end)`, of one moment.

        Args:
            serial: To decide by them: see `Session.read`.
        """
        values = (metric, start, end)
        coverages = rules.Coverages()
        return {
            span: SpanEntry.load(span, text, coverages)
            for span, text in await self._session.read(self._do.read_spans, values, serial=serial)
        }

    async def change(
        self,
        metric: str,
        spans: Collection[int],
        alter: Callable[[Mapping[int, SpanEntry]], Sequence[SpanEntry]],
    ) -> dict[int, SpanEntry]:
        """Change some spans' entries, all of them or none, whoever else changes them meanwhile.

        Args:
            alter: From the present entries to those that change; may be called again.

        Returns:
            What was changed.

        Raises:
            CommitUnknownError: Nobody knows whether it was done.
            StoreUnavailableError: It was not done.
        """
        if not spans:
            return {}
        unknown: CommitUnknownError | None = None
        wanted: dict[int, SpanEntry] = {}
        async with self._changing:
            for pause_s in _PAUSES_S:
                try:
                    stored = await self.entries(metric, min(spans), max(spans) + 1, serial=True)
                except StoreUnavailableError as error:
                    raise unknown or error from error
                # An answer was lost, and what is stored tells whether it was a yes.
                if unknown and all(stored.get(span) == entry for span, entry in wanted.items()):
                    return wanted
                changed = (e for e in alter(stored) if e != stored.get(e.span))
                wanted = {entry.span: entry for entry in changed}
                try:
                    if not wanted or await self._set(metric, stored, wanted.values()):
                        return wanted
                    unknown = None
                except CommitUnknownError as error:
                    unknown = error
                await asyncio.sleep(random.uniform(0.0, pause_s))  # noqa: S311
        raise unknown or StoreUnavailableError(
            f"cannot change {len(spans)} spans of {metric}: others kept changing them; try again"
        )

    async def _set(
        self, metric: str, stored: Mapping[int, SpanEntry], wanted: Iterable[SpanEntry]
    ) -> bool:
        # Compared is the whole text: an entry counts its moves, so a head that was moved there
        # and back meanwhile is noticed, and a clean-up or a writer of the same span as well.
        return await self._session.compare_and_set(
            (self._do.change_span, (entry.dump(), metric, entry.span, stored[entry.span].text))
            if entry.span in stored
            else (self._do.new_span, (metric, entry.span, entry.dump()))
            for entry in wanted
        )

    async def write(
        self,
        metric: str,
        version: int,
        spans: SpanTotals,
        pace: Pace | None = None,
        hours: SpanTotals | None = None,
    ) -> dict[int, int]:
        """Write totals of some spans as one attempt; see `ServingStore.write_totals`."""
        id = uuid4()
        parts = {
            span: dict(enumerate(_parts_of(rules.unique(metric, totals))))
            for span, totals in spans.items()
        }
        begun = {span: Attempt(str(id), version, len(p)) for span, p in parts.items()}
        for span, totals in (hours or {}).items():
            portions = list(_parts_of(rules.unique(metric, totals)))
            if len(portions) == 1 and span in parts:
                parts[span][_HOUR_PART] = portions[0]
        rows = {span: sum(map(len, portions.values())) for span, portions in parts.items()}
        done = {s: Attempt(a.id, version, a.parts, rows[s]) for s, a in begun.items()}
        # Before the rows: whatever a crash leaves of them is known, and a clean-up finds it.
        await self._change_attempts(metric, begun, SpanEntry.begin)
        written = (
            batch
            for span, portions in parts.items()
            for part, totals in portions.items()
            for batch in batches(
                self._do.put_total,
                [(state, id, span, part, window, dims) for window, dims, state in totals],
            )
        )
        await self._session.write(written, pace)
        failpoints.reach("store.after_totals")
        await self._change_attempts(metric, done, SpanEntry.complete)
        return rows

    async def _change_attempts(
        self,
        metric: str,
        attempts: Mapping[int, Attempt],
        step: Callable[[SpanEntry, Attempt], SpanEntry],
    ) -> None:
        """Change the entries of all spans, each unless its version is published already."""

        def alter(spans: Sequence[int], entries: Mapping[int, SpanEntry]) -> list[SpanEntry]:
            heads = heads_of(entries)
            versions = {span: attempts[span].version for span in spans}
            published = [s for s, v in versions.items() if v in rules.versions_of(heads.get(s))]
            rules.refuse_published(metric, max(versions.values()), published)
            return [step(entries.get(span, SpanEntry(span)), attempts[span]) for span in spans]

        for spans in rules.portions(sorted(attempts), _SPANS_AT_ONCE):
            await self.change(metric, spans, partial(alter, spans))

    async def totals(
        self, entries: Sequence[SpanEntry], dims: Sequence[str], hours: Hours | None
    ) -> list[Total]:
        """The totals that the heads of some spans show.

        Args:
            dims: Texts; their dimensions begin with one of these.
            hours: Where those of whole hours, and tips, will do.
        """
        between, begins = rules.between(dims), tuple(dims)
        whole = await self._hours(entries, hours) if hours else {}
        statement = self._do.filter_totals if between else self._do.read_totals
        asked = [
            self._session.read(statement, (*key, *between))
            for entry in entries
            if entry.span not in whole or (entry.head and entry.head.coverage.has_tips)
            for key in _parts(entry, entry.attempt(entry.shown))
        ]
        minutes = [Total(*row) for rows in await asyncio.gather(*asked) for row in rows]
        if whole:
            spans = {total.window: rules.span_of(total.window) for total in minutes}
            minutes = [t for t in minutes if spans[t.window] not in whole or is_tip(t.dims)]
        totals = chain(*whole.values(), minutes)
        return [total for total in totals if total.dims.startswith(begins)]

    async def _hours(self, entries: Sequence[SpanEntry], hours: Hours) -> dict[int, list[Total]]:
        """The totals of whole hours, of the spans that have some of these dimensions."""
        spans = set(rules.within([entry.span for entry in entries], hours.intervals))
        keys = [
            (UUID(entry.shown), entry.span, _HOUR_PART)
            for entry in entries
            if entry.span in spans and entry.shown
        ]
        asked = [self._session.read(self._do.read_totals, key) for key in keys]
        shown = {
            span: [Total(*row) for row in rows if row[1].startswith(hours.begin)]
            for (_, span, _), rows in zip(keys, await asyncio.gather(*asked), strict=True)
        }
        return {span: totals for span, totals in shown.items() if totals}

    async def drop_totals(self, metric: str, entries: Collection[SpanEntry]) -> None:
        """Drop the rows of the attempts that nobody needs; those of open runs stay."""
        versions = {attempt.version for entry in entries for attempt in entry.attempts}
        closed = versions - await self._open_runs(versions)
        obsolete = [entry.span for entry in entries if entry.drop(entry.obsolete(closed)) != entry]
        obsolete += [e.span for e in entries if any(a.is_dropped for a in e.attempts)]
        for spans in rules.portions(sorted(set(obsolete)), _SPANS_AT_ONCE):
            wanted = set(spans)

            def drop(stored: Mapping[int, SpanEntry], wanted: set[int] = wanted) -> list[SpanEntry]:
                return [e.drop(e.obsolete(closed)) for s, e in stored.items() if s in wanted]

            await self.change(metric, spans, drop)
            stored = await self.entries(metric, spans[0], spans[-1] + 1, serial=True)
            dropped = [
                (stored[span], attempt)
                for span in spans
                if span in stored
                for attempt in stored[span].attempts
                if attempt.is_dropped
            ]
            await self._session.write(
                Batch([(self._do.drop_totals, key)])
                for entry, attempt in dropped
                for key in (*_parts(entry, attempt), (UUID(attempt.id), entry.span, _HOUR_PART))
            )
            gone = {attempt.id for _, attempt in dropped}

            def forget(stored: Mapping[int, SpanEntry], gone: set[str] = gone) -> list[SpanEntry]:
                return [entry.forget(gone) for entry in stored.values()]

            await self.change(metric, spans, forget)

    async def _open_runs(self, versions: Collection[int]) -> set[int]:
        if not versions:
            return set()
        runs = await self._session.read(self._do.are_done, (ONLY, list(versions)), serial=True)
        return {number for number, is_done in runs if not is_done}


def _parts(entry: SpanEntry, attempt: Attempt | None) -> Iterator[CqlRow]:
    """The partitions of an attempt's rows."""
    if attempt:
        for part in range(attempt.parts):
            yield UUID(attempt.id), entry.span, part


def _parts_of(totals: Sequence[TotalRow]) -> Iterator[list[TotalRow]]:
    """Totals in portions of 4 MiB, so that each can be read at once."""
    return rules.portions(totals, _PART_BYTES, lambda row: len(row[1]) + len(row[2]) + _ROW_BYTES)
