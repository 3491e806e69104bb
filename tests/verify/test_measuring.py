"""The plain measures against the aggregates, over values of all kinds."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import (
    Count,
    First,
    Histogram,
    Last,
    Max,
    Mean,
    Min,
    StdDev,
    Sum,
    Uniques,
    Variance,
)
from fastdata.declare.metric import Measure
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate
from fastdata.verify.plain import (
    NOT_RECOUNTED,
    deviation,
    is_known,
    is_same,
    is_within,
    recount,
)
from fastdata.verify.reports import Finding

KINDS: dict[str, tuple[FieldType, st.SearchStrategy[object]]] = {
    "int": (FieldType("int"), st.integers(-(2**63), 2**63 - 1)),
    "float": (FieldType("float"), st.floats()),
    "decimal": (
        FieldType("decimal", scale=3, precision=30),
        st.integers(-(10**25), 10**25).map(lambda n: Decimal(n).scaleb(-3)),
    ),
}
NUMERIC: list[Measure] = [
    Count("x"), Sum("x"), Mean("x"), Min("x"), Max("x"), Variance("x"), StdDev("x"),
    Variance("x", population=True), StdDev("x", population=True), Histogram("x", [-1.5, 0, 10**9]),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("measure", NUMERIC, ids=repr)
@settings(max_examples=40)
@given(data=st.data())
def test_numbers_are_what_the_aggregate_says(
    measure: Measure, kind: str, data: st.DataObject
) -> None:
    type_, values = KINDS[kind]
    given_values = data.draw(st.lists(st.none() | values, max_size=12))
    aggregate = measure.bind(type_)
    state = aggregate.zero()
    for value in given_values:
        if value is not None:
            state = aggregate.add(state, value)
    found = aggregate.present(state).value
    expected = recount(measure, given_values)
    assert is_same(found, expected), (found, expected)


@pytest.mark.parametrize("measure", [First("x"), Last("x")], ids=repr)
@given(pairs=st.lists(st.tuples(st.floats(), st.integers(0, 3))))
def test_ends_are_what_the_aggregate_says(measure: Measure, pairs: list[tuple[float, int]]) -> None:
    aggregate = measure.bind(FieldType("float"))
    state = aggregate.zero()
    for pair in pairs:
        state = aggregate.add(state, pair)
    assert is_same(aggregate.present(state).value, recount(measure, pairs))


@given(values=st.lists(st.text(max_size=2)))
def test_texts_are_what_the_aggregates_say(values: list[str]) -> None:
    for measure in (Uniques("x"), Min("x"), Max("x")):
        aggregate = measure.bind(FieldType("string"))
        state = aggregate.zero(exact=True)
        for value in values:
            state = aggregate.add(state, value)
        assert aggregate.present(state).value == recount(measure, values)


def test_events_are_counted_whatever_they_hold() -> None:
    assert 3 == recount(Count(), [(), (), ()])
    assert 1 == recount(Count("x"), [None, 0, None])


def test_what_is_not_known_is_said() -> None:
    class Odd:
        arguments = ("x",)

    assert not is_known(Odd())  # type: ignore[arg-type]
    assert recount(Odd(), [1]) is NOT_RECOUNTED  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True), (Decimal("0.5"), Fraction(1, 2), True), (math.nan, math.nan, True),
        (math.nan, 1.0, False), (math.inf, math.inf, True), (math.inf, -math.inf, False),
        (None, 0, False), (None, None, True), ("1", 1, False), (True, 1, True),
        ((1, 2.0), (1, 2), True), ((1,), (1, 2), False), (10**400, 10**400 + 1, False),
        (Decimal("1e999"), math.inf, False),
    ],
)  # fmt: skip
def test_sameness_is_of_numbers_and_not_of_types(
    one: object, other: object, expected: bool
) -> None:
    assert expected is is_same(one, other)


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [(90, 100, 0.1), (110.0, 100, 0.1), (0, 0, 0.0), (1, 0, 1.0), (None, 5, 1.0), ("a", "b", 1.0),
     (Decimal(3), Decimal(2), 0.5), (-1, 1, 2.0), (math.nan, 1.0, 1.0),
     ((9, None, 30), (10, None, 20), 0.5), ((("/", 99),), (("/a", 1),), 1.0)],
)  # fmt: skip
def test_the_deviation_is_relative(found: object, expected: object, error: float) -> None:
    assert error == pytest.approx(deviation(found, expected))


def test_bounds_can_be_stretched() -> None:
    estimate = Estimate(100, 90, 120, 0.997)
    assert [is_within(estimate, n) for n in (89, 90, 120, 121)] == [False, True, True, False]
    assert [is_within(estimate, n, 2) for n in (79, 80, 140, 141)] == [False, True, True, False]


def test_a_finding_shows_numbers_as_people_write_them() -> None:
    found = (("/home", Fraction(1, 1)), ("/", Fraction(1, 2)))
    fields = Finding("m", "batch", 0, "there", "top", found, Fraction(3), "wrong").as_dict()

    assert (fields["found"], fields["expected"]) == ([["/home", 1], ["/", 0.5]], 3)
