"""The reference: a serving store in the memory of one process, plain dictionaries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from fastdata import failpoints
from fastdata.coordinates.dimensions import is_tip
from fastdata.coordinates.segments import Coverage
from fastdata.store import rules
from fastdata.store.hours import Hours
from fastdata.store.pace import Pace
from fastdata.store.protocol import (
    Flip,
    Gap,
    Head,
    Partial,
    Progress,
    Reading,
    Run,
    ServingStore,
    SpanTotals,
    Survey,
    Tally,
    Total,
)

__all__ = ["MemoryStore"]


class MemoryStore(ServingStore):
    """A `ServingStore` that is gone with its process; every method is atomic."""

    def __init__(self) -> None:
        self._partials: dict[rules.PartialKey, Partial] = {}
        self._progress: dict[tuple[str, int], Progress] = {}
        self._gaps: dict[tuple[str, int, int], Gap] = {}
        self._heads: dict[tuple[str, int], Head] = {}
        self._totals: dict[tuple[str, int, int], list[Total]] = {}
        self._hours: dict[tuple[str, int, int], list[Total]] = {}
        self._runs: dict[int, Run] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def upsert(
        self,
        partials: Sequence[Partial],
        progress: Sequence[Progress],
        expected: Sequence[Progress] = (),
    ) -> None:
        """See `ServingStore`; atomic as a whole."""
        rules.check_kept(expected, self._progress.values(), "the store in memory")
        # A late flush of a slower worker brings smaller stamps: row by row, the larger one stays.
        for key, partial in rules.newest(partials).items():
            stored = self._partials.get(key)
            if stored is None or rules.is_newer(partial.stamp, stored.stamp):
                self._partials[key] = partial
        for partition, report in rules.furthest(progress).items():
            last = self._progress.get(partition)
            if last is None or rules.is_further(report, last):
                self._progress[partition] = report

    async def record_gap(self, gap: Gap) -> None:
        key = (gap.topic, gap.partition, gap.start)
        self._gaps[key] = rules.merge_gaps(gap, self._gaps.get(key, gap))

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
        """See `ServingStore`; nothing here waits, so no other call comes in between."""
        heads, begins = await self.heads(metric, start, end), tuple(dims)
        partials = await self.partials(metric, *(windows or (start, end)))
        missed = await self.partials(unfolded, rules.first_timed(start), end)
        return Reading(
            heads=heads,
            totals=[
                total
                for span in rules.within(heads, totals)
                for total in self._shown(metric, heads[span], hours)
                if total.dims.startswith(begins)
            ],
            partials=[p for p in partials if p.dims.startswith(begins) and _is_visible(p, heads)],
            unfolded=[p for p in missed if _is_visible(p, heads)],
            gaps=[*await self.gaps(topic), *await self.gaps(metric)],
            progress=await self.progress(topic),
        )

    async def survey(self, metric: str, unfolded: str, topic: str, start: int, end: int) -> Survey:
        reading = await self.read(metric, unfolded, topic, start, end)
        return Survey(
            heads=reading.heads,
            partials=_tallies(reading.partials),
            unfolded=_tallies(reading.unfolded),
            gaps=reading.gaps,
            progress=reading.progress,
        )

    async def heads(self, metric: str, start: int, end: int) -> dict[int, Head]:
        spans = sorted(key[1] for key in self._heads if key[0] == metric and start <= key[1] < end)
        return {span: self._heads[metric, span] for span in spans}

    async def open_run(self, metric: str, start: int, end: int, coverage: Coverage) -> Run:
        run = Run(len(self._runs) + 1, metric, start, end, coverage)
        self._runs[run.number] = run
        return run

    async def close_run(self, number: int) -> None:
        if number in self._runs:
            self._runs[number] = replace(self._runs[number], is_done=True)

    async def last_run(self, metric: str) -> Run | None:
        runs = [run for run in self._runs.values() if run.metric == metric]
        return runs[-1] if runs else None

    async def replayed(self, prefix: str) -> Sequence[str]:
        ids = [run.metric for run in reversed(self._runs.values())]
        return [id for id in dict.fromkeys(ids) if id.startswith(prefix)]

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: SpanTotals,
        pace: Pace | None = None,
        hours: SpanTotals | None = None,
    ) -> dict[int, int]:
        """See `ServingStore`; in one portion."""
        rows, whole = (
            {s: list(map(Total._make, rules.unique(metric, totals.get(s, ())))) for s in spans}
            for totals in (spans, hours or {})
        )
        held = {span: len(rows[span]) + len(whole[span]) for span in spans}
        if pace:
            await pace.wait(sum(held.values()))
        heads = {span: self._heads.get((metric, span)) for span in spans}
        published = [span for span, head in heads.items() if version in rules.versions_of(head)]
        rules.refuse_published(metric, version, published)
        self._totals.update({(metric, span, version): written for span, written in rows.items()})
        self._hours.update({(metric, span, version): written for span, written in whole.items()})
        failpoints.reach("store.after_totals")
        return held

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        heads = {
            flip.span: self._heads[metric, flip.span]
            for flip in flips
            if (metric, flip.span) in self._heads
        }
        rows = {
            (flip.span, flip.version): sum(
                len(rows.get((metric, flip.span, flip.version), ()))
                for rows in (self._totals, self._hours)
            )
            for flip in flips
        }
        moved = rules.move_heads(heads, flips, rows)
        failpoints.reach("store.before_flip")
        self._heads.update({(metric, span): head for span, head in moved.items()})
        failpoints.reach("store.after_flip")

    async def undo(self, metric: str, span: int) -> bool:
        head = self._heads.get((metric, span))
        if head is None or head.previous is None:
            return False
        self._heads[metric, span] = Head(span, *head.previous)
        return True

    async def clean_up(self, metric: str, start: int, end: int, unfolded: str = "") -> int:
        obsolete = [
            key
            for key in self._totals
            if key[0] == metric and start <= key[1] < end and self._is_obsolete(*key)
        ]
        for key in obsolete:
            del self._totals[key], self._hours[key]
        heads = await self.heads(metric, rules.span_of(start), end)
        starts = {unfolded: rules.first_timed(start), metric: start}
        dropped = [
            key
            for key, p in self._partials.items()
            if p.metric in starts and starts[p.metric] <= p.window < end and _is_droppable(p, heads)
        ]
        for partial_key in dropped:
            del self._partials[partial_key]
        return len(dropped)

    async def progress(self, topic: str) -> Sequence[Progress]:
        return [self._progress[key] for key in sorted(self._progress) if key[0] == topic]

    async def gaps(self, topic: str) -> Sequence[Gap]:
        return [self._gaps[key] for key in sorted(self._gaps) if key[0] == topic]

    async def partials(self, metric: str, start: int, end: int) -> Sequence[Partial]:
        return [
            self._partials[key]
            for key in sorted(self._partials)
            if key[0] == metric and start <= key[1] < end
        ]

    async def has_partials(self, metric: str) -> bool:
        return any(key[0] == metric for key in self._partials)

    def _shown(self, metric: str, head: Head, hours: Hours | None) -> Iterable[Total]:
        """The totals of a span: of the hour, with tips, where that is there and will do."""
        key = metric, head.span, head.version
        totals = self._totals.get(key, [])
        if hours and rules.within([head.span], hours.intervals):
            whole = [t for t in self._hours.get(key, []) if t.dims.startswith(hours.begin)]
            if whole:
                return whole + [total for total in totals if is_tip(total.dims)]
        return totals

    def _is_obsolete(self, metric: str, span: int, version: int) -> bool:
        run = self._runs.get(version)
        is_open = run is not None and not run.is_done
        return not is_open and version not in rules.versions_of(self._heads.get((metric, span)))


def _is_visible(partial: Partial, heads: Mapping[int, Head]) -> bool:
    head = heads.get(rules.span_of(partial.window))
    return partial.segment >= rules.first_open(head, partial.partition)


def _is_droppable(partial: Partial, heads: Mapping[int, Head]) -> bool:
    head = rules.of_own_span(heads, rules.span_of(partial.window))
    return rules.previous_coverage(head).covers(partial.partition, partial.segment)


def _tallies(partials: Iterable[Partial]) -> dict[int, Tally]:
    tallies: dict[int, Tally] = {}
    for partial in partials:
        span = rules.span_of(partial.window)
        tally = tallies.get(span, Tally(0, 0))
        tallies[span] = Tally(tally.partials + 1, tally.stamps + partial.stamp)
    return tallies
