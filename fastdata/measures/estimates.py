"""Answers that say how sure they are."""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

__all__ = ["Estimate", "Value", "number_of"]

# A list of values, or what one struct of a list holds, is a tuple.
Value = int | float | Decimal | str | tuple["Value", ...] | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value between two bounds.

    Attributes:
        value: The best answer; None when no value was seen.
        lower: Inclusive; None when no bound is known.
        upper: Inclusive; None when no bound is known.
        confidence: In at least this share of such answers the true value lies within the bounds;
            1.0 is certain.
    """

    value: Value
    lower: Value
    upper: Value
    confidence: float = 1.0

    @classmethod
    def exact(cls, value: Value) -> "Estimate":
        """The estimate of a value that is certain."""
        return cls(value, value, value)

    @property
    def is_exact(self) -> bool:
        """Whether it is certain, and both bounds are the value."""
        # Tuples take a NaN for equal to itself.
        ends = (self.lower, self.upper)
        return self.confidence == 1.0 and ends == (self.value, self.value)

    def ends(self, stretch: int = 1) -> tuple[Fraction | float, Fraction | float] | None:
        """Between which numbers the true value certainly lies; None where there may be none.

        Args:
            stretch: How many times as far from the value as its bounds are.
        """
        value = number_of(self.value)
        if value is None or self.is_exact:
            return None if value is None else (value, value)
        low, high = number_of(self.lower), number_of(self.upper)
        return (
            -math.inf if low is None else value - stretch * (value - low),
            math.inf if high is None else value + stretch * (high - value),
        )


def number_of(value: Value) -> Fraction | None:
    """A value as a number; None when it is no finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        return Fraction(value)
    except (OverflowError, ValueError):  # of an infinity, or NaN
        return None
