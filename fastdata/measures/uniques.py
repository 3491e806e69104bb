"""Distinct counts: a HyperLogLog sketch for every answer, an exact set where one is asked for."""

from array import array
from dataclasses import dataclass
from typing import Any, ClassVar

from datasketches import hll_sketch, hll_union, tgt_hll_type

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.exact_or_sketch import (
    DistinctAggregate,
    DistinctSketch,
    distinct_estimate,
)
from fastdata.measures.items import Items
from fastdata.measures.numbers import FieldMeasure, checked_type

__all__ = ["Uniques"]

_HLL_8 = tgt_hll_type.HLL_8
_LG_K = range(7, 17)
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

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: Its values cannot be counted so, or `lg_k` is not 7 to 16.
        """
        fitting = checked_type(self, types, ("string", "int", "timestamp", "date"))
        if self.lg_k not in _LG_K:
            raise DeclarationError(f"{self!r}: lg_k goes from {_LG_K[0]} to {_LG_K[-1]}")
        items = Items.of_type(self.field, fitting)
        return _UniquesAggregate(items, self.lg_k, items.item_type)


@dataclass(slots=True)
class _HllSketch(DistinctSketch):
    """A HyperLogLog sketch that others can be merged into."""

    def __bool__(self) -> bool:
        return not self.fed.is_empty()

    def unite(self, other: "_HllSketch") -> None:
        # The union drops data of sketches that are larger: here all have one lg_k.
        self.fed.update(other.fed.get_result(_HLL_8))

    def estimate(self) -> Estimate:
        sketch = hll_sketch.deserialize(self.image())
        # Past 1,000 coupons a collision of two is likelier than the library's bounds allow.
        return distinct_estimate(sketch, 2 if round(sketch.get_estimate()) > 1_000 else 0)

    def image(self) -> bytes:
        """The bytes to store, whatever was fed or merged in which order.

        A sketch fed by one stream would answer by its history (HIP), a merged one by its
        registers. The flag makes both answer by their registers.
        """
        image = bytearray(self.fed.get_result(_HLL_8).serialize_compact())
        mode = image[_MODE_AT] & 3
        if mode == _REGISTERS:
            image[_FLAGS_AT] |= _OUT_OF_ORDER
            image[8:16] = bytes(8)
        else:
            start = 12 if mode == _COUPON_SET else 8
            image[start:] = array("I", sorted(array("I", image[start:]))).tobytes()
        return bytes(image)


@dataclass(frozen=True, slots=True)
class _UniquesAggregate(DistinctAggregate):
    noun: ClassVar[str] = "distinct count"
    number_noun: ClassVar[str] = "distinct count"

    @property
    def code(self) -> int:
        return 8 + (self.item_type is int)

    def _load_values(self, data: bytes) -> set[Any]:
        try:
            return set(self.items.load_any(data))
        except CorruptStateError:
            raise CorruptStateError(f"a stored set of {len(data)} bytes cannot be read") from None

    def _new_sketch(self) -> _HllSketch:
        return _HllSketch(self.lg_k, hll_union(self.lg_k))

    def _load_sketch(self, image: bytes) -> _HllSketch:
        _check_image(image, self.lg_k)
        union = hll_union(self.lg_k)
        try:
            union.update(hll_sketch.deserialize(image))
        except (ValueError, IndexError, RuntimeError, MemoryError) as error:
            raise CorruptStateError(f"a stored sketch cannot be read: {error}") from error
        return _HllSketch(self.lg_k, union)


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
