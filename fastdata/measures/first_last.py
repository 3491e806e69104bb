"""The first and the last value by event time."""

import struct
from dataclasses import dataclass
from typing import ClassVar, cast

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import FieldMeasure, UnboundedAggregate, checked_type
from fastdata.measures.ordered import Key, Ordered, OrderedAggregate

__all__ = ["First", "Last"]

_KINDS: tuple[Kind, ...] = ("int", "float", "decimal", "string", "timestamp", "date", "bool")
_TIME = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class _EndMeasure(FieldMeasure):
    timed: ClassVar[bool] = True
    latest: ClassVar[bool]

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: The type has no order.
        """
        ordered = Ordered(self.field, checked_type(self, types, _KINDS))
        return _End(ordered, self.latest)


@dataclass(frozen=True, slots=True)
class First(_EndMeasure):
    """The value of a field with the smallest event time; None without any value.

    Of several values at that millisecond the smallest: false before true, strings by code point,
    NaN above all numbers, -0.0 as 0.0. Bounds are lost while events are missing.

    Stored: nothing, or the time as little-endian int64, ms UTC, and the value: float64
    little-endian, UTF-8, or an integer as in `Sum`; of a bool 0 or 1.
    """

    latest: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Last(_EndMeasure):
    """The value of a field with the largest event time; None without any value.

    Of several values at that millisecond the largest. Order, bounds and stored form as of `First`.
    """

    latest: ClassVar[bool] = True


_TimedKey = tuple[int, Key]  # an event time, ms UTC, and what stands for the value


@dataclass(frozen=True, slots=True)
class _End(OrderedAggregate, UnboundedAggregate):
    """State: None, or the key of the first or last value, with its time."""

    latest: bool

    @property
    def code(self) -> int:
        return (80 if self.latest else 72) + _KINDS.index(self.kind)

    def add(self, state: _TimedKey | None, value: object) -> _TimedKey | None:
        untimed, time = cast("tuple[object, int]", value)
        return self.merge(state, (time, self.values.key(untimed)))

    def merge(self, state: _TimedKey | None, other: _TimedKey | None) -> _TimedKey | None:
        if state is None or other is None:
            return state or other
        if state[0] != other[0]:
            return other if (other[0] > state[0]) is self.latest else state
        # The value decides, for the order of folding must not.
        first, second = (other, state) if self.latest else (state, other)
        return other if self.values.is_above(first[1], second[1]) else state

    def present(self, state: _TimedKey | None) -> Estimate:
        return Estimate.exact(None if state is None else self.values.value(state[1]))

    def dump(self, state: _TimedKey | None) -> bytes:
        return b"" if state is None else _TIME.pack(state[0]) + self.values.dump(state[1])

    def load(self, data: bytes) -> _TimedKey | None:
        if not data:
            return None
        if len(data) < _TIME.size:
            raise CorruptStateError(f"{data.hex()!r} is no stored time and {self.kind}")
        (time,) = _TIME.unpack_from(data)
        return time, self.values.load(data[_TIME.size :])
