"""Values that have an order: as states keep them, compare them and store them."""

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.values import to_float, wrong_type
from fastdata.measures.estimates import Value
from fastdata.measures.numbers import (
    arrow_type,
    from_unscaled,
    int_from_bytes,
    int_to_bytes,
    to_unscaled,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Key", "Ordered", "OrderedAggregate"]

Key = int | float | str
_TYPES: dict[Kind, type] = {"string": str, "bool": bool}


@dataclass(frozen=True, slots=True)
class Ordered:
    """The values of one field, each as a key: a decimal as an integer in units of 10**-scale.

    Strings go by code point. There is one NaN, above all numbers, and one zero. Stored: float64
    little-endian, UTF-8, or an integer as in `Sum`; of a bool 0 or 1.
    """

    field: str
    type: FieldType

    def key(self, value: object) -> Key:
        """What stands for a value in states.

        Raises:
            MapError: The value is not of the declared type.
        """
        kind = self.type.kind
        if kind == "decimal":
            return to_unscaled(self.field, self.type.scale, value)
        if kind == "float":
            number = to_float(self.field, value)
            # Two zeros are equal but not the same: the order of folding would show.
            return number + 0.0 if number == number else math.nan
        if type(value) is _TYPES.get(kind, int):
            return value  # type: ignore[return-value]
        raise wrong_type(self.field, f"a value of kind {kind}", value)

    def value(self, key: Key) -> Value:
        """The value that a key stands for."""
        if self.type.kind == "decimal" and isinstance(key, int):
            return from_unscaled(key, self.type.scale)
        return key

    def is_above(self, key: Key, other: Key) -> bool:
        """Whether `key` comes after `other`; NaN comes after all numbers."""
        if key != key:
            return other == other
        return key > other  # type: ignore[operator]

    def dump(self, key: Key) -> bytes:
        """The bytes to store, which `load` reads."""
        match key:
            case str():
                return key.encode()
            case float():
                return struct.pack("<d", key)
        return int_to_bytes(key)

    def load(self, data: bytes) -> Key:
        """The key that `dump` wrote.

        Raises:
            CorruptStateError: The bytes are no value of this kind.
        """
        try:
            key = self._read(data)
        except (ValueError, struct.error):
            key = None
        # This also refuses a second NaN and a negative zero.
        if key is None or self.dump(key) != data:
            raise CorruptStateError(f"{data[:32].hex()!r} is no stored {self.type.kind}")
        return key

    def _read(self, data: bytes) -> Key:
        match self.type.kind:
            case "string":
                return data.decode()
            case "float":
                return self.key(struct.unpack("<d", data)[0])
            case "bool":
                return bool(int_from_bytes(data))
        return int_from_bytes(data)


@dataclass(frozen=True, slots=True)
class OrderedAggregate:
    """An aggregate whose state is None, or one of these values."""

    values: Ordered

    @property
    def kind(self) -> Kind:
        """The kind of the values."""
        return self.values.type.kind

    def arrow_type(self) -> "pa.DataType":
        """The Arrow type of the values."""
        type_ = self.values.type
        return arrow_type(type_.kind, type_.scale, type_.unit)

    def zero(self, exact: bool = False) -> None:
        """The state without any value."""
