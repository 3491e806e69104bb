"""Rows in order of their groups, and slices of groups."""

import pyarrow as pa
import pytest

from fastdata.batch.columnar import grouping
from fastdata.batch.columnar.grouping import GroupedValues, slices


def test_a_group_ends_where_any_key_changes() -> None:
    table = pa.table(
        {
            "hour": [0, 0, 0, 1, 1, 1],
            "page": ["a", "a", None, None, None, "a"],
            "value": [1, 2, 3, 4, 5, 6],
        }
    )

    found = GroupedValues(table, keys=2)

    columns, lengths = found.of(0, 4)
    assert [column.to_pylist() for column in columns] == [[1, 2, 3, 4, 5, 6]]
    assert lengths == [2, 1, 2, 1]
    columns, lengths = found.of(1, 3)
    assert [column.to_pylist() for column in columns] == [[3, 4, 5]]
    assert lengths == [1, 2]


def test_without_rows_there_are_no_groups() -> None:
    empty = pa.table({"hour": pa.array([], pa.int64()), "value": pa.array([], pa.string())})

    columns, lengths = GroupedValues(empty, keys=1).of(0, 0)

    assert ([len(column) for column in columns], lengths) == ([0], [])


def test_slices_are_bounded_by_events_and_by_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_EVENTS", 10)
    monkeypatch.setattr(grouping, "_GROUPS", 3)
    events = pa.chunked_array([[4, 6, 1, 25], [9, 1, 1, 1, 1, 1]])

    assert list(slices(events)) == [(0, 2), (2, 3), (3, 4), (4, 6), (6, 9), (9, 10)]
    assert list(slices(pa.chunked_array([[]], pa.int64()))) == []
