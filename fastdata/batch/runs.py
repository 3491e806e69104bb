"""Rows in order of their groups, and the groups that are made into states together."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

__all__ = ["Runs", "slices"]

# Of which the states, and what they are made of, are Python objects at the same time.
_GROUPS, _EVENTS = 20_000, 200_000


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


class Runs:
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
