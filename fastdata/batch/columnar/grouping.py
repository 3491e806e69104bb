"""The states of all groups of events, by queries that give each measure what it needs.

One query groups by all aggregate functions. What a measure cannot have of one, such as its distinct
values, comes from a query of its own in order of the groups, which takes a tenth of the memory and
time that gathering them into arrays would take, and can spill.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion import SessionContext

from fastdata.batch.columnar.measures import AggregateColumns
from fastdata.batch.columnar.values import ValueColumns
from fastdata.measures.aggregate import Aggregate, State
from fastdata.measures.stored_columns import payloads

__all__ = ["GroupedStates", "GroupedValues", "grouped", "slices"]

# Of which the states, and what they are made of, are Python objects at the same time.
_GROUPS, _EVENTS = 20_000, 200_000


@dataclass(frozen=True, slots=True)
class GroupedStates:
    """The states that a measure has of some groups, made when they are asked for."""

    columns: AggregateColumns | ValueColumns
    arguments: tuple[Any, ...]

    def states(self) -> list[State]:
        """One a group."""
        return self.columns.states(*self.arguments)

    def dumped(self, aggregate: Aggregate) -> pa.Array:
        """What the aggregate dumps of each of them."""
        stored = self.columns.stored(*self.arguments)
        return payloads(list(map(aggregate.dump, self.states()))) if stored is None else stored


def grouped(
    context: SessionContext,
    keys: Sequence[str],
    measures: Sequence[AggregateColumns | ValueColumns],
    events: str,
    place: str,
) -> Iterator[tuple[Sequence[pa.ChunkedArray], list[GroupedStates]]]:
    """The groups slice by slice: their keys, and of each measure their states.

    Args:
        keys: SQL of what the events of a group have in common.
        measures: What is computed of each group.
        events: SQL from FROM on.
        place: SQL of a column that the log is in order of.
    """
    order = _numbers(keys)
    aggregated = [sql for m in measures if isinstance(m, AggregateColumns) for sql in m.sql]
    selected = [*keys, "count(*)", *aggregated]
    groups = _ask(context, selected, f"{events} GROUP BY {order} ORDER BY {order}")
    values = {
        index: GroupedValues(_values(context, keys, columns, events, place), len(keys))
        for index, columns in enumerate(measures)
        if isinstance(columns, ValueColumns)
    }
    for start, end in slices(groups.column(len(keys))):
        slice_columns = groups.slice(start, end - start).columns
        at, states = len(keys) + 1, []
        for index, columns in enumerate(measures):
            if isinstance(columns, AggregateColumns):
                states.append(GroupedStates(columns, (slice_columns[at : at + len(columns.sql)],)))
                at += len(columns.sql)
            else:
                states.append(GroupedStates(columns, values[index].of(start, end)))
        yield slice_columns[: len(keys)], states


def _values(
    context: SessionContext, keys: Sequence[str], columns: ValueColumns, events: str, place: str
) -> pa.Table:
    """The rows of one measure in order of the groups; each group has one, if only of a null."""
    selected = [*keys, *columns.sql]
    match columns.row:
        case "distinct":
            rest = f"{events} ORDER BY {_numbers(selected)}"
            return _ask(context, selected, rest, "DISTINCT")
        case "counted":
            rest = f"{events} GROUP BY {_numbers(selected)} ORDER BY {_numbers(keys)}"
            return _ask(context, [*selected, "count(*)"], rest)
    return _ask(context, selected, f"{events} ORDER BY {_numbers(keys)}, {place}")


def _numbers(columns: Sequence[str]) -> str:
    return ", ".join(str(n + 1) for n in range(len(columns)))


def _ask(
    context: SessionContext, selected: Sequence[str], rest: str, distinct: str = ""
) -> pa.Table:
    named = ", ".join(f'{sql} AS "{n}"' for n, sql in enumerate(selected))
    return context.sql(f"SELECT {distinct} {named} {rest}").to_arrow_table()


def slices(events: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """The groups in bounded slices, as `[start, end)`; one that has very many events is alone.

    Args:
        events: How many each group has.
    """
    ends, start = np.cumsum(events.to_numpy()), 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + _EVENTS, side="right"))
        end = min(max(fitting, start + 1), start + _GROUPS)
        yield start, end
        start = end


class GroupedValues:
    """Columns of values, those of one group behind each other.

    Args:
        table: In order of its first columns, which are the keys of the groups.
        keys: How many these are.
    """

    def __init__(self, table: pa.Table, keys: int) -> None:
        is_first = np.zeros(table.num_rows, bool)
        is_first[:1] = True
        for key in table.columns[:keys]:
            codes = key.combine_chunks().dictionary_encode(null_encoding="encode").indices
            is_first[1:] |= np.diff(codes.to_numpy()) != 0
        self._starts = np.append(np.flatnonzero(is_first), table.num_rows)
        self._columns = table.columns[keys:]

    def of(self, start: int, end: int) -> tuple[Sequence[pa.ChunkedArray], Sequence[int]]:
        """The columns of the groups `[start, end)`, and how many rows each group has."""
        starts = self._starts[start : end + 1]
        first, last = int(starts[0]), int(starts[-1])
        columns = [column.slice(first, last - first) for column in self._columns]
        return columns, np.diff(starts).tolist()
