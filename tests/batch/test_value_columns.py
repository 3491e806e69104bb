"""States of whole columns against the same values added one at a time."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata import Histogram, Mean, Quantiles, StdDev, Sum, Uniques, Variance
from fastdata.batch.columnar import values as values_module
from fastdata.batch.columnar.grouping import GroupedStates
from fastdata.batch.columnar.values import (
    ValueColumns,
    counted,
    distinct,
    float_sum,
    histogram,
    variance,
)
from fastdata.events.fieldtypes import FieldType
from fastdata.measures import exact_or_sketch
from fastdata.measures.aggregate import Aggregate

LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)
FLOATS = st.floats() | st.sampled_from([0.1, -0.1, 5e-324, 1.5, 2.0, -0.0, 1e308, -1e308])
MONEY = st.decimals(-(10**10), 10**10, places=2) | st.just(Decimal(10**21))
FLOAT, DECIMAL = FieldType("float"), FieldType("decimal", scale=2, precision=24)


def both(
    aggregate: Aggregate, form: ValueColumns, groups: Sequence[Sequence[object]], type: pa.DataType
) -> tuple[list[bytes], list[bytes]]:
    """What the form makes of the groups, and what adding makes of them."""
    # In several chunks, as they come.
    column = pa.chunked_array([pa.array(group, type) for group in groups], type)
    states = form.states([column], [len(group) for group in groups])
    added = []
    for group in groups:
        state = aggregate.zero(exact=True)
        for value in group:
            if value is not None:
                state = aggregate.add(state, value)
        added.append(aggregate.dump(state))
    return [aggregate.dump(state) for state in states], added


def groups_of(values: st.SearchStrategy[object]) -> st.SearchStrategy[list[list[object]]]:
    return st.lists(st.lists(st.none() | values, min_size=1, max_size=12), min_size=1, max_size=4)


@pytest.fixture(autouse=True)
def none_is_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values_module, "_FEW", 0)


@given(groups_of(FLOATS))
def test_floats_are_added_up_exactly(groups: list[list[object]]) -> None:
    for measure in (Sum("x"), Mean("x")):
        aggregate = measure.bind(FLOAT)
        of_columns, added = both(aggregate, float_sum(aggregate, "x"), groups, pa.float64())
        assert of_columns == added


@given(groups_of(st.text("ab\u00e9", max_size=2)), st.integers(0, 8))
def test_distinct_values_are_dumped_as_one_by_one(
    groups: list[list[str | None]], max_bytes: int
) -> None:
    aggregate: Any = Uniques("x").bind(FieldType("string"))
    rows = [sorted({*group}, key=lambda value: (value is not None, value)) for group in groups]
    column = pa.chunked_array([pa.array(row, pa.string()) for row in rows], pa.string())
    found = GroupedStates(distinct(aggregate, "x"), ([column], list(map(len, rows))))
    with pytest.MonkeyPatch.context() as patch:
        # Past it, they are dumped as sketches.
        patch.setattr(exact_or_sketch, "MAX_EXACT_BYTES", max_bytes)
        states = [{*group} - {None} for group in groups]
        assert found.dumped(aggregate).to_pylist() == list(map(aggregate.dump, states))


@given(groups_of(FLOATS))
def test_squares_of_floats_are_added_up_exactly(groups: list[list[object]]) -> None:
    aggregate = Variance("x").bind(FLOAT)
    of_columns, added = both(aggregate, variance(aggregate, "x"), groups, pa.float64())
    assert of_columns == added


@given(groups_of(LONGS))
def test_squares_of_integers_are_added_up_exactly(groups: list[list[object]]) -> None:
    aggregate = StdDev("x").bind(FieldType("int"))
    of_columns, added = both(aggregate, variance(aggregate, "x"), groups, pa.int64())
    assert of_columns == added


@given(groups_of(MONEY))
def test_squares_of_decimals_are_added_up_exactly(groups: list[list[object]]) -> None:
    aggregate = Variance("x", population=True).bind(DECIMAL)
    of_columns, added = both(aggregate, variance(aggregate, "x"), groups, pa.decimal128(24, 2))
    assert of_columns == added


def test_many_of_the_largest_numbers_do_not_overflow() -> None:
    aggregate = Variance("x").bind(FieldType("int"))
    groups = [[-(2**63)] * 3_000, [2**63 - 1] * 3_000]
    of_columns, added = both(aggregate, variance(aggregate, "x"), groups, pa.int64())
    assert of_columns == added


@pytest.mark.parametrize(
    ("values", "type", "field"),
    [
        (FLOATS, pa.float64(), FLOAT),
        (LONGS, pa.int64(), FieldType("int")),
        (MONEY, pa.decimal128(24, 2), DECIMAL),
    ],
    ids=["floats", "integers", "decimals"],
)
@given(st.data())
def test_histograms_count_what_adding_counts(
    values: st.SearchStrategy[object], type: pa.DataType, field: FieldType, data: st.DataObject
) -> None:
    edges = data.draw(
        st.lists(
            st.sampled_from([-(2**70), -(2**63), -1.5, 0, 0.1, 2, 2**63 - 1, 2**63, 2**70]),
            unique=True,
            min_size=1,
        ).map(sorted)
    )
    groups = data.draw(st.lists(st.lists(st.none() | values, min_size=10), min_size=1, max_size=3))
    aggregate = Histogram("x", edges=edges).bind(field)
    of_columns, added = both(aggregate, histogram(aggregate, "x"), groups, type)
    assert of_columns == added


def test_values_that_become_one_number_are_counted_together() -> None:
    aggregate = Quantiles("x").bind(FLOAT)
    values = pa.chunked_array([pa.array([0.0, None, -0.0, float("nan"), 1.0])])
    counts = pa.chunked_array([pa.array([1, 5, 2, 7, 1])])

    (state,) = counted(aggregate, "x").states([values, counts], [5])

    added = aggregate.zero(exact=True)
    for value in (0.0, -0.0, 0.0, float("nan"), 1.0):
        added = aggregate.add(added, value)
    assert aggregate.dump(state) == aggregate.dump(added)
