"""Histograms: which numbers count where, and what is refused."""

import math
import random
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Histogram
from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate
from fastdata.testing.laws import fold

INT, FLOAT, MONEY = FieldType("int"), FieldType("float"), FieldType("decimal", scale=2)
TENS = Histogram("x", edges=[0, 10, 100])


def counts(measure: Histogram, type_: FieldType, *values: object) -> Any:
    aggregate = measure.bind(type_)
    estimate = aggregate.present(fold(aggregate, values))
    assert estimate.is_exact
    return estimate.value


def test_a_value_on_an_edge_counts_above_it() -> None:
    assert (2, 3, 1, 2) == counts(TENS, INT, -5, -1, 0, 1, 9, 10, 100, 2**80)
    assert (0, 0, 0, 0) == counts(TENS, INT)


def test_infinities_count_at_the_ends_and_nan_is_skipped() -> None:
    values = [-math.inf, math.inf, math.nan, -0.0, 5e-324]

    assert (1, 2, 0, 1) == counts(TENS, FLOAT, *values)


@pytest.mark.parametrize(
    ("type_", "edge", "below", "above"),
    [
        (FLOAT, 0.1, math.nextafter(0.1, 0), 0.1),
        # The float next to a tenth is above it.
        (FLOAT, Decimal("0.1"), math.nextafter(0.1, 0), 0.1),
        # The float next to three tenths is below it.
        (FLOAT, Decimal("0.3"), 0.3, math.nextafter(0.3, 1)),
        (FLOAT, 2**53 + 1, float(2**53), float(2**53 + 2)),
        (INT, 0.5, 0, 1),
        (INT, -0.5, -1, 0),
        (INT, 1e20, 10**20 - 1, 10**20),
        (MONEY, 0.1, Decimal("0.10"), Decimal("0.11")),
        (MONEY, Decimal("0.1"), Decimal("0.09"), Decimal("0.10")),
        (MONEY, Decimal("0.101"), Decimal("0.10"), Decimal("0.11")),
    ],
)
def test_numbers_of_different_types_compare_exactly(
    type_: FieldType, edge: int | float | Decimal, below: object, above: object
) -> None:
    assert (1, 1) == counts(Histogram("x", edges=[edge]), type_, below, above)


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=5, unique=True).map(sorted),
    st.lists(st.integers(-60, 60), max_size=20),
)
def test_a_plain_count_agrees(edges: list[int], values: list[int]) -> None:
    ends = [-math.inf, *edges, math.inf]
    expected = [sum(low <= value < high for value in values) for low, high in pairwise(ends)]

    assert tuple(expected) == counts(Histogram("x", edges=edges), INT, *values)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([], "has 0 edges; give 1 to 1000"),
        (range(1001), "has 1001 edges"),
        ([0, 10, 10], "edges ascend, but 10 comes before 10"),
        ([1, 0], "edges ascend, but 1 comes before 0"),
        ([math.inf], "the edge inf is no finite number"),
        ([0, math.nan], "the edge nan is no finite number"),
        ([Decimal("sNaN")], "is no finite number"),
        ([10**400], "is no finite number"),
        (["1"], "the edge '1' is no finite number"),
        ([True], "the edge True is no finite number"),
    ],
)
def test_edges_that_are_none_are_refused(edges: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=r"Histogram\(field='x', edges=") as caught:
        Histogram("x", edges=edges).bind(FLOAT)

    assert message in str(caught.value)


def test_a_field_without_numbers_is_refused() -> None:
    with pytest.raises(DeclarationError, match="kind string; what fits is: int, float, decimal"):
        TENS.bind(FieldType("string"))


@pytest.mark.parametrize(
    ("type_", "value"),
    [(INT, True), (INT, 1.5), (FLOAT, "1"), (MONEY, 1), (MONEY, Decimal("0.001"))],
)
def test_a_value_of_another_type_is_refused_and_named(type_: FieldType, value: object) -> None:
    aggregate = TENS.bind(type_)
    with pytest.raises(MapError, match="field 'x' holds"):
        aggregate.add(aggregate.zero(), value)


def test_the_declaration_is_its_text_and_cannot_change_afterwards() -> None:
    edges: list[int | float | Decimal] = [0, Decimal("1.5")]
    measure = Histogram("x", edges=edges)
    edges.append(3)

    assert "Histogram(field='x', edges=(0, Decimal('1.5')))" == repr(measure)


def test_missing_events_may_lie_in_each_bin() -> None:
    aggregate = TENS.bind(INT)

    estimate = aggregate.widen(Estimate.exact((1, 0, 5, 2)), 3)
    assert Estimate((1, 0, 5, 2), (1, 0, 5, 2), (4, 3, 8, 5)) == estimate
    assert not estimate.is_exact
    assert Estimate.exact((1, 0)) == aggregate.widen(Estimate.exact((1, 0)), 0)


def test_the_stored_form_never_changes() -> None:
    aggregate = TENS.bind(INT)

    assert 67 == aggregate.code
    assert (
        "00010080027f" == aggregate.dump([0, 1, 0, 256])[:5].hex() + aggregate.dump([127])[:1].hex()
    )
    assert [0, 1, 0, 256] == aggregate.load(bytes.fromhex("0001008002"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\0\0",
        b"\0\0\0\x80",
        b"\0\0\0\x80\0",
        b"\0\0\0" + b"\xff" * 9 + b"\1",
    ],
)
def test_a_malformed_state_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptStateError, match="no stored"):
        TENS.bind(INT).load(data)


def test_noise_is_corrupt_or_a_state_never_a_crash() -> None:
    aggregate, chance, read = TENS.bind(INT), random.Random(67), 0
    for _ in range(2_000):
        noise = chance.randbytes(chance.randrange(3, 9))
        try:
            state = aggregate.load(noise)
        except CorruptStateError:
            continue
        assert noise == aggregate.dump(state)
        read += 1
    assert read > 100


def test_arrow_takes_lists() -> None:
    array = pa.array([counts(TENS, INT, 5), None], TENS.bind(INT).arrow_type())

    assert [[0, 1, 0, 0], None] == array.to_pylist()
