"""Distinct counts: a HyperLogLog sketch for every answer, an exact set where one is asked for."""

import math
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from datasketches import hll_sketch, hll_union, tgt_hll_type

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.values import wrong_type
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import FieldMeasure, arrow_type, checked_type, widened_count

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.measures.aggregate import Aggregate

__all__ = ["Uniques"]

# Three standard deviations are quantiles 0.0013 and 0.9987 of the sketch's error (DataSketches).
_DEVIATIONS, _CONFIDENCE = 3, 0.997
_HLL_8 = tgt_hll_type.HLL_8
_LG_K = range(7, 17)
_MAX_SET_BYTES = 64 * 1024
# The library skips empty strings.
_EMPTY = "\0 fastdata: the empty string"
_HEAD_SIZE = 2
_SKETCH_ONLY, _SET, _NUMBER = range(3)
_END = b"\xff"  # in no UTF-8
# Of a sketch's image: https://datasketches.apache.org/docs/HLL/HllSketches.html
_LG_K_AT, _FLAGS_AT, _LENGTH_AT, _MODE_AT = 3, 5, 6, 7
_COUPON_LIST, _COUPON_SET, _REGISTERS = range(3)
_OUT_OF_ORDER = 0x10


@dataclass(frozen=True, slots=True)
class Uniques(FieldMeasure):
    """The number of distinct values of a field: strings, enums, integers, timestamps or dates.

    Estimates lie within their bounds with confidence 0.997: with `lg_k` 12 (4 KiB when large)
    about 5 % off at most, practically exact below 385 values. Batch answers exactly.

    Stored: lg_k (1 byte), form (1 byte), and of form 1 the values, while they take no more than
    64 KiB: sorted little-endian int64, or sorted UTF-8 with the byte 0xFF behind each. Else, of
    form 2 only, their exact number (little-endian uint64); and the sketch: a DataSketches HLL_8
    image, coupons sorted, registers flagged as out of order and without a HIP accumulator.

    Args:
        field: Of strings, enums, integers, timestamps or dates.
        lg_k: 7 to 16.
    """

    lg_k: int = 12

    def bind(self, *types: FieldType) -> "Aggregate":
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: Its values cannot be counted so, or `lg_k` is not 7 to 16.
        """
        fitting = checked_type(self, types, ("string", "int", "timestamp", "date"))
        if self.lg_k not in _LG_K:
            raise DeclarationError(f"{self!r}: lg_k goes from {_LG_K[0]} to {_LG_K[-1]}")
        return _UniquesAggregate(self.field, self.lg_k, str if fitting.kind == "string" else int)


@dataclass(slots=True)
class _HllState:
    """A HyperLogLog sketch that others can be merged into.

    Attributes:
        number: How many values it has seen, if that is known: folding or merging forgets it.
    """

    union: Any
    number: int | None = None


_UniquesState = set[Any] | _HllState


@dataclass(frozen=True, slots=True)
class _UniquesAggregate:
    """State: all values, to be exact, or a sketch."""

    field: str
    lg_k: int
    value_type: type[str] | type[int]
    kind: ClassVar[Kind] = "int"

    @property
    def code(self) -> int:
        return 8 if self.value_type is str else 9

    def arrow_type(self) -> "pa.DataType":
        return arrow_type("int")

    def zero(self, exact: bool = False) -> _UniquesState:
        return set() if exact else _HllState(hll_union(self.lg_k))

    def add(self, state: _UniquesState, value: object) -> _UniquesState:
        # The library would take any type, as some integer.
        if type(value) is not self.value_type or (
            type(value) is int and not -(2**63) <= value < 2**63
        ):
            raise wrong_type(self.field, f"{self.value_type.__name__} (of 64 bits)", value)
        if isinstance(state, set):
            state.add(value)
        else:
            state.union.update(value if value != "" else _EMPTY)
            state.number = None
        return state

    def merge(self, state: _UniquesState, other: _UniquesState) -> _UniquesState:
        if isinstance(state, set) and isinstance(other, set):
            state |= other
            return state
        # An empty state is neutral, whether it was made to be exact or not.
        if _is_empty(other) and not (isinstance(other, set) and _is_empty(state)):
            return state
        if _is_empty(state):
            return other.copy() if isinstance(other, set) else self._united(other, other.number)
        if isinstance(state, set):
            state = self._united(state)
        state.number = None
        return _unite(state, other)

    def present(self, state: _UniquesState) -> Estimate:
        if isinstance(state, set):
            return Estimate.exact(len(state))
        if state.number is not None or state.union.is_empty():
            return Estimate.exact(state.number or 0)
        sketch = hll_sketch.deserialize(_image(state))
        value = round(sketch.get_estimate())
        lower = math.ceil(sketch.get_lower_bound(_DEVIATIONS))
        upper = math.floor(sketch.get_upper_bound(_DEVIATIONS))
        # Past 1,000 coupons a collision of two is likelier than the library's bounds allow.
        collisions = 2 if value > 1_000 else 0
        return Estimate(value, min(lower, value), max(upper, value) + collisions, _CONFIDENCE)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        return widened_count(estimate, events)

    def dump(self, state: _UniquesState) -> bytes:
        if isinstance(state, set):
            # Each value takes a byte at least.
            if len(state) <= _MAX_SET_BYTES:
                data = self.dump_whole(state)
                if len(data) - _HEAD_SIZE <= _MAX_SET_BYTES:
                    return data
            state = self._united(state, len(state))
        if state.number is None:
            return bytes((self.lg_k, _SKETCH_ONLY)) + _image(state)
        return bytes((self.lg_k, _NUMBER)) + state.number.to_bytes(8, "little") + _image(state)

    def dump_whole(self, state: _UniquesState) -> bytes:
        if not isinstance(state, set):
            return self.dump(state)
        head, values = bytes((self.lg_k, _SET)), sorted(state)
        if self.value_type is int:
            return head + struct.pack(f"<{len(values)}q", *values)
        return head + b"".join([value.encode() + _END for value in values])

    def load(self, data: bytes) -> _UniquesState:
        if len(data) < _HEAD_SIZE or data[0] != self.lg_k or data[1] > _NUMBER:
            head = data[:_HEAD_SIZE].hex()
            raise CorruptStateError(f"{head!r} begins no distinct count of lg_k {self.lg_k}")
        if data[1] == _SET:
            return self._load_values(data[_HEAD_SIZE:])
        image = data[_HEAD_SIZE:] if data[1] == _SKETCH_ONLY else data[_HEAD_SIZE + 8 :]
        _check_image(image, self.lg_k)
        union = hll_union(self.lg_k)
        try:
            union.update(hll_sketch.deserialize(image))
        except (ValueError, IndexError, RuntimeError, MemoryError) as error:
            raise CorruptStateError(f"a stored sketch cannot be read: {error}") from error
        if data[1] == _SKETCH_ONLY:
            return _HllState(union)
        if union.is_empty():
            raise CorruptStateError("a stored distinct count contradicts its sketch")
        return _HllState(union, int.from_bytes(data[_HEAD_SIZE : _HEAD_SIZE + 8], "little"))

    def _united(self, other: _UniquesState, number: int | None = None) -> _HllState:
        return _unite(_HllState(hll_union(self.lg_k), number), other)

    def _load_values(self, data: bytes) -> set[Any]:
        try:
            if self.value_type is int:
                return set(struct.unpack(f"<{len(data) // 8}q", data))
            *values, rest = data.split(_END)
            if not rest:
                return {value.decode() for value in values}
        except (struct.error, ValueError):
            pass
        raise CorruptStateError(f"a stored set of {len(data)} bytes cannot be read")


def _is_empty(state: _UniquesState) -> bool:
    return not state if isinstance(state, set) else state.union.is_empty()


def _unite(state: _HllState, other: _UniquesState) -> _HllState:
    # The union drops data of sketches that are larger: here all have one lg_k.
    if isinstance(other, set):
        for value in other:
            state.union.update(value if value != "" else _EMPTY)
    else:
        state.union.update(other.union.get_result(_HLL_8))
    return state


def _image(state: _HllState) -> bytes:
    """The image of a sketch: a function of its contents, whatever was fed or merged in which order.

    A sketch fed by one stream would answer by its history (HIP), a merged one by its registers.
    The flag makes both answer by their registers.
    """
    image = bytearray(state.union.get_result(_HLL_8).serialize_compact())
    mode = image[_MODE_AT] & 3
    if mode == _REGISTERS:
        image[_FLAGS_AT] |= _OUT_OF_ORDER
        image[8:16] = bytes(8)
    else:
        start = 12 if mode == _COUPON_SET else 8
        image[start:] = array("I", sorted(array("I", image[start:]))).tobytes()
    return bytes(image)


def _check_image(image: bytes, lg_k: int) -> None:
    """Whether the parser may see it; the envelope's checksum has vouched for the rest."""
    if len(image) < 8 or image[1:_LG_K_AT] != b"\x01\x07" or image[_LG_K_AT] != lg_k:
        raise CorruptStateError(f"a stored sketch is no HLL sketch of lg_k {lg_k}")
    mode, target = image[_MODE_AT] & 3, image[_MODE_AT] >> 2
    size = 40 + 2**lg_k
    if mode == _COUPON_LIST:
        size = 8 + 4 * image[_LENGTH_AT]
    elif mode == _COUPON_SET:
        size = 12 + 4 * int.from_bytes(image[8:12], "little")
    if target != 2 or mode > _REGISTERS or len(image) != size:
        raise CorruptStateError(f"a stored sketch of {len(image)} bytes is cut or changed")
