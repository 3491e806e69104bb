"""A verification: speed against batch, and both against a plain recount of the archive."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.instants import HOUR_MS, ceil_to, floor_to, now_ms, to_datetime
from fastdata.coordinates.segments import segment_of
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import VerifyError
from fastdata.store import rules
from fastdata.store.past_runs import PastRun, add_past_run
from fastdata.store.protocol import EVER, Head, ServingStore
from fastdata.verify.archive import ArchiveContents
from fastdata.verify.errors_metric import errors_of, store_errors
from fastdata.verify.hours import HourVerifier, new_segments
from fastdata.verify.plain import is_known
from fastdata.verify.recount import PlainEvent, read_events
from fastdata.verify.reports import SpeedStatus, VerifiedMetric, VerifyProgress, VerifyReport
from fastdata.verify.segments import first_segment
from fastdata.verify.windows import WindowVerifier

__all__ = ["verify"]

_TRIES = 5
_GROUP_EVENTS = 50_000  # held in memory


async def verify(
    metrics: Sequence[Metric],
    *,
    store: ServingStore,
    archive: ArchiveStorage,
    start: int | None = None,
    end: int | None = None,
    sample: int | None = None,
    seed: str = "",
    store_result: bool = False,
    on_progress: Callable[[VerifyProgress], None] | None = None,
    clock: Callable[[], int] = now_ms,
) -> VerifyReport:
    """Compare what both layers say of closed spans with a plain recount.

    A span is closed when a replay has counted it. Its totals, and its tips, are compared with all
    events that its version counts, and so are ready windows all of whose hours are verified. The
    speed layer is compared on the segments that its newest version
    added: their partials are never cleaned up before the next version.

    Args:
        metrics: Of any sources.
        start: ms UTC, widened to the hour; None: from the first closed span.
        end: ms UTC, exclusive, widened to the hour; None: to the last closed span.
        sample: How many spans of each source; first those whose newest version added events.
            None: all.
        seed: Any text; the same one chooses the same spans, while no replay runs.
        store_result: Whether to store the errors of the speed layer, see `errors_of`, and among
            the past runs of these that they were looked for.
        on_progress: Told again and again how far it is.
        clock: ms UTC.

    Raises:
        VerifyError: The range is empty, the archive cannot be recounted, or replays kept moving a
            span.
        ArchiveError: The archive cannot be read, has a hole, or is of another declaration.
        CorruptStateError: An entry of the archive does not verify.
        MapError: A value is not of its declared type.
        StoreError: The store failed; what `StoreUnavailableError` ends may be called again.
    """
    began_ms, began = clock(), time.perf_counter()
    if start is not None and end is not None and end <= start:
        raise VerifyError(
            f"the range is empty: its end {to_datetime(end):%Y-%m-%d %H:%M} is not after its start "
            f"{to_datetime(start):%Y-%m-%d %H:%M}"
        )
    limits = (
        EVER[0] if start is None else floor_to(start, HOUR_MS),
        EVER[1] if end is None else ceil_to(end, HOUR_MS),
    )
    by_source: dict[Source, list[Metric]] = {}
    for metric in metrics:
        by_source.setdefault(metric.source, []).append(metric)
    reports: dict[Metric, VerifiedMetric] = {}
    for source, declared in by_source.items():
        tell = on_progress or (lambda _: None)
        verification = _SourceVerification(source, declared, store, archive, tell)
        reports |= await verification.run(limits, sample, seed, store_result)
    seconds = time.perf_counter() - began
    if store_result:
        for metric, verified in reports.items():
            await add_past_run(store, errors_of(metric).id, _past_run(verified, began_ms, seconds))
    return VerifyReport(tuple(reports[m] for m in metrics), store_result, seconds)


@dataclass(slots=True)
class _SourceVerification:
    """Verifies the metrics of one source, whose archive is read once for all of them."""

    source: Source
    metrics: Sequence[Metric]
    store: ServingStore
    archive: ArchiveStorage
    tell: Callable[[VerifyProgress], None]
    _hours: HourVerifier = field(init=False)
    _heads: dict[Metric, dict[int, Head]] = field(default_factory=dict)
    _progress: VerifyProgress = field(init=False)

    async def run(
        self, limits: tuple[int, int], sample: int | None, seed: str, store_result: bool
    ) -> dict[Metric, VerifiedMetric]:
        self.tell(VerifyProgress(self.source.name))
        # In this order: the archive only grows, so it holds what the heads have counted.
        self._heads = {m: await self.store.heads(m.id, *limits) for m in self.metrics}
        archived = await ArchiveContents.read(self.archive, self.source, self.store)
        self._hours = HourVerifier(self.source, self.store, archived)
        reports = {m: _report(m, len(self._heads[m])) for m in self.metrics}
        views: dict[Metric, dict[int, Head]] = {m: {} for m in self.metrics}
        windows = [WindowVerifier(m, self.store, reports[m]) for m in self.metrics]
        chosen = self._choose(sample, seed)
        metrics_of = {s: [m for m in self.metrics if s in self._heads[m]] for s in chosen}
        work = sum(self._events(span) * len(metrics_of[span]) for span in chosen)
        self._progress = VerifyProgress(self.source.name, 0, len(chosen), 0, work)
        self._tell()
        for spans in rules.portions(chosen, _GROUP_EVENTS, self._events):
            by_span = await self._read(spans)
            for span, events in by_span.items():
                for metric in metrics_of[span]:
                    verified, planned = reports[metric], self._heads[metric][span]
                    hour = await self._hours.verify(metric, planned, events, verified.sketches)
                    verified.spans.append(hour.report)
                    views[metric][span] = hour.head
                    windows[self.metrics.index(metric)].add(hour)
                    self._tell(events=self._events(span))
                self._tell(spans=1)
            for window in windows:
                await window.compare(spans[-1] + HOUR_MS, is_last=spans[-1] == chosen[-1])
        for metric, verified in reports.items():
            verified.waits_for = await first_segment(self.store, metric)
            if store_result:
                compared = {span.span: span for span in verified.spans if span.speed in _STORED}
                await store_errors(self.store, metric, compared, views[metric])
        return reports

    def _tell(self, spans: int = 0, events: int = 0) -> None:
        """Tell how far it is when some more hours, or events of a metric, are done."""
        done = self._progress.spans + spans, self._progress.events + events
        self._progress = replace(self._progress, spans=done[0], events=done[1])
        self.tell(self._progress)

    async def _read(self, spans: Sequence[int]) -> dict[int, list[PlainEvent]]:
        """The events of some hours.

        A piece of an open segment goes when that is closed: then all is read from where it is now.
        """
        for _ in range(_TRIES):
            hours = self._hours.archived.hours
            objects = {entry.name: entry for span in spans for entry in hours.get(span, ())}
            try:
                return await read_events(self.archive, self.source, objects.values(), spans)
            except VerifyError as error:
                unread = error
            before = self._hours.archived.coverage
            self._hours.archived = await ArchiveContents.read(self.archive, self.source, self.store)
            if self._hours.archived.coverage == before:
                break
        raise unread

    def _choose(self, sample: int | None, seed: str) -> list[int]:
        """The spans to verify, in order: all, or a sample that depends on the seed alone."""
        spans = {span for by_span in self._heads.values() for span in by_span}
        if sample is None:
            return sorted(spans)
        all_heads = [head for by_span in self._heads.values() for head in by_span.values()]
        new = {head.span for head in all_heads if self._has_new(head)}

        def rank(span: int) -> tuple[bool, bytes]:
            return span not in new, hashlib.sha256(f"{seed} {span}".encode()).digest()

        return sorted(sorted(spans & self._hours.archived.hours.keys(), key=rank)[:sample])

    def _events(self, span: int) -> int:
        return sum(entry.hours[span] for entry in self._hours.archived.hours.get(span, ()))

    def _has_new(self, head: Head) -> bool:
        size = self.source.segment_size
        entries = self._hours.archived.hours.get(head.span, ())
        return bool(new_segments(head, ((e.partition, segment_of(e.first, size)) for e in entries)))


_STORED: tuple[SpeedStatus, ...] = ("compared", "nothing new")


def _past_run(verified: VerifiedMetric, began: int, seconds: float) -> PastRun:
    spans = verified.spans
    compared = sum(span.speed == "compared" for span in spans)
    unexplained = len(verified.findings)
    return PastRun(
        began,
        round(seconds, 3),
        start=min((span.span for span in spans), default=0),
        end=max((span.span + HOUR_MS for span in spans), default=0),
        counted=compared,
        confirmed=len(spans) - compared,
        events=verified.total("events"),
        error=f"{unexplained:,} differences that nothing explains" if unexplained else None,
    )


def _report(metric: Metric, closed: int) -> VerifiedMetric:
    unknown = [name for name, measure in metric.folded.items() if not is_known(measure)]
    return VerifiedMetric(metric.name, metric.id, closed, tuple(unknown))
