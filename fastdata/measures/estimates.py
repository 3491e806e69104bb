"""Answers that say how sure they are."""

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Estimate", "Value"]

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
