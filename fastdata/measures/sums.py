"""Exact sums of integers, decimals and floats, and means made of them.

Nothing is rounded before it is presented, so neither the order of folding nor the places where
states were split ever show.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.values import to_float, wrong_type
from fastdata.measures.aggregate import CALL, Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import (
    FieldMeasure,
    UnboundedAggregate,
    arrow_type,
    checked_type,
    from_unscaled,
    int_from_bytes,
    int_to_bytes,
    rounded_quotient,
    to_unscaled,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fastdata.measures.columns import Payloads

__all__ = ["Mean", "Sum"]

_NAN, _PLUS, _MINUS = 1, 2, 4
_LEAST_EXPONENT, _GREATEST_EXPONENT = -1074, 4096


@dataclass(frozen=True, slots=True)
class _SumMeasure(FieldMeasure):
    is_mean: ClassVar[bool]

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: It is neither int, float nor decimal.
        """
        type_ = checked_type(self, types, ("int", "float", "decimal"))
        scale = type_.scale if type_.kind == "decimal" else None
        is_float = type_.kind == "float"
        total = _FloatSum(self.field) if is_float else _WholeSum(self.field, scale)
        return _MeanAggregate(total) if self.is_mean else total


@dataclass(frozen=True, slots=True)
class Sum(_SumMeasure):
    """The sum of a field's values; 0 without any value.

    Exact for integers, of any size (Arrow takes up to int64), and for decimals (Arrow: 38
    digits); for floats the exact sum is rounded once, correctly. A NaN makes it NaN, an infinity
    infinite, both infinities NaN. Bounds are lost while events are missing.

    Stored: for integers and decimals a signed little-endian integer, of units of 10**-scale. For
    floats flags (1 NaN, 2 and 4 infinities), an exponent as little-endian int16, and an integer
    to be multiplied by 2**exponent that is odd, or 0 with the exponent 0.
    """

    is_mean: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Mean(_SumMeasure):
    """The mean of a field's values as a float, correctly rounded from the exact sum.

    None without any value. Bounds are lost while events are missing. Stored: the count (a byte of
    length, then a little-endian integer) and the sum as that of `Sum`.
    """

    is_mean: ClassVar[bool] = True


def _add_whole(code: str) -> str:
    return f"if type({{value}}) is int:\n    {code}\nelse:\n    {CALL}"


@dataclass(frozen=True, slots=True)
class _WholeSum(UnboundedAggregate):
    """The sum of integers, or of decimals as integers in units of 10**-scale."""

    field: str
    scale: int | None

    @property
    def code(self) -> int:
        return 2 if self.scale is None else 3

    @property
    def kind(self) -> Kind:
        return "int" if self.scale is None else "decimal"

    @property
    def add_code(self) -> str:
        return _add_whole("{state} += {value}") if self.scale is None else CALL

    def arrow_type(self) -> "pa.DataType":
        return arrow_type(self.kind, self.scale or 0)

    def zero(self, exact: bool = False) -> int:
        return 0

    def add(self, state: int, value: object) -> int:
        if self.scale is not None:
            return state + to_unscaled(self.field, self.scale, value)
        if type(value) is not int:
            raise wrong_type(self.field, "an int", value)
        return state + value

    def merge(self, state: int, other: int) -> int:
        return state + other

    def present(self, state: int) -> Estimate:
        return Estimate.exact(state if self.scale is None else from_unscaled(state, self.scale))

    def ratio(self, state: int, count: int) -> float:
        return rounded_quotient(state, count * 10 ** (self.scale or 0))

    def dump(self, state: int) -> bytes:
        return int_to_bytes(state)

    def dump_groups(self, totals: "NDArray[np.int64]") -> "pa.Array":
        from fastdata.measures.stored_columns import integers

        return integers(totals)

    def load(self, data: bytes) -> int:
        return int_from_bytes(data)

    def load_groups(self, column: "Payloads", edges: Sequence[int]) -> list[int] | None:
        return column.sums(edges)


@dataclass(slots=True)
class _FloatTotal:
    """An exact sum: a finite float is an integer over a power of two, and so is their sum."""

    numerator: int = 0
    denominator: int = 1
    flags: int = 0


@dataclass(frozen=True, slots=True)
class _FloatSum(UnboundedAggregate):
    field: str
    code: ClassVar[int] = 4
    kind: ClassVar[Kind] = "float"

    def zero(self, exact: bool = False) -> _FloatTotal:
        return _FloatTotal()

    def add(self, state: _FloatTotal, value: object) -> _FloatTotal:
        if type(value) is not float:
            value = to_float(self.field, value)
        try:
            numerator, denominator = value.as_integer_ratio()
        except (ValueError, OverflowError):
            state.flags |= _NAN if math.isnan(value) else _PLUS if value > 0 else _MINUS
            return state
        if denominator == state.denominator:
            state.numerator += numerator
        else:
            _add_ratio(state, numerator, denominator)
        return state

    def merge(self, state: _FloatTotal, other: _FloatTotal) -> _FloatTotal:
        _add_ratio(state, other.numerator, other.denominator)
        state.flags |= other.flags
        return state

    def present(self, state: _FloatTotal) -> Estimate:
        return Estimate.exact(self.ratio(state, 1))

    def ratio(self, state: _FloatTotal, count: int) -> float:
        if state.flags:
            return {_PLUS: math.inf, _MINUS: -math.inf}.get(state.flags, math.nan)
        return rounded_quotient(state.numerator, state.denominator * count)

    def dump(self, state: _FloatTotal) -> bytes:
        mantissa, exponent = state.numerator, 1 - state.denominator.bit_length()
        zeros = (mantissa & -mantissa).bit_length() - 1
        mantissa, exponent = (mantissa >> zeros, exponent + zeros) if mantissa else (0, 0)
        head = bytes((state.flags,)) + exponent.to_bytes(2, "little", signed=True)
        return head + int_to_bytes(mantissa)

    def load(self, data: bytes) -> _FloatTotal:
        exponent = int.from_bytes(data[1:3], "little", signed=True)
        mantissa = int_from_bytes(data[3:])
        fits = _LEAST_EXPONENT <= exponent <= _GREATEST_EXPONENT
        if (
            data[0] > _NAN + _PLUS + _MINUS
            or not fits
            or not (mantissa % 2 or mantissa == exponent)
        ):
            raise CorruptStateError(f"{data[:32].hex()!r} is no stored sum of floats")
        return _FloatTotal(mantissa << max(exponent, 0), 1 << max(-exponent, 0), data[0])


def _add_ratio(state: _FloatTotal, numerator: int, denominator: int) -> None:
    if denominator <= state.denominator:
        state.numerator += numerator * (state.denominator // denominator)
    else:
        state.numerator = state.numerator * (denominator // state.denominator) + numerator
        state.denominator = denominator


@dataclass(slots=True)
class _MeanState:
    total: Any
    count: int = 0


@dataclass(frozen=True, slots=True)
class _MeanAggregate(UnboundedAggregate):
    sum: _WholeSum | _FloatSum
    kind: ClassVar[Kind] = "float"

    @property
    def code(self) -> int:
        return self.sum.code + 3

    @property
    def add_code(self) -> str:
        if not isinstance(self.sum, _WholeSum) or self.sum.scale is not None:
            return CALL
        return _add_whole("mean = {state}\n    mean.total += {value}\n    mean.count += 1")

    def zero(self, exact: bool = False) -> _MeanState:
        return _MeanState(self.sum.zero())

    def add(self, state: _MeanState, value: object) -> _MeanState:
        state.total = self.sum.add(state.total, value)
        state.count += 1
        return state

    def merge(self, state: _MeanState, other: _MeanState) -> _MeanState:
        state.total = self.sum.merge(state.total, other.total)
        state.count += other.count
        return state

    def present(self, state: _MeanState) -> Estimate:
        mean = self.sum.ratio(state.total, state.count) if state.count else None
        return Estimate.exact(mean)

    def dump(self, state: _MeanState) -> bytes:
        count = int_to_bytes(state.count)
        return bytes((len(count),)) + count + self.sum.dump(state.total)

    def dump_groups(self, totals: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> "pa.Array":
        import pyarrow.compute as pc

        from fastdata.measures.stored_columns import integers, joined

        of_counts = integers(counts)
        lengths = integers(pc.binary_length(of_counts).to_numpy())
        return joined(lengths, of_counts, integers(totals))

    def load(self, data: bytes) -> _MeanState:
        end = 1 + int.from_bytes(data[:1], "little")
        count = int_from_bytes(data[1:end])
        if count < 0:
            raise CorruptStateError(f"{count} is no count")
        return _MeanState(self.sum.load(data[end:]), count)

    def load_groups(self, column: "Payloads", edges: Sequence[int]) -> list[_MeanState] | None:
        if isinstance(self.sum, _FloatSum) or not column.sizes.all():
            return None
        of_count, of_sum = column.parted()
        counts, totals = of_count.sums(edges, least=0), of_sum.sums(edges)
        if counts is None or totals is None:
            return None
        return list(map(_MeanState, totals, counts))
