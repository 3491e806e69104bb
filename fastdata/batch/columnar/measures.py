"""Measures by columns: SQL that DataFusion runs, and the states that its answer makes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

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
_KNOWN = (
    *(Count, Sum, Mean, Min, Max, Variance, StdDev, First, Last, Histogram),
    *(Uniques, Sets, Seen, TopK, Frequency, Quantiles),
)


@dataclass(frozen=True, slots=True)
class Argument:
    """What a measure is computed of, as SQL; whole numbers, timestamps and dates as Int64."""

    sql: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class AggregateColumns:
    """Columns of one query for all groups, and what makes the states of the groups of them.

    Attributes:
        sql: Aggregate functions, one for each column.
        states: From the columns, without nulls in place of a number, to one state a group.
    """

    sql: tuple[str, ...]
    states: Callable[[Sequence[pa.Array]], list[State]]


def columns_of(
    measure: Measure, aggregate: Aggregate, arguments: Sequence[Argument], time: str
) -> AggregateColumns | ValueColumns:
    """The columns of a measure; any that is not known here is folded value by value.

    Args:
        time: SQL of the event time, ms UTC.
    """
    # A class that is derived of one of ours may count differently.
    if type(measure) in _KNOWN:
        by_aggregate = _by_aggregate(measure, aggregate, arguments, time)
        if columns := by_aggregate or _by_value(measure, aggregate, arguments):
            return columns
    sql = [argument.sql for argument in arguments]
    return folded(aggregate, sql, time if getattr(measure, "timed", False) else None)


def _by_aggregate(
    measure: Measure, aggregate: Aggregate, arguments: Sequence[Argument], time: str
) -> AggregateColumns | None:
    match measure, arguments:
        case Count(), ():
            return AggregateColumns(("count(*)",), lambda columns: columns[0].to_pylist())
        case Count(), (one,):
            return AggregateColumns((f"count({one.sql})",), lambda columns: columns[0].to_pylist())
        case Sum(), (one,) if _is_summable(one.type):
            return _sum(one)
        case Mean(), (one,) if _is_summable(one.type):
            return _mean(aggregate, one)
        case Min() | Max(), (one,):
            return _extreme("max" if isinstance(measure, Max) else "min", one)
        case First() | Last(), (one,):
            return _end(isinstance(measure, Last), one, time)
    return None


def _by_value(
    measure: Measure, aggregate: Aggregate, arguments: Sequence[Argument]
) -> ValueColumns | None:
    match measure, arguments:
        case Sum() | Mean(), (one,) if one.type.kind == "float":
            return float_sum(aggregate, one.sql)
        case Variance() | StdDev(), (one,):
            return variance(aggregate, one.sql)
        case Histogram(), (one,):
            return histogram(aggregate, one.sql)
        case Uniques() | Sets(), (one,):
            return distinct(one.sql)
        case Seen(), (one,):
            return folded(aggregate, [one.sql], None, "distinct")
        case TopK() | Frequency() | Quantiles(), (one,):
            return counted(aggregate, one.sql)
    return None


def _is_summable(type: FieldType) -> bool:
    return type.kind == "int" or 0 < type.precision <= _MOST_DIGITS


def _sum(argument: Argument) -> AggregateColumns:
    if argument.type.kind == "decimal":
        sql = f"coalesce(sum({argument.sql}), 0)"
        return AggregateColumns((sql,), lambda columns: _unscaled(columns[0], argument.type.scale))
    if argument.type.bits <= _LOW_BITS:
        sql = f"coalesce(sum({argument.sql}), 0)"
        return AggregateColumns((sql,), lambda columns: columns[0].to_pylist())
    # A sum of 64-bit integers wraps; those of their halves do not.
    halves = (
        f"coalesce(sum({argument.sql} >> {_LOW_BITS}), 0)",
        f"coalesce(sum({argument.sql} & {(1 << _LOW_BITS) - 1}), 0)",
    )
    return AggregateColumns(
        halves,
        lambda columns: [
            (high << _LOW_BITS) + low
            for high, low in zip(*(c.to_pylist() for c in columns), strict=True)
        ],
    )


def _mean(aggregate: Aggregate, argument: Argument) -> AggregateColumns:
    inner = _sum(argument)

    def states(columns: Sequence[pa.Array]) -> list[State]:
        *sums, counts = columns
        means = []
        for total, count in zip(inner.states(sums), counts.to_pylist(), strict=True):
            state = aggregate.zero(exact=True)
            state.total, state.count = total, count
            means.append(state)
        return means

    return AggregateColumns((*inner.sql, f"count({argument.sql})"), states)


def _extreme(name: str, argument: Argument) -> AggregateColumns:
    sql = argument.sql
    if argument.type.kind == "float":
        return _float_extreme(name, sql)
    if argument.type.kind == "decimal":
        scale = argument.type.scale
        return AggregateColumns((f"{name}({sql})",), lambda columns: _unscaled(columns[0], scale))
    return AggregateColumns((f"{name}({sql})",), lambda columns: columns[0].to_pylist())


def _float_extreme(name: str, sql: str) -> AggregateColumns:
    # NaN is no extreme, there is one zero, and DataFusion's maximum begins above -infinity.
    last = -math.inf if name == "max" else math.inf
    is_last = f"{sql} = CAST('{last}' AS DOUBLE)"
    rest = f"CASE WHEN isnan({sql}) OR {is_last} THEN NULL ELSE {sql} + 0.0 END"

    def states(columns: Sequence[pa.Array]) -> list[State]:
        pairs = zip(*(column.to_pylist() for column in columns), strict=True)
        return [last if value is None and count else value for value, count in pairs]

    return AggregateColumns((f"{name}({rest})", f"count(CASE WHEN {is_last} THEN 1 END)"), states)


def _unscaled(column: pa.Array, scale: int) -> list[Any]:
    # With the context of decimals that never rounds.
    return [None if v is None else to_unscaled("", scale, v) for v in column.to_pylist()]


def _end(latest: bool, argument: Argument, time: str) -> AggregateColumns:
    type, sql = argument.type, argument.sql
    # There is one NaN, above all numbers, and one zero.
    normal = f"CASE WHEN isnan({sql}) THEN CAST('NaN' AS DOUBLE) ELSE {sql} + 0.0 END"
    value = normal if type.kind == "float" else sql
    end, extreme = ("last_value", "max") if latest else ("first_value", "min")
    is_there = f"FILTER (WHERE {sql} IS NOT NULL)"

    def states(columns: Sequence[pa.Array]) -> list[State]:
        is_decimal = type.kind == "decimal"
        keys = _unscaled(columns[0], type.scale) if is_decimal else columns[0].to_pylist()
        times = columns[1].to_pylist()
        return [None if at is None else (at, key) for at, key in zip(times, keys, strict=True)]

    ordered = f"{end}({value} ORDER BY {time}, {value}) {is_there}"
    return AggregateColumns((ordered, f"{extreme}({time}) {is_there}"), states)
