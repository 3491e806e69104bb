"""What a condition over intervals certainly is, beside what it is at many points of them."""

import math
import re
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import compile_value, parse_expression
from fastdata.expressions.intervals import Interval, verdict

FIELDS = {name: FieldType("float", nullable=True) for name in "abc"}
EVERYTHING = Interval(-math.inf, math.inf)


def judged(text: str, **ends: tuple[float, float] | None) -> bool | None:
    values = {name: e and Interval(*map(Fraction, e)) for name, e in ends.items()}
    return verdict(parse_expression(text, FIELDS, "test"), values)


ONCE = [  # each field once, so that the corners are all that there is to an interval
    "a + b > c", "a - b >= c", "a * b < c", "a * b - c <= 3", "a > 2 and b < c", "a > b or c > 1",
    "not (a + 1 > b)", "a / 4 > b - c", "-a * (b - 1.5) > c", "a between -1 and b", "2 * a <> b",
]  # fmt: skip
TWICE = ["a * a > b", "a - a < 1", "a / b > c", "a > b and a < c", "a = b", "a / (b - 2) < c"]
# Halves, so that floats are exact as well.
NUMBER = st.integers(-8, 8).map(lambda n: n / 2)
ENDS = st.tuples(NUMBER, NUMBER).map(lambda pair: (min(pair), max(pair)))


@pytest.mark.parametrize("text", [*ONCE, *TWICE])
@given(ends=st.tuples(ENDS, ENDS, ENDS))
def test_what_is_certain_is_so_at_each_point(
    text: str, ends: tuple[tuple[float, float], ...]
) -> None:
    condition = parse_expression(text, FIELDS, "test")
    plain = compile_value(condition)
    intervals = {n: Interval(*map(Fraction, e)) for n, e in zip("abc", ends, strict=True)}
    points = [(low, (low + high) / 2, high) for low, high in ends]

    certain = verdict(condition, intervals)

    found = {plain(dict(zip("abc", point, strict=True))) for point in product(*points)}
    if certain is not None:
        assert {certain} == found


@pytest.mark.parametrize("text", ONCE[:9])
@given(ends=st.tuples(ENDS, ENDS, ENDS))
def test_what_is_so_at_each_corner_is_certain(
    text: str, ends: tuple[tuple[float, float], ...]
) -> None:
    condition = parse_expression(text, FIELDS, "test")
    plain = compile_value(condition)
    intervals = {n: Interval(*map(Fraction, e)) for n, e in zip("abc", ends, strict=True)}

    found = {plain(dict(zip("abc", point, strict=True))) for point in product(*ends)}

    if len(found) == 1:
        assert found == {verdict(condition, intervals)}


def test_an_end_that_is_not_known_is_of_any_size() -> None:
    low, high = Interval(Fraction(5), math.inf), Interval(-math.inf, Fraction(5))
    condition = parse_expression("a * b > 4", FIELDS, "test")

    assert verdict(condition, {"a": low, "b": Interval(Fraction(1), Fraction(2))}) is True
    assert verdict(condition, {"a": high, "b": Interval(Fraction(0), Fraction(0))}) is False
    assert verdict(condition, {"a": EVERYTHING, "b": low}) is None


def test_numbers_of_any_size_are_exact() -> None:
    condition = parse_expression("a + b > a", FIELDS, "test")
    huge, one = Interval(Fraction(10**400), Fraction(10**400)), Interval(Fraction(1), math.inf)

    assert verdict(condition, {"a": huge, "b": one}) is True


def test_a_decimal_is_the_number_that_is_written() -> None:
    assert judged("a / b > 0.02", a=(2, 2), b=(100, 100)) is False
    assert judged("a / b >= 0.02", a=(2, 2), b=(100, 100)) is True


def test_by_what_may_be_zero_nothing_is_certain() -> None:
    assert judged("a / b > 0.5", a=(1, 1), b=(0, 1)) is None
    assert judged("a / b > 0.5", a=(1, 1), b=(0, 0)) is None
    assert judged("a / b < 0.5", a=(1, 1), b=(-2, -1)) is True


@pytest.mark.parametrize(
    ("text", "certain"),
    [("a > 1", None), ("a > 1 or b > 1", True), ("a > 1 and b < 1", False), ("not a > 1", None)],
)
def test_null_is_as_in_sql(text: str, certain: bool | None) -> None:
    assert certain is judged(text, a=None, b=(2, 2))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("coalesce(a, 0) > 1", "COALESCE(a, 0)"),
        ("a > 1 / 3", "(1 / 3)"),
        ("a is null", "(a IS NULL)"),
        ("a in (1, 2)", "IN"),
        ("a > null", "NULL"),
    ],
)
def test_what_has_no_bounds_is_refused_by_name(text: str, part: str) -> None:
    with pytest.raises(DeclarationError, match=f"{re.escape(part)}.* cannot be judged by bounds"):
        judged(text, a=None)
