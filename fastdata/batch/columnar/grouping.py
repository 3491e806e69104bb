"""The states of all groups of events, by queries that give each measure what it needs.

One query groups by all aggregate functions. What a measure cannot have of one, such as its distinct
values, comes from a query of its own in order of the groups, which takes a tenth of the memory and
time that gathering them into arrays would take, and can spill. Distinct values of events that are
not too many come from codes of them, in a fraction of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import SessionContext
from numpy.typing import NDArray

from fastdata.batch.columnar.coded import CodedColumn, CodedEvents, ask
from fastdata.batch.columnar.measures import AggregateColumns
from fastdata.batch.columnar.values import ValueColumns
from fastdata.measures.aggregate import Aggregate, State
from fastdata.measures.stored_columns import payloads

__all__ = ["GroupedStates", "GroupedValues", "grouped", "slices"]

# Of which the states, and what they are made of, are Python objects at the same time.
_GROUPS, _EVENTS = 20_000, 200_000
_CODES = 1 << 62  # that a number has room for


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


@dataclass(frozen=True, slots=True)
class GroupedValues:
    """Columns of values, those of one group behind each other.

    Attributes:
        starts: Where each group begins, and the end.
        columns: Of all groups.
    """

    starts: NDArray[np.int64]
    columns: Sequence[pa.ChunkedArray]

    @classmethod
    def of_sorted(cls, table: pa.Table, keys: int) -> Self:
        """The columns behind the first ones, which are the keys of the groups and in order."""
        is_first = np.zeros(table.num_rows, bool)
        is_first[:1] = True
        for key in table.columns[:keys]:
            codes = key.combine_chunks().dictionary_encode(null_encoding="encode").indices
            is_first[1:] |= np.diff(codes.to_numpy()) != 0
        return cls(np.append(np.flatnonzero(is_first), table.num_rows), table.columns[keys:])

    @classmethod
    def of_different(cls, columns: Sequence[CodedColumn]) -> Self | None:
        """The different values of the last column, in order, by groups of equal other ones.

        Several times faster than a query; None where there are too many combinations.
        """
        codes, room = np.zeros(len(columns[0].codes), np.int64), _CODES
        for column in columns:
            room //= max(1, len(column.values))
            if not room:
                return None
            codes *= len(column.values)
            codes += column.codes
        codes.sort()
        values = columns[-1].values
        groups, chosen = np.divmod(codes[np.diff(codes, prepend=-1) != 0], max(1, len(values)))
        starts = np.append(np.flatnonzero(np.diff(groups, prepend=-1)), len(groups))
        return cls(starts, [pa.chunked_array([values.take(pa.array(chosen))])])

    def of(self, start: int, end: int) -> tuple[Sequence[pa.ChunkedArray], Sequence[int]]:
        """The columns of the groups `[start, end)`, and how many rows each group has."""
        starts = self.starts[start : end + 1]
        first, last = int(starts[0]), int(starts[-1])
        columns = [column.slice(first, last - first) for column in self.columns]
        return columns, np.diff(starts).tolist()


def grouped(
    coded: CodedEvents,
    keys: Sequence[str],
    measures: Sequence[AggregateColumns | ValueColumns],
    events: str,
    chosen: str,
    place: str,
) -> Iterator[tuple[Sequence[pa.ChunkedArray], list[GroupedStates]]]:
    """The groups slice by slice: their keys, and of each measure their states.

    Args:
        keys: SQL of what the events of a group have in common.
        measures: What is computed of each group.
        events: SQL from FROM on.
        chosen: Equal for equal rows, whatever else can be selected of them.
        place: SQL of a column that the log is in order of.
    """
    context, order = coded.context, _numbers(keys)
    aggregated = [sql for m in measures if isinstance(m, AggregateColumns) for sql in m.sql]
    selected = [*keys, "count(*)", *aggregated]
    groups = ask(context, selected, f"{events} GROUP BY {order} ORDER BY {order}")
    rows = pc.sum(groups.column(len(keys))).as_py() or 0
    values: dict[int, GroupedValues] = {}
    for index, columns in enumerate(measures):
        if isinstance(columns, ValueColumns):
            if columns.row == "distinct":
                asked = coded.columns([*keys, *columns.sql], events, chosen, rows)
                if asked and (different := GroupedValues.of_different(asked)):
                    values[index] = different
                    continue
            table = _sorted(context, keys, columns, events, place)
            values[index] = GroupedValues.of_sorted(table, len(keys))
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


def _sorted(
    context: SessionContext, keys: Sequence[str], columns: ValueColumns, events: str, place: str
) -> pa.Table:
    """The rows of one measure in order of the groups; each group has one, if only of a null."""
    selected = [*keys, *columns.sql]
    match columns.row:
        case "distinct":
            rest = f"{events} ORDER BY {_numbers(selected)}"
            return ask(context, selected, rest, "DISTINCT")
        case "counted":
            rest = f"{events} GROUP BY {_numbers(selected)} ORDER BY {_numbers(keys)}"
            return ask(context, [*selected, "count(*)"], rest)
    return ask(context, selected, f"{events} ORDER BY {_numbers(keys)}, {place}")


def _numbers(columns: Sequence[str]) -> str:
    return ", ".join(str(n + 1) for n in range(len(columns)))


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
