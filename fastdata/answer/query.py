"""Queries: from a metric and a range of time to an Arrow table."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from typing import cast

import pyarrow as pa

from fastdata.answer.arrangement import Arrangement
from fastdata.answer.arrow import answer_schema, describe
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.layers import Layers, joined, opened_store, table_of
from fastdata.answer.merge import Buckets, MergedRow, Row
from fastdata.answer.request import QueryRequest
from fastdata.answer.view import asked_for, is_worth, parts_of
from fastdata.coordinates.dimensions import dump_dims
from fastdata.declare.derived import AnyMetric, DerivedMetric
from fastdata.declare.filters import Filter
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError, did_you_mean
from fastdata.store.protocol import ServingStore

__all__ = ["Question", "dims_of", "query", "question_of", "with_warning"]


async def query(
    metric: AnyMetric,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    last: str | timedelta | None = None,
    every: str | timedelta = "1h",
    rolling: str | None = None,
    zone: str | None = None,
    by: str | Sequence[str] | None = None,
    where: str | None = None,
    measures: str | Sequence[str] | None = None,
    order: str | Sequence[str] | None = None,
    limit: int | None = None,
    items: Mapping[str, object] | None = None,
    layers: bool = False,
    store: ServingStore | str | None = None,
) -> pa.Table:
    """The answer of both layers over `[start, end)`, as one consistent view of the store.

    One row per bucket of time and combination of dimensions of which anything is stored, ordered
    by them, nulls first. Columns: `window_start` and `window_end` (the bucket, cut to the range),
    the dimensions of `by`, for each measure `m` the columns `m`, `m_lower` and `m_upper` (null: no
    value, or no bound is known), then

    * `exact`: the row certainly counts all of its events that either layer has read, each once;
    * `fresh_until`: how far in event time the speed layer has come, null when it has not run;
    * `read_until`: up to when the log is read, by its own time: an exact row counts each of its
      events that was written before. Null when that is not known of every partition;
    * `gap`: events of the row may have been skipped and not been counted by batch yet.

    `fastdata.answer.merge` defines the four. The bounds hold at every moment. A column of
    integers past 64 bits is `decimal128(38)`, or `decimal256(76)`, instead of `int64`.

    Where nothing is counted of the metric, but of an earlier definition of it, a `UserWarning` says
    so.

        departures = fastdata.load("agents/flights.py").departures
        table = await fastdata.query(departures, "2013-01-01", every="day", by="origin")
        print(table["exact"].to_pylist())

    Args:
        metric: What to answer. Rows of a `DerivedMetric` are joined from those of its metrics by
            window and dimensions: exact where all are, fresh and read until the earliest of them.
        start: ISO text (without an offset: local time of the zone), "yesterday", "today" or "now",
            or an aware `datetime`; a minute that it cuts is in the range. None: from the first hour
            of which the store knows anything.
        end: Exclusive; the same. None: to the last one.
        last: Instead of `start`, how long before `end`, or before now, as in "24h" or "7d".
        every: Width of the buckets: "day", "week" (from Monday) or "month" of the zone; or "1m" or
            more in whole minutes, which begin at multiples of it since 1970 UTC; "all" for one.
        rolling: With every="day", days such as "30d": the bucket of each day is then that day and
            those before it. It is cut at `end`, and reaches back beyond `start`.
        zone: Name of a time zone, as in "Europe/Berlin". None: that of the metric, which is UTC
            if it was declared without one.
        by: Some of the metric's dimensions; None merges them all. Of several grouping sets, the
            smallest that has these, and those of `where`, answers.
        where: A condition on dimensions, as in "country = 'DE' and device in ('a', 'b')"; in the
            SQL of a metric's own. Where `start` and `end` are given, a store reads little of what
            does not meet it. None for all.
        measures: Those that are answered, in this order, and that `exact` is about; None for all.
        order: Columns of the answer by which its rows are sorted, as in "events desc" or ["origin",
            "delay desc"]: of the window, dimensions, and measures that are numbers or text. Null is
            the last. What is equal stays in the order above.
        limit: How many rows there are at most: the first ones in that order. None for all.
        items: By the name of a `Frequency` or `Seen`, the item that it is asked about.
        layers: Adds a column `layer`: whether a row is made of totals of "batch", of partials of
            the "speed" layer, or of "both".
        store: An open store, the URL of one, or None for that of the settings.

    Raises:
        QueryError: An argument is wrong, or a value does not fit its Arrow type.
        SettingsError: The URL is of no store, or a setting is wrong.
        StoreUnavailableError: There is no store, or it cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    question = question_of(
        metric,
        start,
        end,
        last=last,
        every=every,
        rolling=rolling,
        zone=zone,
        by=by,
        where=where,
        measures=measures,
        order=order,
        limit=limit,
        items=items,
        layers=layers,
    )
    return with_warning(await question.answer(store))


@dataclass(frozen=True, slots=True)
class Question:
    """What `query` was asked, understood: nothing of it is wrong, and nothing was read.

    Attributes:
        metric: With the measures that are asked for.
        metrics: Those that are read, with the measures that are needed: that one, or those that
            the measures of a derived one are made of.
        request: The interval, and the windows in it.
        schema: The columns of the answer.
    """

    metric: AnyMetric
    metrics: tuple[Metric, ...]
    request: QueryRequest
    schema: pa.Schema
    _chosen: tuple[ChosenDims, ...]
    _arrangement: Arrangement
    _about: Mapping[str, object]
    _takes_estimates: bool
    # With the measures alone that the first rows are chosen by, and how; None where that is no use.
    _choosing: tuple[Metric, Arrangement] | None

    async def answer(
        self,
        store: ServingStore | str | None,
        watched: Callable[[Iterable[Row]], Iterable[Row]] = iter,
        parts: Callable[[Iterable[Row]], Iterable[Row]] | None = None,
    ) -> pa.Table:
        """What `query` gives.

        Args:
            store: As of `query`.
            watched: Is given all rows before they are sorted or limited, and gives them on; what
                it raises ends the answer.
            parts: The same, of the rows of each metric that a derived one is made of, which come
                first. None for `watched`.

        Raises:
            QueryError: The windows leave the years 1 to 9999, or a value does not fit its type.
            SettingsError: The URL is of no store, or a setting is wrong.
            StoreUnavailableError: There is no store, or it cannot be read; retriable.
            CorruptStateError: A stored state does not verify.
        """
        takes_estimates = self._takes_estimates
        async with opened_store(store) as opened:
            layers = [
                await Layers.read(
                    metric, self.request, chosen, opened, takes_estimates=takes_estimates
                )
                for metric, chosen in zip(self.metrics, self._chosen, strict=True)
            ]
        return table_of(
            self.metric,
            self.request,
            layers,
            self.schema,
            lambda buckets: self._rows(layers, buckets, watched, parts or watched),
            self._about,
        )

    def _rows(
        self,
        layers: Sequence[Layers],
        buckets: Buckets,
        watched: Callable[[Iterable[Row]], Iterable[Row]],
        parts: Callable[[Iterable[Row]], Iterable[Row]],
    ) -> Iterable[Row]:
        """The rows that are asked for, in their order; of others, what that order needs."""
        if isinstance(self.metric, DerivedMetric):
            merged = [(part.merged(buckets), repeat(part.metric)) for part in layers]
            sides = [parts(map(MergedRow.estimated, *pair)) for pair in merged]
            return self._arrangement.of(watched(joined(self.metric, layers, sides)))
        (part,), (view,), only = layers, self.metrics, None
        if self._choosing is not None:
            chooser, arrangement = self._choosing
            rows = watched(row.estimated(chooser) for row in part.merged(buckets, chooser))
            only = {(row.start, dump_dims(row.dims)) for row in arrangement.of(rows)}
            watched = iter  # it has seen them
        rows = (row.estimated(view) for row in part.merged(buckets, view, only))
        return self._arrangement.of(watched(rows))


def question_of(
    metric: AnyMetric,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    last: str | timedelta | None = None,
    every: str | timedelta = "1h",
    rolling: str | None = None,
    zone: str | None = None,
    by: str | Sequence[str] | None = None,
    where: str | None = None,
    measures: str | Sequence[str] | None = None,
    order: str | Sequence[str] | None = None,
    limit: int | None = None,
    items: Mapping[str, object] | None = None,
    layers: bool = False,
) -> Question:
    """Understand the arguments of `query`; nothing is read.

    Raises:
        QueryError: One is wrong.
    """
    if not isinstance(cast("object", metric), AnyMetric):
        raise QueryError(f"metric is {metric!r}; give a Metric, as fastdata.load has them")
    dims = dims_of(metric, by)
    condition = None if where is None else Filter.parse(metric, where)
    view = asked_for(metric, measures, items or {})
    metrics = parts_of(view)
    request = QueryRequest.parse(metric, start, end, every, rolling, zone, last)
    arrangement = Arrangement.parse(view, dims, order, limit)
    return Question(
        view,
        metrics,
        request,
        answer_schema(view, dims, layers),
        tuple([ChosenDims(part, dims, condition) for part in metrics]),
        arrangement,
        {"by": dims, "where": where, **arrangement.described()},
        # What an item is asked about is not among the estimates that are stored.
        not items,
        None if request.rolling else _choosing(metric, view, arrangement, dims, items or {}),
    )


def _choosing(
    metric: AnyMetric,
    view: AnyMetric,
    arrangement: Arrangement,
    dims: Sequence[str],
    items: Mapping[str, object],
) -> tuple[Metric, Arrangement] | None:
    """By which measures the first rows can be chosen, if that spares sketches of all others."""
    names = [name for name, _ in arrangement.columns if name in view.columns]
    if arrangement.limit is None or not names or isinstance(view, DerivedMetric):
        return None
    asked = {name: item for name, item in items.items() if name in names}
    (chooser,) = parts_of(asked_for(metric, names, asked))
    if not is_worth(chooser, view):
        return None
    order = [f"{name} desc" if last else name for name, last in arrangement.columns]
    return chooser, Arrangement.parse(chooser, dims, order, arrangement.limit)


def with_warning(table: pa.Table) -> pa.Table:
    """The same table; the caller's caller is warned where an earlier definition has answers."""
    if earlier := describe(table)["earlier"]:
        warnings.warn(earlier["hint"], stacklevel=3)
    return table


def dims_of(metric: AnyMetric, by: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names of some dimensions, each once.

    Raises:
        QueryError: The metric has no such dimension.
    """
    names = () if by is None else (by,) if isinstance(by, str) else tuple(dict.fromkeys(by))
    for name in names:
        if name not in metric.by:
            have = ", ".join(metric.by) or "none"
            advice = did_you_mean(name, metric.by, f"its dimensions are: {have}")
            raise QueryError(f"metric {metric.name!r} has no dimension {name!r}; {advice}")
    return names
