"""Distinct values that can be compared: exact sets where batch has them, else theta sketches."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasketches import (
    compact_theta_sketch,
    theta_a_not_b,
    theta_intersection,
    theta_jaccard_similarity,
    theta_union,
    update_theta_sketch,
)

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

__all__ = ["SetComparison", "Sets", "compare_states"]

# Two standard deviations of the library, where counts have three.
_JACCARD_CONFIDENCE = 0.954
_LG_K = range(5, 16)
# Of an image: version 3, family 3, flags (1 << 2 is empty), hash of the default seed.
_VERSION_AT, _FLAGS_AT, _SEED_HASH = 1, 5, b"\xcc\x93"
_IS_EMPTY, _FLAGS = 1 << 2, 0x1A


@dataclass(frozen=True, slots=True)
class Sets(FieldMeasure):
    """The distinct values of a field as a set: counted, and compared by `fastdata.compare`.

    Strings, enums, integers, timestamps or dates. Practically exact up to 2**lg_k different
    values; past it within 3 / sqrt(2**lg_k) (4.7 % with `lg_k` 12, at 32 KiB a state), with
    confidence 0.997. Batch is exact while all values take no more than 64 KiB; past it counts of
    one stored state are, and comparisons are not. For counts alone `Uniques` is eight times
    smaller.

        metric = Metric("visits", visits, by=["country"], measures={"people": Sets("visitor_id")})
        await compare(metric, "people", {"country": "NO"}, {"country": "SE"}, "2024-02-29")

    Stored: lg_k, form, then by form. 1: the values, sorted little-endian int64, or sorted UTF-8
    with the byte 0xFF behind each. 2: their number (uint64), and what form 0 has: a DataSketches
    image of a compact theta sketch, ordered, of the 2**lg_k smallest hashes.

    Args:
        field: Of strings, enums, integers, timestamps or dates.
        lg_k: 5 to 15.
    """

    lg_k: int = 12

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: Its values cannot be compared so, or `lg_k` is out of its range.
        """
        fitting = checked_type(self, types, ("string", "int", "timestamp", "date"))
        if self.lg_k not in _LG_K:
            raise DeclarationError(f"{self!r}: lg_k goes from {_LG_K[0]} to {_LG_K[-1]}")
        items = Items.of_type(self.field, fitting)
        return _SetsAggregate(items, self.lg_k, items.item_type)


@dataclass(slots=True)
class _ThetaSketch(DistinctSketch):
    """A theta sketch in up to three parts, which `compact` makes one.

    Attributes:
        stored: What was loaded.
        union: What was merged with it.
    """

    stored: Any = None
    union: Any = None

    def __bool__(self) -> bool:
        is_new = self.union is None and self.fed.is_empty()
        return not (is_new and (self.stored is None or self.stored.is_empty()))

    def compact(self) -> Any:
        """The one sketch of all parts: a function of the values alone.

        The union keeps the smallest hashes, 2**lg_k of them.
        """
        if self.stored is not None and self.union is None and self.fed.is_empty():
            return self.stored
        union = self.union or theta_union(self.lg_k)
        for sketch in (self.stored, self.fed):
            if sketch is not None:
                union.update(sketch)
        return union.get_result()

    def unite(self, other: "_ThetaSketch") -> None:
        self.union = self.union or theta_union(self.lg_k)
        self.union.update(other.compact())

    def estimate(self) -> Estimate:
        return distinct_estimate(self.compact())

    def image(self) -> bytes:
        return bytes(self.compact().serialize())


@dataclass(frozen=True, slots=True)
class _SetsAggregate(DistinctAggregate):
    noun: ClassVar[str] = "set"
    number_noun: ClassVar[str] = "number of values"

    @property
    def code(self) -> int:
        return 110 + (self.item_type is int)

    def _new_sketch(self) -> _ThetaSketch:
        return _ThetaSketch(self.lg_k, update_theta_sketch(self.lg_k))

    def _load_sketch(self, image: bytes) -> _ThetaSketch:
        _check_image(image, self.lg_k)
        sketch = self._new_sketch()
        sketch.stored = compact_theta_sketch.deserialize(image)
        return sketch


@dataclass(frozen=True, slots=True)
class SetComparison:
    """Two sets of values beside each other.

    Attributes:
        left: How many values are in the left one.
        right: How many are in the right one.
        union: How many are in either.
        intersection: How many are in both.
        left_only: How many are in the left one and not in the right one.
        right_only: How many are in the right one and not in the left one.
        jaccard: The share of the values of either that are in both; None of two empty sets.
    """

    left: Estimate
    right: Estimate
    union: Estimate
    intersection: Estimate
    left_only: Estimate
    right_only: Estimate
    jaccard: Estimate


def compare_states(aggregate: Aggregate, left: Any, right: Any) -> SetComparison:
    """Compare two states of a `Sets`: exactly when both hold their values.

    Counts hold within their bounds with confidence 0.997, the similarity with 0.954.

    Raises:
        DeclarationError: The aggregate is of another measure.
    """
    if not isinstance(aggregate, _SetsAggregate):
        raise DeclarationError(f"{aggregate!r} has no sets to compare; use Sets('field')")
    left_size, right_size = aggregate.present(left), aggregate.present(right)
    if isinstance(left, set) and isinstance(right, set):
        both, either = len(left & right), len(left | right)
        similarity = both / either if either else None
        exact = (either, both, len(left - right), len(right - left), similarity)
        return SetComparison(left_size, right_size, *map(Estimate.exact, exact))
    sketches: list[Any] = [
        aggregate.sketch_of(state) if isinstance(state, set) else state for state in (left, right)
    ]
    a, b = (sketch.compact() for sketch in sketches)
    union, intersection = theta_union(aggregate.lg_k), theta_intersection()
    for sketch in (a, b):
        union.update(sketch)
        intersection.update(sketch)
    difference = theta_a_not_b()
    return SetComparison(
        left_size,
        right_size,
        distinct_estimate(union.get_result()),
        distinct_estimate(intersection.get_result()),
        distinct_estimate(difference.compute(a, b)),
        distinct_estimate(difference.compute(b, a)),
        _similarity(a, b),
    )


def _similarity(left: Any, right: Any) -> Estimate:
    if left.is_empty() and right.is_empty():
        return Estimate.exact(None)
    lower, value, upper = theta_jaccard_similarity.jaccard(left, right)
    return Estimate(value, lower, upper, _JACCARD_CONFIDENCE)


def _check_image(image: bytes, lg_k: int) -> None:
    """Whether the parser may see it; the envelope's checksum has vouched for the rest."""
    longs = image[0] if image else 0
    if longs not in (1, 2, 3) or len(image) < 8 * longs or image[1:3] != b"\x03\x03":
        raise CorruptStateError("a stored sketch is no theta sketch")
    is_empty = bool(image[_FLAGS_AT] & _IS_EMPTY)
    if image[_FLAGS_AT] & ~_IS_EMPTY != _FLAGS or image[6:8] != _SEED_HASH:
        raise CorruptStateError("a stored sketch is no ordered theta sketch of the usual seed")
    number = 1 - is_empty if longs == 1 else int.from_bytes(image[8:12], "little")
    if len(image) != 8 * (longs + number) or number > 1 << lg_k or (is_empty and longs > 1):
        raise CorruptStateError(f"a stored sketch of {len(image)} bytes is cut or changed")
    theta = int.from_bytes(image[16:24], "little") if longs == 3 else 1 << 63
    hashes = np.frombuffer(image, "<u8", offset=8 * longs)
    ends = number == 0 or (hashes[0] > 0 and hashes[-1] < theta)
    if theta > 1 << 63 or not ends or not (hashes[1:] > hashes[:-1]).all():
        raise CorruptStateError("the hashes of a stored sketch are not in order")
