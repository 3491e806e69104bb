"""What a measure of a list of values must be, by the plainest means there are."""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fastdata.aggregates import Count, Max, Mean, Min, Sum, Uniques
from fastdata.estimates import Estimate
from fastdata.metric import Measure

__all__ = ["NOT_RECOUNTED", "deviation", "is_known", "is_same", "is_within", "recount"]

NOT_RECOUNTED = object()
_Plain = Callable[[Sequence[Any]], object]


def recount(measure: Measure, values: Sequence[object]) -> object:
    """The measure of the values; `NOT_RECOUNTED` when there is no plain way to say it.

    Args:
        values: As `Metric.rows` gives them for the measure; None is skipped.
    """
    plain = _PLAIN.get(type(measure))
    if plain is None:
        return NOT_RECOUNTED
    return plain([value for value in values if value is not None or not measure.arguments])


def is_known(measure: Measure) -> bool:
    """Whether `recount` can say it."""
    return type(measure) in _PLAIN


def is_same(one: object, other: object) -> bool:
    """Whether two values are the same, whatever types their numbers have."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if _is_nan(one) or _is_nan(other):
        return _is_nan(one) and _is_nan(other)
    return _comparable(one) == _comparable(other)


def is_within(estimate: Estimate, value: object, stretch: int = 1) -> bool:
    """Whether an estimate's bounds hold the value.

    Args:
        stretch: How many times as wide the bounds are taken.
    """
    lower, upper = _number(estimate.lower), _number(estimate.upper)
    middle, number = _number(estimate.value), _number(value)
    if middle is None or number is None or lower is None or upper is None:
        return is_same(estimate.value, value)
    return middle - stretch * (middle - lower) <= number <= middle + stretch * (upper - middle)


def deviation(found: object, expected: object) -> float:
    """The relative error of a number; of anything else 0 when it is right and 1 when not."""
    if is_same(found, expected):
        return 0.0
    wrong, right = _number(found), _number(expected)
    if wrong is None or not right:
        return 1.0
    try:
        return float(abs(wrong - right) / abs(right))
    except OverflowError:
        return math.inf


def _number(value: object) -> Fraction | None:
    if isinstance(value, float):
        return Fraction(value) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return Fraction(value) if value.is_finite() else None
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        return Fraction(value)
    return None


def _comparable(value: object) -> object:
    number = _number(value)
    return value if number is None else number


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _sum(values: Sequence[Any]) -> object:
    odd = {value for value in values if isinstance(value, float) and math.isinf(value)}
    if any(map(_is_nan, values)) or len(odd) > 1:
        return math.nan
    if odd:
        return odd.pop()
    total = sum(map(Fraction, values), Fraction())
    return _rounded(total) if any(isinstance(value, float) for value in values) else total


def _mean(values: Sequence[Any]) -> object:
    if not values:
        return None
    total = _sum([number if (number := _number(v)) is not None else v for v in values])
    return _rounded(total / len(values)) if isinstance(total, Fraction) else total


def _rounded(number: Fraction) -> float:
    try:
        return number.numerator / number.denominator
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _least(values: Sequence[Any]) -> object:
    return min((value for value in values if not _is_nan(value)), default=None)


def _largest(values: Sequence[Any]) -> object:
    return max((value for value in values if not _is_nan(value)), default=None)


def _different(values: Sequence[Any]) -> object:
    return len(set(values))


_PLAIN: dict[type, _Plain] = {
    Count: len,
    Sum: _sum,
    Mean: _mean,
    Min: _least,
    Max: _largest,
    Uniques: _different,
}
