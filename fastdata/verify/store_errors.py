"""Errors of the speed layer into the serving store, as totals like all others."""

import json
from collections.abc import Iterable, Mapping

from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.metric import Metric, States, dump_dims
from fastdata.store.protocol import Flip, Head, ServingStore, Total
from fastdata.verify.errors_metric import errors_of
from fastdata.verify.reports import SpanReport

__all__ = ["store_errors"]

_NOTHING = Coverage()


async def store_errors(
    store: ServingStore,
    metric: Metric,
    reports: Mapping[int, SpanReport],
    heads: Mapping[int, Head],
) -> None:
    """Store what was found of some spans, so that `fastdata query` can ask for it.

    Atomic and idempotent. What earlier verifications found of segments that are not compared any
    more stays, so that the numbers of a span add up to all of its segments.

    Args:
        heads: Of the spans that were verified.

    Raises:
        SpanConflictError: Another verification stored the same spans meanwhile; none of these
            is stored, and they may be verified again.
        StoreUnavailableError: The store does not answer; retriable.
        CommitUnknownError: Nobody knows whether it was stored; call again.
    """
    if not reports:
        return
    errors, source = errors_of(metric), metric.source
    start, end = min(reports), max(reports) + HOUR_MS
    reading = await store.read(errors.id, source.unfolded.id, source.topic, start, end)
    stored: dict[int, list[Total]] = {}
    for total in reading.totals:
        stored.setdefault(total.window, []).append(total)
    newest = heads[max(heads)].coverage
    run = await store.open_run(errors.id, start, end, newest)
    totals = {
        span: [*_kept(stored.get(span, ()), _since(heads[span])), *_totals(errors, report, head)]
        for span, report in reports.items()
        if (head := heads[span])
    }
    written = await store.write_totals(errors.id, run.number, totals)
    flips = [
        Flip(
            span,
            (old.version, old.coverage) if (old := reading.heads.get(span)) else None,
            run.number,
            heads[span].coverage,
            rows,
        )
        for span, rows in written.items()
    ]
    await store.publish(errors.id, flips)
    await store.close_run(run.number)
    await store.clean_up(errors.id, start, end)


def _since(head: Head) -> Coverage:
    return head.previous[1] if head.previous else _NOTHING


def _kept(totals: Iterable[Total], since: Coverage) -> Iterable[Total]:
    """Those of segments before the ones that were compared now."""
    for total in totals:
        earlier = Coverage.load(json.loads(total.dims)[2])
        if not since.is_behind(earlier) and earlier != since:
            yield total


def _totals(errors: Metric, report: SpanReport, head: Head) -> Iterable[Total]:
    since = _since(head).dump()
    cells: dict[str, States] = {}
    rows: list[tuple[str | None, str, float | None, int | None]] = [
        (fact.measure, fact.cause, fact.error, None) for fact in report.facts
    ]
    rows += [(None, cause, None, events) for cause, events in (+report.causes).items()]
    if report.unexplained:
        rows.append((None, "unexplained", None, report.unexplained))
    for measure, cause, error, events in rows:
        states = cells.setdefault(dump_dims((measure, cause, since)), errors.zero(exact=True))
        errors.add_values(states, (error, error, error, events))
    for dims, states in cells.items():
        yield Total(report.span, dims, errors.dump(states))
