"""Values of fields on their way into states, into stored bytes and into Arrow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.values import to_float, wrong_type
from fastdata.measures.estimates import Estimate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CountingAggregate",
    "FieldMeasure",
    "UnboundedAggregate",
    "arrow_type",
    "checked_type",
    "from_unscaled",
    "int_from_bytes",
    "int_to_bytes",
    "rounded_quotient",
    "to_number",
    "to_unscaled",
    "unbounded",
    "unsigned_from_bytes",
    "unsigned_to_bytes",
    "widened_count",
]

_MAX_UNSIGNED_BYTES = 9
_MOST_DIGITS = 38  # of Arrow's decimal128
# The default context rounds at 28 digits.
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


@dataclass(frozen=True, slots=True)
class FieldMeasure:
    """A measure of one field, or of one expression."""

    field: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The field."""
        return (self.field,)


class _KindAggregate:
    """An aggregate whose answers have the Arrow type of their kind."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def kind(self) -> Kind: ...

    def arrow_type(self) -> "pa.DataType":
        """The Arrow type that holds the presented values."""
        return arrow_type(self.kind)


class CountingAggregate(_KindAggregate):
    """An aggregate that answers with numbers, each of which an event makes larger by 1 or by 0."""

    __slots__ = ()

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        """The same estimate with up to `events` more of each number."""
        return widened_count(estimate, events)


class UnboundedAggregate(_KindAggregate):
    """An aggregate whose bounds are lost while events are missing."""

    __slots__ = ()

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        """The same estimate, without bounds where events are missing."""
        return unbounded(estimate) if events else estimate


def checked_type(
    measure: object, types: Sequence[FieldType], fitting: tuple[Kind, ...]
) -> FieldType:
    """The type of a measure's first argument, if it is of a kind that fits.

    Raises:
        DeclarationError: It is of another kind, has too many digits, or there is no argument.
    """
    if not types or types[0].kind not in fitting:
        argument = f"a field of kind {types[0].kind}" if types else "no field"
        raise DeclarationError(
            f"{measure!r} is given {argument}; what fits is: {', '.join(fitting)}"
        )
    if types[0].precision > _MOST_DIGITS:
        raise DeclarationError(
            f"{measure!r} is given a decimal of {types[0].precision} digits; an answer has "
            f"{_MOST_DIGITS} at most: declare the field with fewer, or as a double"
        )
    return types[0]


def to_number(field: str, type_: FieldType, value: object) -> int | float:
    """A value of a field of numbers: floats and integers as they are, decimals in units.

    Raises:
        MapError: The value is not of the declared type.
    """
    match type_.kind:
        case "float":
            return to_float(field, value)
        case "decimal":
            return to_unscaled(field, type_.scale, value)
    if type(value) is not int:
        raise wrong_type(field, "an int", value)
    return value


def to_unscaled(field: str, scale: int, value: object) -> int:
    """A decimal as an integer in units of 10**-scale.

    Raises:
        MapError: The value is no finite decimal or has more than `scale` fraction digits.
    """
    if isinstance(value, Decimal) and value.is_finite():
        scaled = _EXACT.scaleb(value, scale)
        number = int(scaled)
        if number == scaled:
            return number
    raise wrong_type(field, f"a decimal of {scale} fraction digits", value)


def from_unscaled(number: int, scale: int) -> Decimal:
    """The decimal of `number` units of 10**-scale, of any length."""
    return _EXACT.scaleb(Decimal(number), -scale)


def int_to_bytes(number: int) -> bytes:
    """An integer of any size: little-endian, signed, as short as it gets."""
    if 0 <= number < _FEW:
        return _SHORT[number]
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)


_FEW = 1_024
_SHORT = [n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True) for n in range(_FEW)]


def int_from_bytes(data: bytes) -> int:
    """The integer that `int_to_bytes` wrote.

    Raises:
        CorruptStateError: `int_to_bytes` would have written other bytes.
    """
    number = int.from_bytes(data, "little", signed=True)
    if len(data) != number.bit_length() // 8 + 1:
        raise CorruptStateError(f"{data[:32].hex()!r} is no stored integer")
    return number


def unsigned_to_bytes(number: int) -> bytes:
    """A number from 0 to 2**63 - 1 as unsigned LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def unsigned_from_bytes(data: bytes, at: int) -> tuple[int, int]:
    """The number that `unsigned_to_bytes` wrote, and the index of the byte behind it.

    Args:
        data: Holds the number somewhere.
        at: The index of its first byte.

    Raises:
        CorruptStateError: `unsigned_to_bytes` would have written other bytes.
    """
    number, end = 0, at
    for byte in data[at : at + _MAX_UNSIGNED_BYTES]:
        number |= (byte & 0x7F) << 7 * (end - at)
        end += 1
        if byte < 0x80:
            if byte == 0 and end > at + 1:
                break
            return number, end
    raise CorruptStateError(f"{data[at : at + 32].hex()!r} is no stored number")


def rounded_quotient(numerator: int, denominator: int) -> float:
    """The correctly rounded quotient of integers of any size; infinite past the largest float.

    Args:
        numerator: Of either sign.
        denominator: Larger than 0.
    """
    try:
        # Python rounds the quotient of two integers correctly, whatever their size.
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def unbounded(estimate: Estimate, lower: bool = True, upper: bool = True) -> Estimate:
    """The estimate without these bounds, as values that are missing may be of any size."""
    # Where no value was seen yet, nothing at all is promised: it must not look exact.
    confidence = 0.0 if estimate.value is None else estimate.confidence
    ends = (None if lower else estimate.lower, None if upper else estimate.upper)
    return Estimate(estimate.value, *ends, confidence)


def widened_count(estimate: Estimate, events: int) -> Estimate:
    """The estimate of a count, or of a tuple of counts, with up to `events` more of each."""
    upper = estimate.upper
    if not events:
        return estimate
    if isinstance(upper, tuple):
        upper = tuple([end + events if isinstance(end, int) else end for end in upper])
    elif isinstance(upper, int):
        upper += events
    return replace(estimate, upper=upper)


def arrow_type(kind: Kind, scale: int = 0, unit: str = "ms") -> "pa.DataType":
    """The Arrow type of presented values: timestamps from epoch units, dates from epoch days."""
    import pyarrow as pa

    types = {
        "float": pa.float64(),
        "decimal": pa.decimal128(38, scale),
        "string": pa.string(),
        "timestamp": pa.timestamp(unit, tz="UTC"),
        "date": pa.date32(),
        "bool": pa.bool_(),
    }
    return types.get(kind, pa.int64())
