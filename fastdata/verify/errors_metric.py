"""The error of the speed layer as a metric: what `fastdata verify --store-result` stores."""

import json
from collections.abc import Iterable, Mapping

from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.catalog import Catalog
from fastdata.declare.derived import AnyMetric
from fastdata.declare.metric import Measure, Metric, States
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.count import Count
from fastdata.measures.extremes import Max
from fastdata.measures.sums import Mean, Sum
from fastdata.store.protocol import Flip, Head, ServingStore, Total
from fastdata.verify.reports import SpanReport

__all__ = ["errors_of", "find_asked", "find_metric", "since", "store_errors"]

_SUFFIX = ":error"
_TYPES: Mapping[str, FieldType] = {
    "measure": FieldType("string", nullable=True),
    "cause": FieldType("string"),
    "since": FieldType("string"),
    "error": FieldType("float", nullable=True),
    "missed": FieldType("int", nullable=True),
}


class _Errors(Metric):
    """A system metric; it is declared by no file, and no worker folds it."""

    window_ms = HOUR_MS

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        measures: dict[str, Measure] = {
            "rows": Count("error"),
            "error": Mean("error"),
            "max_error": Max("error"),
            "events": Sum("missed"),
        }
        by = ("measure", "cause", "since")
        super().__init__(metric.name + _SUFFIX, metric.source, by, measures)

    @property
    def id(self) -> str:
        """That of the metric that it is about, so that another definition has its own errors."""
        return self._metric.id + _SUFFIX

    def _fields(self) -> Mapping[str, FieldType]:
        return _TYPES

    def _check_names(self) -> None:
        pass


def errors_of(metric: Metric) -> Metric:
    """How far the speed layer was off in a metric, hour by hour, as the last verifications saw.

    It has two kinds of rows. With a `measure`: `rows` of the metric that were compared, the mean
    `error` and `max_error` of the speed layer's answers relative to the right ones, by `cause`
    ("none" where they agree). With `measure` null: the `events` by which the layers differed,
    by `cause`. `since` is the coverage, as JSON, after which the segments lie that were compared.
    """
    return _Errors(metric)


def find_metric(catalog: Catalog, name: str) -> Metric:
    """A declared metric by name; of `name:error`, the error of its speed layer.

    Raises:
        UnknownMetricError: There is none; the message lists those there are.
    """
    if name.endswith(_SUFFIX):
        return errors_of(catalog.metric(name.removesuffix(_SUFFIX)))
    return catalog.metric(name)


def find_asked(catalog: Catalog, name: str) -> AnyMetric:
    """What can be asked by a name: a derived metric, or what `find_metric` finds.

    Raises:
        UnknownMetricError: There is none; the message lists those there are.
    """
    return catalog.derived.get(name) or find_metric(catalog, name)


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
        reports: By start of the span, what was found.
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
    reading = await store.read(errors.id, unfolded_of(source).id, source.topic, start, end)
    stored: dict[int, list[Total]] = {}
    for total in reading.totals:
        stored.setdefault(total.window, []).append(total)
    newest = heads[max(heads)].coverage.closed()
    run = await store.open_run(errors.id, start, end, newest)
    totals = {
        span: [*_earlier(stored.get(span, ()), since(heads[span])), *_totals(errors, report, head)]
        for span, report in reports.items()
        if (head := heads[span])
    }
    written = await store.write_totals(errors.id, run.number, totals)
    flips = [
        Flip(
            span,
            (old.version, old.coverage) if (old := reading.heads.get(span)) else None,
            run.number,
            heads[span].coverage.closed(),
            rows,
        )
        for span, rows in written.items()
    ]
    await store.publish(errors.id, flips)
    await store.close_run(run.number)
    await store.clean_up(errors.id, start, end)


def since(head: Head) -> Coverage:
    """The segments that the version before covers: they may be cleaned up already."""
    return head.previous[1].closed() if head.previous else Coverage()


def _earlier(totals: Iterable[Total], before: Coverage) -> Iterable[Total]:
    """The stored totals of segments before those that were compared now, which stay."""
    for total in totals:
        earlier = Coverage.load(json.loads(total.dims)[2])
        if not before.is_behind(earlier) and earlier != before:
            yield total


def _totals(errors: Metric, report: SpanReport, head: Head) -> Iterable[Total]:
    before = since(head).dump()
    groups: dict[str, States] = {}
    rows: list[tuple[str | None, str, float | None, int | None]] = [
        (fact.measure, fact.cause, fact.error, None) for fact in report.facts
    ]
    rows += [(None, cause, None, events) for cause, events in (+report.causes).items()]
    if report.unexplained:
        rows.append((None, "unexplained", None, report.unexplained))
    for measure, cause, error, events in rows:
        states = groups.setdefault(dump_dims((measure, cause, before)), errors.zero(exact=True))
        errors.add_values(states, (error, error, error, events))
    for dims, states in groups.items():
        yield Total(report.span, dims, errors.dump(states))
