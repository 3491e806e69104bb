"""Distinct counts: a HyperLogLog sketch for every answer, an exact set where one is asked for."""

import json
import math
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from datasketches import hll_sketch, hll_union, tgt_hll_type

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.estimates import Estimate
from fastdata.schemas import FieldType, Kind
from fastdata.values import arrow_type, checked_type, more, wrong_type

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.aggregates import Aggregate

__all__ = ["Uniques"]

# Three standard deviations are quantiles 0.0013 and 0.9987 of the sketch's error (DataSketches).
_DEVIATIONS, _CONFIDENCE = 3, 0.997
_HLL_8 = tgt_hll_type.HLL_8
_LG_K = range(7, 17)
_MAX_SET_BYTES = 64 * 1024
# The library skips empty strings.
_EMPTY = "\0 fastdata: the empty string"
_HEAD = struct.Struct("<BBI")
_SKETCH_ONLY, _SET, _NUMBER = range(3)
# Of a sketch's image: https://datasketches.apache.org/docs/HLL/HllSketches.html
_LG_K_AT, _FLAGS_AT, _LENGTH_AT, _MODE_AT = 3, 5, 6, 7
_COUPON_LIST, _COUPON_SET, _REGISTERS = range(3)
_OUT_OF_ORDER = 0x10


@dataclass(frozen=True, slots=True)
class Uniques:
    """The number of distinct values of a field: strings, enums, integers, timestamps or dates.

    Estimates lie within their bounds with confidence 0.997: with `lg_k` 12 (4 KiB when large)
    about 5 % off at most, practically exact below 385 values. Batch answers exactly.

    Stored: lg_k (1 byte), form (1 byte: 0 sketch only, 1 with the set, 2 with the exact number),
    length of that as little-endian uint32, the set (a sorted JSON list, while it is no more than
    64 KiB) or the number (little-endian), and the sketch: a DataSketches HLL_8 image, coupons
    sorted, registers flagged as out of order and without a HIP accumulator.
    """

    field: str
    lg_k: int = 12

    def bind(self, type: FieldType | None) -> "Aggregate":
        """The aggregate for values of that type.

        Raises:
            DeclarationError: Its values cannot be counted so, or `lg_k` is not 7 to 16.
        """
        fitting = checked_type(self, type, ("string", "int", "timestamp", "date"))
        if self.lg_k not in _LG_K:
            raise DeclarationError(f"{self!r}: lg_k goes from {_LG_K[0]} to {_LG_K[-1]}")
        return _Uniques(self.field, self.lg_k, str if fitting.kind == "string" else int)


@dataclass(slots=True)
class _Seen:
    """A sketch, and next to it nothing, all values, or their exact number.

    Attributes:
        sketch: An `hll_sketch`, or an `hll_union` once something was merged in.
        exact: The number can be merged with nothing; the set can be.
    """

    sketch: Any
    exact: set[object] | int | None = None


@dataclass(frozen=True, slots=True)
class _Uniques:
    field: str
    lg_k: int
    of: type[str] | type[int]
    kind: ClassVar[Kind] = "int"

    @property
    def code(self) -> int:
        return 8 if self.of is str else 9

    def arrow_type(self) -> "pa.DataType":
        return arrow_type("int")

    def zero(self, exact: bool = False) -> _Seen:
        return _Seen(hll_sketch(self.lg_k, _HLL_8), set() if exact else None)

    def add(self, state: _Seen, value: object) -> _Seen:
        # The library would take any type, as some integer.
        if type(value) is not self.of or (type(value) is int and not -(2**63) <= value < 2**63):
            raise wrong_type(self.field, f"{self.of.__name__} (of 64 bits)", value)
        state.sketch.update(_EMPTY if value == "" else value)
        if state.exact is not None:
            if isinstance(state.exact, set):
                state.exact.add(value)
            else:
                state.exact = None
        return state

    def merge(self, state: _Seen, other: _Seen) -> _Seen:
        state.exact = _merge_exact(state, other)
        if not other.sketch.is_empty():
            if isinstance(state.sketch, hll_sketch):
                # The union drops data of sketches that are larger: here all have one lg_k.
                union = hll_union(self.lg_k)
                union.update(state.sketch)
                state.sketch = union
            state.sketch.update(_plain(other.sketch))
        return state

    def present(self, state: _Seen) -> Estimate:
        if state.exact is not None:
            return Estimate.exact(_size(state.exact))
        if state.sketch.is_empty():
            return Estimate.exact(0)
        sketch = hll_sketch.deserialize(_image(state.sketch))
        value = round(sketch.get_estimate())
        lower = math.ceil(sketch.get_lower_bound(_DEVIATIONS))
        upper = math.floor(sketch.get_upper_bound(_DEVIATIONS))
        # Past 1,000 coupons a collision of two is likelier than the library's bounds allow.
        collisions = 2 if value > 1_000 else 0
        return Estimate(value, min(lower, value), max(upper, value) + collisions, _CONFIDENCE)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        return more(estimate, events)

    def dump(self, state: _Seen) -> bytes:
        form, exact = _dump_exact(state.exact)
        return _HEAD.pack(self.lg_k, form, len(exact)) + exact + _image(state.sketch)

    def load(self, data: bytes) -> _Seen:
        if len(data) < _HEAD.size:
            raise CorruptStateError(f"{len(data)} bytes are no stored distinct count")
        lg_k, form, length = _HEAD.unpack_from(data)
        if lg_k != self.lg_k:
            raise CorruptStateError(f"a stored distinct count has lg_k {lg_k}, not {self.lg_k}")
        end = _HEAD.size + length
        exact, image = self._load_exact(form, data[_HEAD.size : end]), data[end:]
        _check_image(image, lg_k)
        try:
            sketch = hll_sketch.deserialize(image)
        except (ValueError, IndexError, RuntimeError, MemoryError) as error:
            raise CorruptStateError(f"a stored sketch cannot be read: {error}") from error
        if exact is not None and (_size(exact) == 0) is not sketch.is_empty():
            raise CorruptStateError("a stored distinct count contradicts its sketch")
        return _Seen(sketch, exact)

    def _load_exact(self, form: int, data: bytes) -> set[object] | int | None:
        if form == _SKETCH_ONLY and not data:
            return None
        if form == _NUMBER and len(data) == 8:
            return int.from_bytes(data, "little")
        try:
            values = json.loads(data) if form == _SET else None
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, list) or any(type(value) is not self.of for value in values):
            raise CorruptStateError(f"a stored set of {len(data)} bytes cannot be read")
        return set(values)


def _size(exact: set[object] | int) -> int:
    return len(exact) if isinstance(exact, set) else exact


def _merge_exact(state: _Seen, other: _Seen) -> set[object] | int | None:
    # What has seen nothing is neutral, whether it was made to be exact or not.
    if other.sketch.is_empty() and not (state.sketch.is_empty() and state.exact is None):
        return state.exact
    if state.sketch.is_empty():
        return other.exact.copy() if isinstance(other.exact, set) else other.exact
    if isinstance(state.exact, set) and isinstance(other.exact, set):
        state.exact |= other.exact
        return state.exact
    return None


def _dump_exact(exact: set[object] | int | None) -> tuple[int, bytes]:
    if exact is None:
        return _SKETCH_ONLY, b""
    if isinstance(exact, set) and 2 * len(exact) <= _MAX_SET_BYTES:
        values = sorted(exact)  # type: ignore[type-var]  # all of one type, checked in add
        data = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
        if len(data) <= _MAX_SET_BYTES:
            return _SET, data
    return _NUMBER, _size(exact).to_bytes(8, "little")


def _plain(sketch: Any) -> Any:
    return sketch if isinstance(sketch, hll_sketch) else sketch.get_result(_HLL_8)


def _image(sketch: Any) -> bytes:
    """A function of the sketch's contents alone, whatever was fed or merged in which order.

    A sketch fed by one stream would answer by its history (HIP), a merged one by its registers.
    The flag makes both answer by their registers.
    """
    image = bytearray(_plain(sketch).serialize_compact())
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
