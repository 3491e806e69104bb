"""HyperLogLog sketches; imported when there is one, for their library takes long to load."""

# ruff: noqa: D102 - `DistinctSketch` says what the methods do.

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from datasketches import hll_sketch, hll_union, tgt_hll_type

from fastdata.errors import CorruptStateError
from fastdata.measures.estimates import Estimate
from fastdata.measures.exact_or_sketch import DistinctSketch, distinct_estimate

__all__ = ["HllSketch", "load_sketch", "new_sketch"]

_HLL_8 = tgt_hll_type.HLL_8
# Of a sketch's image: https://datasketches.apache.org/docs/HLL/HllSketches.html
_LG_K_AT, _FLAGS_AT, _LENGTH_AT, _MODE_AT = 3, 5, 6, 7
_COUPON_LIST, _COUPON_SET, _REGISTERS = range(3)
_OUT_OF_ORDER = 0x10


@dataclass(slots=True)
class HllSketch(DistinctSketch):
    """A HyperLogLog sketch; the union that others are merged into is made with the first."""

    def __bool__(self) -> bool:
        return not self.fed.is_empty()

    def unite(self, other: "HllSketch") -> None:
        if isinstance(self.fed, hll_sketch):
            alone, self.fed = self.fed, hll_union(self.lg_k)
            self.fed.update(alone)
        # The union drops data of sketches that are larger: here all have one lg_k.
        self.fed.update(other.merged())

    def merged(self) -> hll_sketch:
        """A sketch of the library with all values."""
        is_alone = isinstance(self.fed, hll_sketch)
        return self.fed if is_alone else self.fed.get_result(_HLL_8)

    def estimate(self) -> Estimate:
        sketch = hll_sketch.deserialize(self.image())
        # Past 1,000 coupons a collision of two is likelier than the library's bounds allow.
        return distinct_estimate(sketch, 2 if round(sketch.get_estimate()) > 1_000 else 0)

    def image(self) -> bytes:
        """The bytes to store, whatever was fed or merged in which order.

        A sketch fed by one stream would answer by its history (HIP), a merged one by its
        registers. The flag makes both answer by their registers.
        """
        image = bytearray(self.merged().serialize_compact())
        mode = image[_MODE_AT] & 3
        if mode == _REGISTERS:
            image[_FLAGS_AT] |= _OUT_OF_ORDER
            image[8:16] = bytes(8)
        else:
            start = 12 if mode == _COUPON_SET else 8
            if len(image) > start + 4:  # of one coupon there is one order
                image[start:] = array("I", sorted(array("I", image[start:]))).tobytes()
        return bytes(image)


def new_sketch(lg_k: int) -> HllSketch:
    """A sketch of no values."""
    return HllSketch(lg_k, hll_sketch(lg_k, _HLL_8))


def load_sketch(images: Sequence[bytes], lg_k: int) -> HllSketch:
    """The sketch of the values of all sketches whose `image` these were.

    Raises:
        CorruptStateError: Bytes are no such sketch.
    """
    for image in images:
        _check_image(image, lg_k)
    union = hll_union(lg_k)
    try:
        for image in images:
            union.update(hll_sketch.deserialize(image))
    except (ValueError, IndexError, RuntimeError, MemoryError) as error:
        raise CorruptStateError(f"a stored sketch cannot be read: {error}") from error
    return HllSketch(lg_k, union)


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
