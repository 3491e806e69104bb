"""Variances and standard deviations, from exact sums of values and of their squares.

Nothing is rounded before it is presented, as in `fastdata.measures.sums`: the usual one-pass
formulas lose all digits when the values are large and close to each other, and merge to what the
order gave.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import (
    FieldMeasure,
    UnboundedAggregate,
    checked_type,
    int_from_bytes,
    int_to_bytes,
    rounded_quotient,
    to_number,
    unsigned_from_bytes,
    unsigned_to_bytes,
)

__all__ = ["SampleMoments", "StdDev", "Variance"]

_KINDS: tuple[Kind, ...] = ("int", "decimal", "float")
_GREATEST_EXPONENT = 1074  # of a float's denominator


@dataclass(frozen=True, slots=True)
class _SpreadMeasure(FieldMeasure):
    population: bool = False
    is_root: ClassVar[bool]

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: It is neither int, float nor decimal.
        """
        type_ = checked_type(self, types, ("int", "float", "decimal"))
        return _Moments(self.field, type_, 0 if self.population else 1, self.is_root)


@dataclass(frozen=True, slots=True)
class Variance(_SpreadMeasure):
    """The sample variance of a field's values as a float, as SQL's VARIANCE; None below two values.

    Correctly rounded from exact sums, whatever the order of folding. A NaN or an infinity makes it
    NaN. Bounds are lost while events are missing.

    Stored: the number of values as unsigned LEB128; for floats whether one was not finite (1 byte),
    and as LEB128 the exponent of the power of two that the others are counted in parts of; their
    sum (LEB128 of its length, signed little-endian) and that of their squares (the same without its
    length). Decimals are in units of 10**-scale.

    Args:
        field: Of integers, floats or decimals.
        population: Divide by the number of values, as VAR_POP does, and not by one less; then it
            is None only without any value.
    """

    is_root: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class StdDev(_SpreadMeasure):
    """The standard deviation of a field's values as a float: the square root of their `Variance`.

    Correctly rounded from exact sums, not from the rounded variance. Bounds and stored form as of
    `Variance`.

    Args:
        field: Of integers, floats or decimals.
        population: Divide by the number of values, as STDDEV_POP does, and not by one less.
    """

    is_root: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SampleMoments:
    """How many values there are, their mean, and their sample variance; NaN is not known."""

    count: int
    mean: float
    variance: float


@dataclass(slots=True)
class _VarianceState:
    """Sums of integers that are in parts of `denominator`, a power of two.

    Attributes:
        count: How many values there are.
        total: The sum of the finite ones.
        squares: The sum of their squares, in parts of the denominator's square.
        is_finite: Whether all are finite.
    """

    count: int = 0
    total: int = 0
    squares: int = 0
    denominator: int = 1
    is_finite: bool = True

    def refine(self, denominator: int) -> None:
        """Express the sums in smaller parts, of `denominator`."""
        factor = denominator // self.denominator
        self.total *= factor
        self.squares *= factor * factor
        self.denominator = denominator


@dataclass(frozen=True, slots=True)
class _Moments(UnboundedAggregate):
    """The aggregate of both.

    Attributes:
        less: How many fewer than there are values the squares are divided by: 1 or 0.
        is_root: Whether it presents the square root.
    """

    field: str
    type: FieldType
    less: int
    is_root: bool
    kind: ClassVar[Kind] = "float"

    @property
    def code(self) -> int:
        return 64 + _KINDS.index(self.type.kind)

    def zero(self, exact: bool = False) -> _VarianceState:
        return _VarianceState()

    def add(self, state: _VarianceState, value: object) -> _VarianceState:
        exact = to_number(self.field, self.type, value)
        state.count += 1
        if type(exact) is int:
            number, denominator = exact, 1
        elif math.isfinite(exact):
            number, denominator = exact.as_integer_ratio()
        else:
            state.is_finite = False
            return state
        if denominator > state.denominator:
            state.refine(denominator)
        else:
            number *= state.denominator // denominator
        state.total += number
        state.squares += number * number
        return state

    def merge(self, state: _VarianceState, other: _VarianceState) -> _VarianceState:
        if other.denominator > state.denominator:
            state.refine(other.denominator)
        factor = state.denominator // other.denominator
        state.count += other.count
        state.total += other.total * factor
        state.squares += other.squares * factor * factor
        state.is_finite &= other.is_finite
        return state

    def present(self, state: _VarianceState) -> Estimate:
        return Estimate.exact(self._value(state))

    def dump(self, state: _VarianceState) -> bytes:
        head = unsigned_to_bytes(state.count)
        if self.type.kind == "float":
            exponent = state.denominator.bit_length() - 1
            head += bytes((not state.is_finite,)) + unsigned_to_bytes(exponent)
        total = int_to_bytes(state.total)
        return head + unsigned_to_bytes(len(total)) + total + int_to_bytes(state.squares)

    def load(self, data: bytes) -> _VarianceState:
        state = _VarianceState()
        state.count, at = unsigned_from_bytes(data, 0)
        if self.type.kind == "float":
            state.is_finite = data[at : at + 1] == b"\0"
            exponent, at = unsigned_from_bytes(data, at + 1)
            state.denominator = 1 << min(exponent, _GREATEST_EXPONENT)
        size, at = unsigned_from_bytes(data, at)
        state.total = int_from_bytes(data[at : at + size])
        state.squares = int_from_bytes(data[at + size :])
        if not _is_possible(state) or self.dump(state) != data:
            raise CorruptStateError(f"{data[:32].hex()!r} is no stored variance")
        return state

    def moments(self, state: _VarianceState) -> SampleMoments:
        """What tests of means need to know of the values."""
        variance = replace(self, less=1, is_root=False)._value(state)
        mean = math.nan
        if state.count and state.is_finite:
            mean = rounded_quotient(state.total, state.count * self._unit(state))
        return SampleMoments(state.count, mean, math.nan if variance is None else variance)

    def _unit(self, state: _VarianceState) -> int:
        """How many parts of its sum are 1."""
        scale = self.type.scale if self.type.kind == "decimal" else 0
        return state.denominator * int(10**scale)

    def _value(self, state: _VarianceState) -> float | None:
        weight = state.count - self.less
        if weight <= 0:
            return None
        if not state.is_finite:
            return math.nan
        numerator = _spread(state)
        denominator = state.count * weight * self._unit(state) ** 2
        if self.is_root:
            return _rounded_root(numerator, denominator)
        return rounded_quotient(numerator, denominator)


def _spread(state: _VarianceState) -> int:
    """The sum of squared distances from the mean, times the count."""
    return state.count * state.squares - state.total**2


def _is_possible(state: _VarianceState) -> bool:
    # Of finite values alone no mean of squares is below the square of the mean (Cauchy-Schwarz);
    # one that is not finite is counted and not summed, which makes the first side larger still.
    return _spread(state) >= 0 and (state.count > 0 or (not state.squares and state.is_finite))


def _rounded_root(numerator: int, denominator: int) -> float:
    """The correctly rounded square root of a quotient, as CPython's `statistics` has it.

    A root of 54 bits or more whose last bit tells whether anything was cut off ("round to odd")
    rounds to the float that the root itself rounds to (https://bugs.python.org/msg407078).
    """
    shift = (numerator.bit_length() - denominator.bit_length() - 109) // 2
    if shift >= 0:
        return rounded_quotient(_odd_root(numerator, denominator << 2 * shift) << shift, 1)
    return rounded_quotient(_odd_root(numerator << -2 * shift, denominator), 1 << -shift)


def _odd_root(numerator: int, denominator: int) -> int:
    root = math.isqrt(numerator // denominator)
    return root | (root * root * denominator != numerator)
