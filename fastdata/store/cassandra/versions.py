"""The versions in Cassandra: the entries of spans, and the totals that they tell of."""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from uuid import UUID, uuid4

from fastdata import failpoints
from fastdata.errors import CommitUnknownError, StoreUnavailableError
from fastdata.store import rules
from fastdata.store.cassandra.entry import Attempt, SpanEntry, heads_of
from fastdata.store.cassandra.schema import ONLY, Statements
from fastdata.store.cassandra.session import Batch, CqlRow, Session, batches
from fastdata.store.pace import Pace
from fastdata.store.protocol import SpanTotals, Total, TotalRow

__all__ = ["Versions"]

_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0)
_SPANS_AT_ONCE = 200
_PART_BYTES = 4 << 20
_ROW_BYTES = 64
"""Of a total, beside its dimensions and state."""


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
        self, metric: str, version: int, spans: SpanTotals, pace: Pace | None = None
    ) -> dict[int, int]:
        """Write totals of some spans as one attempt; see `ServingStore.write_totals`."""
        id = uuid4()
        parts = {span: list(_parts_of(rules.unique(metric, t))) for span, t in spans.items()}
        rows = {span: sum(map(len, portions)) for span, portions in parts.items()}
        begun = {span: Attempt(str(id), version, len(p)) for span, p in parts.items()}
        done = {s: Attempt(a.id, version, a.parts, rows[s]) for s, a in begun.items()}
        # Before the rows: whatever a crash leaves of them is known, and a clean-up finds it.
        await self._change_attempts(metric, begun, SpanEntry.begin)
        written = (
            batch
            for span, portions in parts.items()
            for part, totals in enumerate(portions)
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

    async def totals(self, entries: Iterable[SpanEntry], dims: Sequence[str]) -> list[Total]:
        """The totals that the heads of some spans show.

        Args:
            dims: Texts; their dimensions begin with one of these.
        """
        between, begins = rules.between(dims), tuple(dims)
        statement = self._do.filter_totals if between else self._do.read_totals
        asked = [
            self._session.read(statement, (*key, *between))
            for entry in entries
            for key in _parts(entry, entry.attempt(entry.shown))
        ]
        totals = (Total(*row) for rows in await asyncio.gather(*asked) for row in rows)
        return [total for total in totals if total.dims.startswith(begins)]

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
                for key in _parts(entry, attempt)
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
