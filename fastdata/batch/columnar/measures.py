"""Measures by columns: SQL that DataFusion runs, and the states that its answer makes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fastdata.batch.columnar.values import (
    ValueColumns,
    counted,
    distinct,
    float_sum,
    folded,
    histogram,
    variance,
)
from fastdata.declare.metric import Measure
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate, State
from fastdata.measures.count import Count
from fastdata.measures.extremes import Max, Min
from fastdata.measures.first_last import First, Last
from fastdata.measures.frequency import Frequency
from fastdata.measures.histogram import Histogram
from fastdata.measures.numbers import to_unscaled
from fastdata.measures.quantiles import Quantiles
from fastdata.measures.seen import Seen
from fastdata.measures.sets import Sets
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.topk import TopK
from fastdata.measures.uniques import Uniques
from fastdata.measures.variance import StdDev, Variance

__all__ = ["AggregateColumns", "Argument", "columns_of"]

# A sum of decimals has ten digits more than what is summed.
_MOST_DIGITS = 28
_LOW_BITS = 32
# Of sums of halves, which together are less than 2**63.
_MOST_HIGH, _MOST_LOW = 1 << 30, 1 << 62


@dataclass(frozen=True, slots=True)
class Argument:
    """What a measure is computed of, as SQL; whole numbers, timestamps and dates as Int64."""

    sql: str
    type: FieldType


def _one_by_one(columns: Sequence[pa.Array]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class AggregateColumns:
    """Columns of one query for all groups, and what makes the states of the groups of them.

    Attributes:
        sql: Aggregate functions, one for each column.
        states: From the columns, without nulls in place of a number, to one state a group.
        stored: From the same to what the aggregate dumps of these states, many at a time; None
            where that has to be done one by one.
    """

    sql: tuple[str, ...]
    states: Callable[[Sequence[pa.Array]], list[State]]
    stored: Callable[[Sequence[pa.Array]], pa.Array | None] = _one_by_one


_Columns = AggregateColumns | ValueColumns


def columns_of(
    measure: Measure, aggregate: Aggregate, arguments: Sequence[Argument], time: str
) -> _Columns:
    """The columns of a measure; any that is not known here is folded value by value.

    Args:
        time: SQL of the event time, ms UTC.
    """
    # By its very class: one that is derived of ours may count differently.
    if type(measure) is Count and not arguments:
        return _count(aggregate, "*")
    if len(arguments) == 1:
        if by_value := _BY_VALUE.get(type(measure)):
            return by_value(aggregate, arguments[0].sql)
        by_aggregate = _BY_AGGREGATE.get(type(measure))
        if by_aggregate and (columns := by_aggregate(aggregate, arguments[0], time)):
            return columns
    sql = [argument.sql for argument in arguments]
    return folded(aggregate, sql, time if getattr(measure, "timed", False) else None)


def _count(aggregate: Any, counted: str) -> AggregateColumns:
    def stored(columns: Sequence[pa.Array]) -> pa.Array:
        return aggregate.dump_groups(columns[0].to_numpy())

    return replace(_aggregated(f"count({counted})"), stored=stored)


def _aggregated(sql: str, type: FieldType | None = None) -> AggregateColumns:
    """The value of one aggregate function as the state; of a type for what may be decimals."""
    return AggregateColumns((sql,), lambda columns: _values(columns[0], type))


def _values(column: pa.Array, type: FieldType | None) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if type is None or type.kind != "decimal":
        return values
    # With the context of decimals that never rounds.
    return [None if value is None else to_unscaled("", type.scale, value) for value in values]


def _totals(columns: Sequence[pa.Array]) -> NDArray[np.int64] | None:
    """The sums of integers, of which there may be halves; None where one may be too large."""
    if not pa.types.is_int64(columns[0].type):
        return None
    halves: list[NDArray[np.int64]] = [column.to_numpy() for column in columns]
    if len(halves) == 1:
        return halves[0]
    high, low = halves
    is_small = max(np.max(high, initial=0), -np.min(high, initial=0)) < _MOST_HIGH
    return (high << _LOW_BITS) + low if is_small and np.max(low, initial=0) < _MOST_LOW else None


def _sum(aggregate: Any, argument: Argument, time: str) -> _Columns | None:
    type, sql = argument.type, argument.sql
    if type.kind == "float":
        return float_sum(aggregate, sql)
    if type.kind != "int" and not 0 < type.precision <= _MOST_DIGITS:
        return None
    if type.kind == "decimal":
        return _aggregated(f"coalesce(sum({sql}), 0)", type)

    def stored(columns: Sequence[pa.Array]) -> pa.Array | None:
        totals = _totals(columns)
        return None if totals is None else aggregate.dump_groups(totals)

    if type.bits <= _LOW_BITS:
        return replace(_aggregated(f"coalesce(sum({sql}), 0)"), stored=stored)
    # A sum of 64-bit integers wraps; those of their halves do not.
    halves = (
        f"coalesce(sum({sql} >> {_LOW_BITS}), 0)",
        f"coalesce(sum({sql} & {(1 << _LOW_BITS) - 1}), 0)",
    )
    return AggregateColumns(
        halves,
        lambda columns: [
            (high << _LOW_BITS) + low
            for high, low in zip(*(c.to_pylist() for c in columns), strict=True)
        ],
        stored,
    )


def _mean(aggregate: Any, argument: Argument, time: str) -> _Columns | None:
    inner = _sum(aggregate, argument, time)
    if not isinstance(inner, AggregateColumns):
        return inner

    def states(columns: Sequence[pa.Array]) -> list[State]:
        *sums, counts = columns
        means = []
        for total, count in zip(inner.states(sums), counts.to_pylist(), strict=True):
            state = aggregate.zero(exact=True)
            state.total, state.count = total, count
            means.append(state)
        return means

    def stored(columns: Sequence[pa.Array]) -> pa.Array | None:
        totals = _totals(columns[:-1])
        return None if totals is None else aggregate.dump_groups(totals, columns[-1].to_numpy())

    return AggregateColumns((*inner.sql, f"count({argument.sql})"), states, stored)


def _extreme(name: str, _: Aggregate, argument: Argument, time: str) -> AggregateColumns:
    sql = argument.sql
    if argument.type.kind != "float":
        return _aggregated(f"{name}({sql})", argument.type)
    # NaN is no extreme, there is one zero, and DataFusion's maximum begins above -infinity.
    last = -math.inf if name == "max" else math.inf
    is_last = f"{sql} = CAST('{last}' AS DOUBLE)"
    rest = f"CASE WHEN isnan({sql}) OR {is_last} THEN NULL ELSE {sql} + 0.0 END"

    def states(columns: Sequence[pa.Array]) -> list[State]:
        pairs = zip(*(column.to_pylist() for column in columns), strict=True)
        return [last if value is None and count else value for value, count in pairs]

    return AggregateColumns((f"{name}({rest})", f"count(CASE WHEN {is_last} THEN 1 END)"), states)


def _end(name: str, extreme: str, _: Aggregate, argument: Argument, time: str) -> AggregateColumns:
    type, sql = argument.type, argument.sql
    # There is one NaN, above all numbers, and one zero.
    normal = f"CASE WHEN isnan({sql}) THEN CAST('NaN' AS DOUBLE) ELSE {sql} + 0.0 END"
    value = normal if type.kind == "float" else sql
    is_there = f"FILTER (WHERE {sql} IS NOT NULL)"

    def states(columns: Sequence[pa.Array]) -> list[State]:
        keys, times = _values(columns[0], type), columns[1].to_pylist()
        return [None if at is None else (at, key) for at, key in zip(times, keys, strict=True)]

    ordered = f"{name}({value} ORDER BY {time}, {value}) {is_there}"
    return AggregateColumns((ordered, f"{extreme}({time}) {is_there}"), states)


_BY_AGGREGATE: dict[type[Measure], Callable[[Any, Argument, str], _Columns | None]] = {
    Count: lambda aggregate, argument, time: _count(aggregate, argument.sql),
    Sum: _sum,
    Mean: _mean,
    Min: partial(_extreme, "min"),
    Max: partial(_extreme, "max"),
    First: partial(_end, "first_value", "min"),
    Last: partial(_end, "last_value", "max"),
}
_BY_VALUE: dict[type[Measure], Callable[[Any, str], ValueColumns]] = {
    Variance: variance,
    StdDev: variance,
    Histogram: histogram,
    Uniques: distinct,
    Sets: distinct,
    Seen: lambda aggregate, sql: folded(aggregate, [sql], None, "distinct"),
    TopK: counted,
    Frequency: counted,
    Quantiles: counted,
}
