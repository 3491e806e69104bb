"""Rows in order of their groups, and slices of groups."""

from typing import Any

import pyarrow as pa
import pytest
from datafusion import SessionContext
from hypothesis import given
from hypothesis import strategies as st

from fastdata.batch.columnar import grouping
from fastdata.batch.columnar.coded import CodedColumn
from fastdata.batch.columnar.grouping import GroupedValues, slices


def test_a_group_ends_where_any_key_changes() -> None:
    table = pa.table(
        {
            "hour": [0, 0, 0, 1, 1, 1],
            "page": ["a", "a", None, None, None, "a"],
            "value": [1, 2, 3, 4, 5, 6],
        }
    )

    found = GroupedValues.of_sorted(table, keys=2)

    columns, lengths = found.of(0, 4)
    assert [column.to_pylist() for column in columns] == [[1, 2, 3, 4, 5, 6]]
    assert lengths == [2, 1, 2, 1]
    columns, lengths = found.of(1, 3)
    assert [column.to_pylist() for column in columns] == [[3, 4, 5]]
    assert lengths == [1, 2]


def test_without_rows_there_are_no_groups() -> None:
    empty = pa.table({"hour": pa.array([], pa.int64()), "value": pa.array([], pa.string())})

    columns, lengths = GroupedValues.of_sorted(empty, keys=1).of(0, 0)

    assert ([len(column) for column in columns], lengths) == ([0], [])


@given(
    st.lists(
        st.tuples(
            st.integers(-3, 3),
            st.none() | st.sampled_from(["", "a", "b", "\u00e9", "\U0001f600", "z"]),
            st.none() | st.booleans(),
            st.none() | st.integers(-(2**63), 2**63 - 1),
        )
    )
)
def test_different_values_are_those_of_a_query(rows: list[tuple[Any, ...]]) -> None:
    types = {"hour": pa.int64(), "page": pa.string(), "is_new": pa.bool_(), "value": pa.int64()}
    columns = [pa.array([row[index] for row in rows], t) for index, t in enumerate(types.values())]
    table, context = pa.table(columns, list(types)), SessionContext()
    context.register_record_batches(
        "rows", [table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]]
    )
    sql = "SELECT DISTINCT hour, page, is_new, value FROM rows ORDER BY 1, 2, 3, 4"
    expected = GroupedValues.of_sorted(context.sql(sql).to_arrow_table(), keys=3)

    found = GroupedValues.of_different(list(map(CodedColumn.of, table.columns)))

    assert found is not None
    assert found.starts.tolist() == expected.starts.tolist()
    assert found.columns[0].to_pylist() == expected.columns[0].to_pylist()


def test_values_of_more_combinations_than_codes_are_left_to_a_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = pa.table({"hour": [0, 1], "page": ["a", "b"], "value": [1, 2]})
    assert GroupedValues.of_different(list(map(CodedColumn.of, table.columns))) is not None

    monkeypatch.setattr(grouping, "_CODES", 7)

    assert GroupedValues.of_different(list(map(CodedColumn.of, table.columns))) is None


def test_slices_are_bounded_by_events_and_by_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_EVENTS", 10)
    monkeypatch.setattr(grouping, "_GROUPS", 3)
    events = pa.chunked_array([[4, 6, 1, 25], [9, 1, 1, 1, 1, 1]])

    assert list(slices(events)) == [(0, 2), (2, 3), (3, 4), (4, 6), (6, 9), (9, 10)]
    assert list(slices(pa.chunked_array([[]], pa.int64()))) == []
