"""Measures by columns: SQL that DataFusion runs, and the states that its answer makes."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fastdata.aggregates import Aggregate, Count, Max, Min, State
from fastdata.metric import Measure
from fastdata.schemas import FieldType
from fastdata.sums import Mean, Sum
from fastdata.uniques import Uniques
from fastdata.values import to_unscaled

__all__ = ["Argument", "Form", "form_of"]

# A sum of decimals has ten digits more than what is summed.
_MOST_DIGITS = 28
_LOW_BITS = 32
_KNOWN = (Count, Sum, Mean, Min, Max, Uniques)


@dataclass(frozen=True, slots=True)
class Argument:
    """What a measure is computed of, as SQL; whole numbers, timestamps and dates as Int64."""

    sql: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Form:
    """Columns of SQL, and what makes the states of all groups of them.

    Attributes:
        sql: Aggregate functions, one for each column.
        states: From the columns, without nulls in place of a number, to one state a group.
    """

    sql: tuple[str, ...]
    states: Callable[[Sequence[pa.Array]], list[State]]


def form_of(
    measure: Measure, aggregate: Aggregate, arguments: Sequence[Argument], time: str
) -> Form:
    """The form of a measure; any that is not known here is folded value by value.

    Args:
        time: SQL of the event time, ms UTC.
    """
    # What somebody else made of one of these is theirs.
    known = measure if type(measure) in _KNOWN else None
    match known, arguments:
        case Count(), ():
            return Form(("count(*)",), lambda columns: columns[0].to_pylist())
        case Count(), (one,):
            return Form((f"count({one.sql})",), lambda columns: columns[0].to_pylist())
        case Sum(), (one,) if _is_summable(one.type):
            return _sum(one)
        case Mean(), (one,) if _is_summable(one.type):
            return _mean(aggregate, one)
        case Min() | Max(), (one,):
            return _extreme("max" if isinstance(measure, Max) else "min", one)
        case Uniques(), (one,):
            sql = f"array_agg(DISTINCT {one.sql}) FILTER (WHERE {one.sql} IS NOT NULL)"
            return Form((sql,), lambda columns: [set(values) for values in _lists(columns[0])])
    parts = [each.sql for each in arguments]
    return _folded(aggregate, parts, time if getattr(measure, "timed", False) else None)


def _is_summable(type: FieldType) -> bool:
    return type.kind == "int" or 0 < type.precision <= _MOST_DIGITS


def _sum(argument: Argument) -> Form:
    if argument.type.kind == "decimal":
        sql = f"coalesce(sum({argument.sql}), 0)"
        return Form((sql,), lambda columns: _unscaled(columns[0], argument.type.scale))
    if argument.type.bits <= _LOW_BITS:
        sql = f"coalesce(sum({argument.sql}), 0)"
        return Form((sql,), lambda columns: columns[0].to_pylist())
    # A sum of 64-bit integers wraps; those of their halves do not.
    halves = (
        f"coalesce(sum({argument.sql} >> {_LOW_BITS}), 0)",
        f"coalesce(sum({argument.sql} & {(1 << _LOW_BITS) - 1}), 0)",
    )
    return Form(
        halves,
        lambda columns: [
            (high << _LOW_BITS) + low
            for high, low in zip(*(c.to_pylist() for c in columns), strict=True)
        ],
    )


def _mean(aggregate: Aggregate, argument: Argument) -> Form:
    inner = _sum(argument)

    def states(columns: Sequence[pa.Array]) -> list[State]:
        *sums, counts = columns
        found = []
        for total, count in zip(inner.states(sums), counts.to_pylist(), strict=True):
            state = aggregate.zero(exact=True)
            state.total, state.count = total, count
            found.append(state)
        return found

    return Form((*inner.sql, f"count({argument.sql})"), states)


def _extreme(name: str, argument: Argument) -> Form:
    sql = argument.sql
    if argument.type.kind == "float":
        return _float_extreme(name, sql)
    if argument.type.kind == "decimal":
        scale = argument.type.scale
        return Form((f"{name}({sql})",), lambda columns: _unscaled(columns[0], scale))
    return Form((f"{name}({sql})",), lambda columns: columns[0].to_pylist())


def _float_extreme(name: str, sql: str) -> Form:
    # NaN is no extreme, there is one zero, and DataFusion's maximum begins above -infinity.
    last = -math.inf if name == "max" else math.inf
    is_last = f"{sql} = CAST('{last}' AS DOUBLE)"
    rest = f"CASE WHEN isnan({sql}) OR {is_last} THEN NULL ELSE {sql} + 0.0 END"

    def states(columns: Sequence[pa.Array]) -> list[State]:
        pairs = zip(*(column.to_pylist() for column in columns), strict=True)
        return [last if value is None and count else value for value, count in pairs]

    return Form((f"{name}({rest})", f"count(CASE WHEN {is_last} THEN 1 END)"), states)


def _lists(column: pa.ListArray) -> Iterator[list[Any]]:
    """The values of each list; none of null. Many times faster than one list at a time."""
    values = column.flatten().to_pylist()
    end = 0
    for length in pc.list_value_length(column).fill_null(0).to_pylist():
        start, end = end, end + length
        yield values[start:end]


def _unscaled(column: pa.Array, scale: int) -> list[Any]:
    # With the context of decimals that never rounds.
    return [None if v is None else to_unscaled("", scale, v) for v in column.to_pylist()]


def _folded(aggregate: Aggregate, parts: Sequence[str], time: str | None) -> Form:
    """All values of each group, folded one at a time, in the order of the log.

    Args:
        time: SQL of the event time, where the aggregate wants it beside the value.
    """
    is_there = " AND ".join(f"{part} IS NOT NULL" for part in parts) or "true"
    fields = [*parts, *([time] if time else [])] or ["1"]
    size, is_one = len(parts), len(parts) == 1 and not time
    pairs = ", ".join(f"'{n}', {field}" for n, field in enumerate(fields))
    row = parts[0] if is_one else f"named_struct({pairs})"

    def value(row: Any) -> object:
        if is_one:
            return row
        given = tuple(row.values())
        one = given[0] if size == 1 else given[:size]
        return (one, given[-1]) if time else one

    def states(columns: Sequence[pa.Array]) -> list[State]:
        found = []
        for values in _lists(columns[0]):
            state = aggregate.zero(exact=True)
            for each in values:
                state = aggregate.add(state, value(each))
            found.append(state)
        return found

    return Form((f"array_agg({row}) FILTER (WHERE {is_there})",), states)
