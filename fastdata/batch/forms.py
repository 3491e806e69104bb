"""Measures by columns: SQL that DataFusion runs, and the states that its answer makes."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

import pyarrow as pa

from fastdata.aggregates import Aggregate, Count, Max, Min, State
from fastdata.metric import Measure
from fastdata.schemas import FieldType
from fastdata.sums import Mean, Sum
from fastdata.uniques import Uniques
from fastdata.values import to_unscaled

__all__ = ["Argument", "Form", "Listed", "form_of"]

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


@dataclass(frozen=True, slots=True)
class Listed:
    """Columns of the values themselves, and what makes the states of all groups of them.

    Attributes:
        sql: Of one event, one for each column.
        states: From the columns, group by group, and how many rows each has, to one state a group.
        is_distinct: Whether equal rows of a group are one; else they are in the order of the log.
    """

    sql: tuple[str, ...]
    states: Callable[[Sequence[pa.ChunkedArray], Sequence[int]], list[State]]
    is_distinct: bool = False


def form_of(
    measure: Measure, aggregate: Aggregate, arguments: Sequence[Argument], time: str
) -> Form | Listed:
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
            return Listed((one.sql,), _sets, is_distinct=True)
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


def _sets(columns: Sequence[pa.ChunkedArray], lengths: Sequence[int]) -> list[State]:
    values = iter(columns[0].to_pylist())
    found = [set(islice(values, length)) for length in lengths]
    for each in found:
        each.discard(None)
    return found


def _unscaled(column: pa.Array, scale: int) -> list[Any]:
    # With the context of decimals that never rounds.
    return [None if v is None else to_unscaled("", scale, v) for v in column.to_pylist()]


def _folded(aggregate: Aggregate, parts: Sequence[str], time: str | None) -> Listed:
    """All values of each group, folded one at a time, in the order of the log.

    Args:
        time: SQL of the event time, where the aggregate wants it beside the value.
    """
    size = len(parts)

    def states(columns: Sequence[pa.ChunkedArray], lengths: Sequence[int]) -> list[State]:
        rows = _rows([column.to_pylist() for column in columns], size)
        found = []
        for length in lengths:
            state = aggregate.zero(exact=True)
            for each in islice(rows, length):
                if each is not None:
                    state = aggregate.add(state, each)
            found.append(state)
        return found

    return Listed((*parts, *([time] if time else [])), states)


def _rows(columns: Sequence[Sequence[object]], size: int) -> Iterator[object]:
    """What is folded of each row, None of one with a null.

    Args:
        columns: Those of `size` arguments, and maybe the event time.
    """
    rows: Iterator[object] = repeat(())
    if size == 1:
        rows = iter(columns[0])
    elif size:
        tuples = zip(*columns[:size], strict=True)
        rows = (None if any(value is None for value in each) else each for each in tuples)
    if len(columns) == size:
        return rows
    return (None if one is None else (one, at) for one, at in zip(rows, columns[-1], strict=False))
