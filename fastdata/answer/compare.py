"""Comparisons: the sets of values of two selections of rows, beside each other."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

import pyarrow as pa

from fastdata.answer.arrow import INSTANT, KEY, description
from fastdata.answer.merge import Buckets, Folded, fold, fresh_until
from fastdata.answer.query import answer_range, open_reader
from fastdata.answer.request import Asked
from fastdata.coordinates.dimensions import Dimension
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.errors import QueryError
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import unbounded, widened_count
from fastdata.measures.sets import SetComparison, Sets, compare_states
from fastdata.store.protocol import Reading, ServingStore

__all__ = ["compare"]

_SIZES = ("left", "right", "union", "intersection", "left_only", "right_only")
_TYPES = {**dict.fromkeys(_SIZES, pa.int64()), "jaccard": pa.float64()}

Selection = Mapping[str, Dimension]


async def compare(
    metric: Metric,
    measure: str,
    left: Selection,
    right: Selection,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    every: str | timedelta = "all",
    rolling: str | None = None,
    zone: str | None = None,
    store: ServingStore | str | None = None,
) -> pa.Table:
    """How the values of two selections overlap, of both layers over `[start, end)`.

    One row per bucket of time of which anything is stored. Columns: `window` and `window_end`,
    then with `_lower` and `_upper` each: `left` and `right` (how many values a side has), `union`,
    `intersection`, `left_only`, `right_only`, and `jaccard`, the share of the union that both
    have (null of two empty sides); then `exact`, `fresh_until` and `gap` as in `query`. Counts
    hold within their bounds with confidence 0.997, the similarity with 0.954.

    Args:
        metric: What to answer.
        measure: The name of one of its measures, which is a `Sets`.
        left: Values of dimensions, all of which a row of that side has; of none: every row.
        right: The same; sides may overlap.
        start: As in `query`.
        end: As in `query`.
        every: As in `query`.
        rolling: As in `query`.
        zone: As in `query`.
        store: An open store, the URL of one, or None for that of the settings.

    Raises:
        QueryError: An argument is wrong.
        SettingsError: The URL is of no store, or a setting is wrong.
        StoreUnavailableError: There is no store, or it cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    if not isinstance(metric.folded.get(measure), Sets):
        have = ", ".join(n for n, m in metric.folded.items() if isinstance(m, Sets)) or "none"
        raise QueryError(
            f"metric {metric.name!r} has no sets {measure!r} to compare; its measures that are "
            f"Sets('field'): {have}"
        )
    sides = _Sides(metric, measure, left, right)
    asked = Asked.parse(metric, start, end, every, rolling, zone)
    async with open_reader(store) as opened:
        system, topic = unfolded_of(metric.source).id, metric.source.topic
        limits = asked.reading(metric.span_ms)
        dims = metric.dims_prefix(sides.by)
        reading = await opened.read(metric.id, system, topic, *limits, dims=dims)
    asked, buckets = answer_range(metric, asked, reading)
    rows = sides.rows(reading, buckets) if buckets else iter(())
    table = _table(rows, fresh_until(reading))
    about = {
        **description(metric, reading, asked, ()),
        "measure": measure,
        "left": dict(left),
        "right": dict(right),
    }
    return table.replace_schema_metadata({KEY: json.dumps(about)})


@dataclass(frozen=True, slots=True)
class _Row:
    start: int
    end: int
    comparison: SetComparison
    is_exact: bool
    has_gap: bool


class _Sides:
    """Two selections of the rows of a metric.

    Attributes:
        by: The dimensions that either is made by.
    """

    def __init__(self, metric: Metric, measure: str, left: Selection, right: Selection) -> None:
        self._metric = metric
        self._index = list(metric.folded).index(measure)
        self._aggregate = metric.aggregates[self._index]
        self.by = tuple(dict.fromkeys([*left, *right]))
        self._chosen = [
            self._checked(side, given) for side, given in (("left", left), ("right", right))
        ]
        metric.set_for(self.by)

    def rows(self, reading: Reading, buckets: Buckets) -> Iterator[_Row]:
        """One row per bucket that has rows of either side."""
        folded = fold(self._metric, reading, buckets, self.by)
        for _, some in groupby(folded, key=lambda row: row.start):
            rows = list(some)
            sides = [[row for row in rows if _has(row, chosen)] for chosen in self._chosen]
            if any(sides):
                yield self._row(rows[0], *sides)

    def _row(self, any_row: Folded, left: list[Folded], right: list[Folded]) -> _Row:
        states = [self._merged(rows) for rows in (left, right)]
        comparison = compare_states(self._aggregate, *states)
        estimates: list[Estimate] = [getattr(comparison, name) for name in _TYPES]
        is_certain = any_row.is_complete and all(row.layer == "batch" for row in (*left, *right))
        return _Row(
            any_row.start,
            any_row.end,
            _widened(comparison, any_row.missing_events),
            is_certain and all(estimate.is_exact for estimate in estimates),
            any_row.has_gap,
        )

    def _merged(self, rows: list[Folded]) -> object:
        state = self._aggregate.zero(exact=True)
        for row in rows:
            state = self._aggregate.merge(state, row.states[self._index])
        return state

    def _checked(self, side: str, given: Selection) -> list[tuple[int, Dimension]]:
        return [
            (self.by.index(name), self._value(side, name, value)) for name, value in given.items()
        ]

    def _value(self, side: str, name: str, value: Dimension) -> Dimension:
        if name not in self._metric.by:
            have = ", ".join(self._metric.by) or "none"
            raise QueryError(
                f"{side}: metric {self._metric.name!r} has no dimension {name!r}; its dimensions "
                f"are: {have}"
            )
        kind = self._metric.dimension_type(name).kind
        of = str if kind == "string" else bool if kind == "bool" else int
        try:
            if isinstance(value, str):
                value = {"true": True, "false": False}[value] if of is bool else of(value)
        except (ValueError, KeyError):
            pass
        if value is None or type(value) is of:
            return value
        raise QueryError(f"{side}: {value!r} is no value of {name!r}, which holds {of.__name__}")


def _has(row: Folded, chosen: list[tuple[int, Dimension]]) -> bool:
    # In Python True and 1 are one value.
    return all(type(row.dims[i]) is type(value) and row.dims[i] == value for i, value in chosen)


def _widened(comparison: SetComparison, events: int) -> SetComparison:
    """With bounds for that many more events, each of which may be of a side, or of both."""
    if not events:
        return comparison
    sizes = {name: widened_count(getattr(comparison, name), events) for name in _SIZES}
    for name in ("left_only", "right_only"):
        lower = sizes[name].lower
        sizes[name] = replace(sizes[name], lower=max(0, int(str(lower)) - events))
    return SetComparison(**sizes, jaccard=unbounded(comparison.jaccard))


def _table(rows: Iterator[_Row], fresh: int | None) -> pa.Table:
    schema = [pa.field("window", INSTANT), pa.field("window_end", INSTANT)]
    for name, type in _TYPES.items():
        schema += [pa.field(name + suffix, type) for suffix in ("", "_lower", "_upper")]
    ends = {"exact": pa.bool_(), "fresh_until": INSTANT, "gap": pa.bool_()}
    schema += [pa.field(name, type) for name, type in ends.items()]
    columns: list[list[object]] = [[] for _ in schema]
    for row in rows:
        values: list[object] = [row.start, row.end]
        for name in _TYPES:
            estimate = getattr(row.comparison, name)
            values += (estimate.value, estimate.lower, estimate.upper)
        values += (row.is_exact, fresh, row.has_gap)
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    arrays = [pa.array(values, f.type) for f, values in zip(schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(schema))
