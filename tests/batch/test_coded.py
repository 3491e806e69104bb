"""Columns as codes: which values they stand for, and when they are made."""

import pyarrow as pa
from datafusion import SessionContext

from fastdata.batch.columnar.coded import CodedColumn, CodedEvents


def test_codes_are_places_in_the_order_of_values_and_a_null_is_the_last() -> None:
    column = pa.chunked_array([["b", None, "a"], [], ["\U0001f600", "é", "b", ""]])

    found = CodedColumn.of(column)

    assert found.values.to_pylist() == ["", "a", "b", "é", "\U0001f600", None]
    assert found.codes.tolist() == [2, 5, 1, 4, 3, 2, 0]


def test_a_column_is_made_once_for_all_who_choose_the_same_events() -> None:
    context = SessionContext()
    context.register_record_batches("events", [pa.table({"x": [3, 1, 2]}).to_batches()])
    coded = CodedEvents(context, max_rows=3)
    name, others = coded.name_of("x + 1"), coded.name_of("x")
    assert len({name, others}) == 2
    assert coded.name_of("x + 1") == name
    chosen = "FROM events WHERE x > 1"
    first = coded.columns([name], f"FROM (SELECT x + 1 AS {name} {chosen})", chosen, 2)
    context.deregister_table("events")

    again = coded.columns(
        [name], f"FROM (SELECT x AS {others}, x + 1 AS {name} {chosen})", chosen, 2
    )

    assert first is not None
    assert again == first
    assert first[0].values.to_pylist() == [3, 4]
    assert first[0].codes.tolist() == [1, 0]


def test_of_too_many_rows_there_are_no_codes() -> None:
    coded = CodedEvents(SessionContext(), max_rows=3)

    assert coded.columns(["x"], "FROM events", "FROM events", 4) is None
