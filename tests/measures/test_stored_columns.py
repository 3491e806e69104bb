"""What is dumped many at a time is what is dumped one by one, to the byte."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.count import Count
from fastdata.measures.envelope import MAX_BYTES, pack
from fastdata.measures.items import MAX_EXACT_BYTES, Items
from fastdata.measures.numbers import int_to_bytes
from fastdata.measures.sets import Sets
from fastdata.measures.stored_columns import envelopes, integers, joined, payloads
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.uniques import Uniques

LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)
PAYLOADS = st.binary(max_size=9) | st.sampled_from(list(map(bytes, (254, 255, 256, 70_000))))
NEAR_POWERS = [
    number
    for bits in range(64)
    for sign in (1, -1)
    for more in (-1, 0, 1)
    if -(2**63) <= (number := sign * (1 << bits) + more) < 2**63
]


def array(numbers: Sequence[int]) -> Any:
    return np.array(numbers, np.int64)


def test_integers_of_all_sizes() -> None:
    numbers = [*NEAR_POWERS, -(2**63)]
    assert integers(array(numbers)).to_pylist() == list(map(int_to_bytes, numbers))
    assert integers(array([])).to_pylist() == []


@given(st.lists(LONGS))
def test_counts_and_sums(numbers: list[int]) -> None:
    for measure in (Count(), Sum("x")):
        aggregate: Any = measure.bind(FieldType("int"))
        dumped = aggregate.dump_groups(array(numbers))
        assert dumped.to_pylist() == list(map(aggregate.dump, numbers))


@given(st.lists(st.tuples(LONGS, st.integers(0, 2**62))))
def test_means(pairs: list[tuple[int, int]]) -> None:
    aggregate: Any = Mean("x").bind(FieldType("int"))
    states = []
    for total, count in pairs:
        state = aggregate.zero()
        state.total, state.count = total, count
        states.append(state)
    totals, counts = (array([pair[index] for pair in pairs]) for index in (0, 1))
    dumped = aggregate.dump_groups(totals, counts)
    assert dumped.to_pylist() == list(map(aggregate.dump, states))


@pytest.mark.parametrize("measure", [Uniques("x"), Sets("x")])
@given(
    st.lists(st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=4)))
    | st.lists(st.sets(LONGS))
)
def test_distinct_values(measure: Uniques | Sets, groups: list[set[Any]]) -> None:
    values = [value for group in groups for value in sorted(group)]
    kind: Kind = "int" if values and isinstance(values[0], int) else "string"
    aggregate: Any = measure.bind(FieldType(kind))
    column = pa.array(values, pa.int64() if kind == "int" else pa.string())
    dumped = aggregate.dump_groups(column, np.cumsum(list(map(len, groups)), dtype=np.int64))
    assert dumped.to_pylist() == list(map(aggregate.dump, groups))


@given(
    st.lists(st.text("\0\1a\u007f\u00e9\U0010ffff", max_size=4), unique=True)
    | st.lists(LONGS, unique=True)
)
def test_values_are_sorted_as_they_are_dumped(values: list[Any]) -> None:
    kind: Kind = "int" if values and isinstance(values[0], int) else "string"
    items = Items.of_type("x", FieldType(kind))
    stored = items.joined([items.dump([value]) for value in values])
    assert items.in_order(stored) == items.dump(values)


@pytest.mark.parametrize("more", [0, 1])
def test_values_that_are_too_many_to_stay_exact_are_dumped_one_by_one(more: int) -> None:
    aggregate: Any = Uniques("x").bind(FieldType("int"))
    numbers = range(MAX_EXACT_BYTES // 8 + more)
    dumped = aggregate.dump_groups(pa.array(numbers, pa.int64()), np.array([len(numbers)]))
    assert (dumped is None) == bool(more)
    assert more or dumped.to_pylist() == [aggregate.dump({*numbers})]


def test_columns_that_are_part_of_others() -> None:
    aggregate: Any = Uniques("x").bind(FieldType("string"))
    part = pa.array(["a", "b", "c", "", "d"])[1:]
    dumped = aggregate.dump_groups(part, np.array([2, 2, 4]))
    assert dumped.to_pylist() == [aggregate.dump(state) for state in ({"b", "c"}, set(), {"", "d"})]


@given(st.lists(st.tuples(PAYLOADS, PAYLOADS, PAYLOADS)))
def test_envelopes(rows: list[tuple[bytes, bytes, bytes]]) -> None:
    codes = [1, 200, 7]
    columns = [payloads([row[index] for row in rows]) for index in range(3)]
    assert envelopes(codes, columns) == [pack(list(zip(codes, row, strict=True))) for row in rows]


@pytest.mark.parametrize("sizes", [(MAX_BYTES,), (MAX_BYTES // 2, MAX_BYTES // 2)])
def test_envelopes_that_are_too_large_are_refused_with_the_same_words(sizes: list[int]) -> None:
    parts = [(1, bytes(size)) for size in sizes]
    with pytest.raises(CorruptStateError) as one:
        pack(parts)
    with pytest.raises(CorruptStateError) as many:
        envelopes([1] * len(sizes), [payloads([b"", payload]) for _, payload in parts])
    assert str(many.value) == str(one.value)


def test_bytes_are_joined_row_by_row() -> None:
    assert joined(b"<", payloads([b"a", b""]), b">").to_pylist() == [b"<a>", b"<>"]
