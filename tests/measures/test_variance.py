"""Variances and standard deviations: to the last bit, and what is refused."""

import math
import random
import statistics
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import StdDev, Variance
from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.testing.laws import fold

INT, FLOAT, MONEY = FieldType("int"), FieldType("float"), FieldType("decimal", scale=2)
INTS, MONEYS, FLOATS = (Variance("x").bind(type_) for type_ in (INT, MONEY, FLOAT))


def answer(measure: Variance | StdDev, type_: FieldType, *values: object) -> Any:
    aggregate = measure.bind(type_)
    estimate = aggregate.present(fold(aggregate, values))
    assert estimate.is_exact
    return estimate.value


def test_by_default_it_is_that_of_a_sample() -> None:
    values = [2, 4, 4, 4, 5, 5, 7, 9]

    assert 32 / 7 == answer(Variance("x"), INT, *values)
    assert 4.0 == answer(Variance("x", population=True), INT, *values)
    assert math.sqrt(32 / 7) == answer(StdDev("x"), INT, *values)
    assert 2.0 == answer(StdDev("x", population=True), INT, *values)


def test_too_few_values_have_none() -> None:
    assert [None, None, 0.5] == [answer(Variance("x"), INT, *range(n)) for n in range(3)]
    population = Variance("x", population=True)
    assert [None, 0.0, 0.25] == [answer(population, INT, *range(n)) for n in range(3)]


def test_large_values_that_are_close_lose_no_digit() -> None:
    near = math.nextafter(1e6, 2e6)

    assert 0.5 == answer(Variance("x"), INT, 10**18, 10**18 + 1)
    assert (near - 1e6) ** 2 / 2 == answer(Variance("x"), FLOAT, 1e6, near)
    large = "12345678901234567890123456789012345.6"
    assert 0.00005 == answer(Variance("x"), MONEY, Decimal(large + "7"), Decimal(large + "8"))


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (INT, st.integers(-(2**63), 2**63 - 1)),
        (MONEY, st.integers(-(10**20), 10**20).map(lambda n: Decimal(n).scaleb(-2))),
        (FLOAT, st.floats(allow_nan=False, allow_infinity=False, width=64)),
        (FLOAT, st.floats(-1e9, 1e9)),
    ],
)
@settings(max_examples=100, deadline=None, database=None)
@given(st.data())
def test_it_is_the_exact_variance_rounded_once(
    type_: FieldType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(values, min_size=2, max_size=8))
    exact = statistics.variance([Fraction(value) for value in drawn])
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf

    assert expected == answer(Variance("x"), type_, *drawn)


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=4))
def test_the_root_is_the_nearest_float(drawn: list[float]) -> None:
    exact = statistics.pvariance([Fraction(value) for value in drawn])
    root = answer(StdDev("x", population=True), FLOAT, *drawn)

    below, above = (
        (Fraction(root) + Fraction(math.nextafter(root, end))) / 2 for end in (0, math.inf)
    )
    assert below**2 <= exact <= above**2


def test_a_root_fits_where_the_variance_does_not() -> None:
    assert math.inf == answer(Variance("x", population=True), FLOAT, -1e300, 1e300)
    assert 1e300 == answer(StdDev("x", population=True), FLOAT, -1e300, 1e300)
    assert 0.0 == answer(Variance("x", population=True), FLOAT, -5e-324, 5e-324)
    assert 5e-324 == answer(StdDev("x", population=True), FLOAT, -5e-324, 5e-324)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_makes_it_nan(value: float) -> None:
    assert "nan" == repr(answer(Variance("x"), FLOAT, 1.0, value))
    assert "nan" == repr(answer(StdDev("x"), FLOAT, value, 2.0, 1.0))
    assert answer(Variance("x"), FLOAT, value) is None


def test_an_int_in_a_field_of_floats_is_a_float() -> None:
    assert 0.125 == answer(Variance("x"), FLOAT, 0, 0.5)


def test_it_is_a_float_in_arrow() -> None:
    assert pa.float64() == INTS.arrow_type() == StdDev("x").bind(MONEY).arrow_type()


@pytest.mark.parametrize("measure", [Variance("x"), StdDev("x")])
@pytest.mark.parametrize("kind", ["string", "bool", "timestamp", "date", "bytes"])
def test_a_field_that_holds_no_numbers_is_refused(measure: Variance | StdDev, kind: Kind) -> None:
    with pytest.raises(DeclarationError, match=f"kind {kind}; what fits is: int, float, decimal"):
        measure.bind(FieldType(kind))


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [(INTS, True), (INTS, 1.5), (FLOATS, "1"), (MONEYS, 1), (MONEYS, Decimal("0.001"))],
)
def test_a_value_of_another_type_is_refused_and_named(aggregate: Aggregate, value: object) -> None:
    with pytest.raises(MapError, match="field 'x' holds"):
        aggregate.add(aggregate.zero(), value)


def test_missing_events_leave_no_bounds() -> None:
    assert Estimate(0.5, None, None) == INTS.widen(Estimate.exact(0.5), 1)
    assert not INTS.widen(Estimate.exact(None), 1).is_exact
    assert Estimate.exact(0.5) == INTS.widen(Estimate.exact(0.5), 0)


def test_codes_and_stored_forms_never_change() -> None:
    roots = [StdDev("x").bind(type_).code for type_ in (INT, MONEY, FLOAT)]
    assert [64, 65, 66] == [a.code for a in (INTS, MONEYS, FLOATS)] == roots

    stored = {
        "nothing": INTS.dump(INTS.zero()).hex(),
        "ints": INTS.dump(fold(INTS, [3, -300])).hex(),
        "decimals": MONEYS.dump(fold(MONEYS, [Decimal("0.03"), Decimal("-3")])).hex(),
        "floats": FLOATS.dump(fold(FLOATS, [0.5, 0.75])).hex(),
        "infinite": FLOATS.dump(fold(FLOATS, [0.5, math.inf])).hex(),
    }
    assert {
        "nothing": "00010000",
        "ints": "0202d7fe995f01",
        "decimals": "0202d7fe995f01",
        "floats": "02000201050d",
        "infinite": "020101010101",
    } == stored


@pytest.mark.parametrize(
    ("aggregate", "data"),
    [
        (INTS, b""),
        (INTS, b"\0"),
        (INTS, b"\0\1\0"),
        (INTS, b"\0\1\0\1"),  # a square of nothing
        (INTS, b"\2\1\2\1"),  # a mean of squares below the square of the mean
        (INTS, b"\2\1\2\xff"),
        (INTS, b"\2\2\2\0\4"),
        (INTS, b"\2\xff\xff\1\2\4"),
        (INTS, b"\x80\0\1\0\0"),
        (FLOATS, b"\0\1\0\1\0\0"),
        (FLOATS, b"\1\2\0\1\0\0"),
        (FLOATS, b"\1\0\xb3\x08\1\0\0"),  # in smaller parts than any float has
        (FLOATS, b"\1\0"),
    ],
)
def test_a_malformed_state_is_corrupt(aggregate: Aggregate, data: bytes) -> None:
    with pytest.raises(CorruptStateError):
        aggregate.load(data)


@pytest.mark.parametrize("aggregate", [INTS, MONEYS, FLOATS], ids=lambda a: f"{a.code}")
def test_noise_is_corrupt_or_a_state_never_a_crash(aggregate: Aggregate) -> None:
    chance, read = random.Random(aggregate.code), 0
    for _ in range(4_000):
        # A plausible head, so that some of it is read.
        head = b"\2\0\1" if aggregate is FLOATS else b"\2"
        noise = head + b"\1" + chance.randbytes(chance.randrange(2, 5))
        try:
            state = aggregate.load(noise)
        except CorruptStateError:
            continue
        aggregate.present(state)
        assert noise == aggregate.dump(state)
        read += 1
    assert read > 100
