"""Measures that are computed from others when an answer is made: they fold and store nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, cast

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.count import Count
from fastdata.measures.estimates import Estimate, Value
from fastdata.measures.numbers import arrow_type, rounded_quotient
from fastdata.measures.sums import Sum

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NUMBERS", "Derived", "Rate", "Ratio"]

_Number = int | float | Decimal
NUMBERS: tuple[Kind, ...] = ("int", "float", "decimal")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One measure of the metric by another, as a float; null where the denominator is 0.

    Correctly rounded from what the two present, with bounds by interval arithmetic: exact where
    both are, and without bounds where the denominator may be 0.

        measures={"clicks": Sum("clicks"), "views": Count(), "rate": Ratio("clicks", "views")}

    Args:
        numerator: Name of a measure of the same metric that is a number.
        denominator: Name of another one.
    """

    numerator: str
    denominator: str
    kind: ClassVar[Kind] = "float"

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the measures that it is made of."""
        return (self.numerator, self.denominator)

    def check(self, measures: Mapping[str, object], folded: Mapping[str, Aggregate]) -> None:
        """Check that it can be computed from the measures of its metric.

        Args:
            measures: All measures of the metric, by name.
            folded: The aggregates of those that are not derived.

        Raises:
            DeclarationError: A part is missing, derived itself, or no number.
        """
        for name in self.parts:
            _check_part(self, name, measures, folded)

    def arrow_type(self) -> "pa.DataType":
        """The Arrow type that holds the answers."""
        return arrow_type("float")

    def derive(self, parts: Sequence[Estimate], length_ms: int) -> Estimate:
        """The answer, from those of `parts`, in their order; `length_ms` changes nothing."""
        return _divided(*parts)


@dataclass(frozen=True, slots=True)
class Rate:
    """A count or a sum of the metric per second, as a float.

    The seconds are those of the whole row, cut to the range that was asked for, whether its end
    has come or not. Correctly rounded; bounds are those of the measure.

        measures={"orders": Count(), "orders_per_s": Rate("orders")}

    Args:
        measure: Name of a `Count` or `Sum` of the same metric.
    """

    measure: str
    kind: ClassVar[Kind] = "float"

    @property
    def parts(self) -> tuple[str, ...]:
        """The name of the measure that it is made of."""
        return (self.measure,)

    def check(self, measures: Mapping[str, object], folded: Mapping[str, Aggregate]) -> None:
        """Check that it can be computed from the measures of its metric.

        Args:
            measures: All measures of the metric, by name.
            folded: The aggregates of those that are not derived.

        Raises:
            DeclarationError: The part is missing, derived itself, or neither count nor sum.
        """
        _check_part(self, self.measure, measures, folded)
        measure = measures[self.measure]
        if not isinstance(measure, Count | Sum):
            raise DeclarationError(f"{self!r} is of {measure!r}; what fits is: Count, Sum")

    def arrow_type(self) -> "pa.DataType":
        """The Arrow type that holds the answers."""
        return arrow_type("float")

    def derive(self, parts: Sequence[Estimate], length_ms: int) -> Estimate:
        """The answer, from that of its only part, for an interval of `length_ms`."""
        return _divided(parts[0], Estimate.exact(Decimal(length_ms).scaleb(-3)))


Derived = Ratio | Rate


def _check_part(
    measure: Derived, name: str, measures: Mapping[str, object], folded: Mapping[str, Aggregate]
) -> None:
    if name not in measures:
        have = ", ".join(folded) or "none"
        raise DeclarationError(f"{measure!r}: there is no measure {name!r}; there are: {have}")
    if name not in folded:
        raise DeclarationError(
            f"{measure!r}: the measure {name!r} is derived, too; name those that it is made of"
        )
    if folded[name].kind not in NUMBERS:
        fit = ", ".join(NUMBERS)
        raise DeclarationError(
            f"{measure!r}: the measure {name!r} is of kind {folded[name].kind}; what fits is: {fit}"
        )


def _divided(numerator: Estimate, denominator: Estimate) -> Estimate:
    for part in (numerator, denominator):
        if part.value is None:
            return _no_value(part)
    if denominator.value == 0:
        return _no_value(denominator)
    value = _quotient(numerator.value, denominator.value)
    if numerator.is_exact and denominator.is_exact:
        return Estimate.exact(value)
    confidence = min(numerator.confidence, denominator.confidence)
    if numerator.confidence < 1.0 and denominator.confidence < 1.0:
        # Either may fail without the other (Boole's inequality).
        confidence = max(0.0, numerator.confidence + denominator.confidence - 1.0)
    return Estimate(value, *_bounds(numerator, denominator), confidence)


def _no_value(cause: Estimate) -> Estimate:
    return Estimate(None, None, None, 1.0 if cause.is_exact else 0.0)


def _bounds(numerator: Estimate, denominator: Estimate) -> tuple[float | None, float | None]:
    """The bounds of a quotient, by interval arithmetic; None is no bound.

    Every end is rounded as the value is, and rounding keeps the order: no end needs to move out.
    """
    ends = (numerator.lower, numerator.upper, denominator.lower, denominator.upper)
    if not all(end is None or _is_finite(end) for end in ends):
        return None, None
    low, high, least, most = (cast("_Number | None", end) for end in ends)
    if most is not None and most < 0:
        low, high, least, most = _negative(high), _negative(low), -most, _negative(least)
    if least is None or least <= 0:
        return None, None
    lower = None if low is None else _quotient(low, least) if low < 0 else _quotient(low, most)
    upper = None if high is None else _quotient(high, most) if high < 0 else _quotient(high, least)
    return lower, upper


def _negative(end: _Number | None) -> _Number | None:
    return None if end is None else -end


def _quotient(numerator: Value, denominator: Value) -> float:
    """The quotient of two numbers; a denominator of None is infinite."""
    left, right = cast("_Number", numerator), cast("_Number | None", denominator)
    if right is None:
        return 0.0
    if _is_finite(left) and _is_finite(right):
        quotient = Fraction(left) / Fraction(right)
        return rounded_quotient(quotient.numerator, quotient.denominator)
    # Beside an infinity or a NaN only the sign of the other one counts, which may fit no float.
    left, right = (
        (1.0 if number > 0 else -1.0) if _is_finite(number) else float(number)
        for number in (left, right)
    )
    return left / right


def _is_finite(number: Value) -> bool:
    return not isinstance(number, float) or math.isfinite(number)
