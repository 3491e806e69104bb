"""Measures that no SQL aggregate computes: made of the values, in order of their groups."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fastdata.batch.columnar.exact_sums import Sums, add_up, count_between
from fastdata.measures.aggregate import Aggregate, State

__all__ = ["ValueColumns", "counted", "distinct", "float_sum", "folded", "histogram", "variance"]

_Row = Literal["event", "distinct", "counted"]
_Columns = Sequence[pa.ChunkedArray]
# Of fewer values a group, adding one at a time is as fast.
_FEW = 8


def _one_by_one(columns: _Columns, lengths: Sequence[int]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class ValueColumns:
    """Columns of the values themselves, and what makes the states of all groups of them.

    Attributes:
        sql: Of one event, one for each column.
        states: From the columns, group by group, and how many rows each has, to one state a group.
        stored: From the same to what the aggregate dumps of these states, many at a time; None
            where that has to be done one by one.
        row: What a row is made of: an event, in the order of the log; values that are different
            in a group, in order; or these, and in a last column how many events had them.
    """

    sql: tuple[str, ...]
    states: Callable[[_Columns, Sequence[int]], list[State]]
    row: _Row = "event"
    stored: Callable[[_Columns, Sequence[int]], pa.Array | None] = _one_by_one


def distinct(aggregate: Any, sql: str) -> ValueColumns:
    """States that are sets of values."""

    def states(columns: _Columns, lengths: Sequence[int]) -> list[State]:
        values = iter(columns[0].to_pylist())
        sets = [set(islice(values, length)) for length in lengths]
        for values_of_group in sets:
            values_of_group.discard(None)
        return sets

    def stored(columns: _Columns, lengths: Sequence[int]) -> pa.Array | None:
        values, ends = columns[0].combine_chunks(), np.cumsum(lengths)
        if values.null_count:
            ends = np.cumsum(values.is_valid().to_numpy(zero_copy_only=False))[ends - 1]
        return aggregate.dump_groups(values.drop_null(), ends)

    return ValueColumns((sql,), states, "distinct", stored)


def counted(aggregate: Any, sql: str) -> ValueColumns:
    """States that an aggregate makes of values and how often each came."""

    def states(columns: _Columns, lengths: Sequence[int]) -> list[State]:
        pairs = zip(*(column.to_pylist() for column in columns), strict=True)
        return [
            aggregate.exact_of(pair for pair in islice(pairs, length) if pair[0] is not None)
            for length in lengths
        ]

    return ValueColumns((sql,), states, "counted")


def float_sum(aggregate: Any, sql: str) -> ValueColumns:
    """States of the sum, or the mean, of floats."""

    def state_of(sums: Sums) -> State:
        state: State = aggregate.zero(exact=True)
        total = state
        if hasattr(state, "count"):
            total, state.count = state.total, sums.count
        total.numerator, total.denominator = sums.total, 1 << -sums.exponent
        total.flags = sums.flags
        return state

    return _added(aggregate, sql, state_of, squares=False)


def variance(aggregate: Any, sql: str) -> ValueColumns:
    """States of variances."""

    def state_of(sums: Sums) -> State:
        state: State = aggregate.zero(exact=True)
        state.count, state.total, state.squares = sums.count, sums.total, sums.squares
        state.denominator, state.is_finite = 1 << -sums.exponent, not sums.flags
        return state

    return _added(aggregate, sql, state_of, squares=True)


def histogram(aggregate: Any, sql: str) -> ValueColumns:
    """States of histograms."""
    by_value = folded(aggregate, [sql], None)

    def states(columns: _Columns, lengths: Sequence[int]) -> list[State]:
        values, counts = columns[0], None
        if len(values) >= len(lengths) * (len(aggregate.edges) + 1):
            counts = count_between(values, lengths, aggregate.edges)
        return by_value.states(columns, lengths) if counts is None else counts

    return ValueColumns((sql,), states)


def folded(
    aggregate: Aggregate, parts: Sequence[str], time: str | None, row: _Row = "event"
) -> ValueColumns:
    """States that values are added to, one at a time.

    Args:
        time: SQL of the event time, where the aggregate wants it beside the value.
        row: Not "counted".
    """
    size = len(parts)

    def states(columns: _Columns, lengths: Sequence[int]) -> list[State]:
        values = _folded_values([column.to_pylist() for column in columns], size)
        folded_groups = []
        for length in lengths:
            state = aggregate.zero(exact=True)
            for value in islice(values, length):
                if value is not None:
                    state = aggregate.add(state, value)
            folded_groups.append(state)
        return folded_groups

    return ValueColumns((*parts, *([time] if time else [])), states, row)


def _added(
    aggregate: Aggregate, sql: str, state_of: Callable[[Sums], State], *, squares: bool
) -> ValueColumns:
    by_value = folded(aggregate, [sql], None)

    def states(columns: _Columns, lengths: Sequence[int]) -> list[State]:
        values, sums = columns[0], None
        if len(values) >= len(lengths) * _FEW:
            sums = add_up(values, lengths, squares)
        return by_value.states(columns, lengths) if sums is None else list(map(state_of, sums))

    return ValueColumns((sql,), states)


def _folded_values(columns: Sequence[Sequence[object]], size: int) -> Iterator[object]:
    """What is folded of each row, None of one with a null.

    Args:
        columns: Those of `size` arguments, and maybe the event time.
    """
    values: Iterator[object] = repeat(())
    if size == 1:
        values = iter(columns[0])
    elif size:
        rows = zip(*columns[:size], strict=True)
        values = (None if any(value is None for value in row) else row for row in rows)
    if len(columns) == size:
        return values
    timed = zip(values, columns[-1], strict=False)
    return (None if value is None else (value, at) for value, at in timed)
