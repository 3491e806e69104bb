"""The most frequent items: exact counts while they are few, then a frequent-items sketch."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from datasketches import frequent_items_error_type, frequent_strings_sketch

from fastdata.errors import CorruptStateError, DeclarationError, MapError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.values import wrong_type
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate, Value
from fastdata.measures.exact_or_sketch import CountsAggregate, CountsState
from fastdata.measures.items import Item, Items
from fastdata.measures.numbers import arrow_type, checked_type, from_unscaled, to_unscaled

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TopK"]

_LG_SIZES = range(4, 11)  # no larger map: its purge would look at a sample that its layout decides
_MOST, _MOST_WEIGHT = 1_000, 1 << 63
_FEW, _ALL, _SKETCH, _TOP = range(4)
_HEAD_SIZE = 2
# Of an image: preamble of 4 longs, version 1, family 10, two sizes, flags; number, total, offset.
_PREAMBLE = struct.Struct("<BBBBBxxxIxxxxQQ")
_TOTALS, _TOTALS_AT = struct.Struct("<QQ"), 16
_NO_ITEM = "\0 fastdata: no item"
_ANY = frequent_items_error_type.NO_FALSE_NEGATIVES

Counted = tuple[Item, int, int, int]  # an item, its count, and bounds of it


@dataclass(frozen=True, slots=True)
class TopK:
    """The `k` most frequent values of a field, or those with the largest sums of a `weight`.

    A list of (item, count, lower, upper), ordered by count and item. Items are strings, enums,
    integers, timestamps or dates. Weights are integers, or decimals of up to 18 digits; what has
    a weight of 0 or less is skipped. A worker stops when weights add up to 2**63 units.

    Exact up to 0.75 * 2**lg_size different items (768). Past it counts are at most 3.5 /
    2**lg_size of all (0.34 %) too large, never too small, and the bounds are certain: what is not
    in a full list has no more than the last one of it. Batch is exact while all items take no more
    than 64 KiB; past it each stored answer is, and merged ones are not.

        TopK("page", k=20)  # the most visited
        TopK("product", weight="price")  # those that earn most

    Stored: lg_size, form, then by form. 0 (from the speed layer) and 1 (from batch): the size of
    the items (uint32), the items sorted, their counts as LEB128. 2: a DataSketches image of
    frequent strings, items sorted. 3: the size (uint32) of the exact top in form 1, it, and the
    image. Integers are decimal text in an image.

    Args:
        field: Of strings, enums, integers, timestamps or dates.
        k: 1 to 1,000.
        weight: Of integers or decimals; None counts 1 for each value.
        lg_size: 4 to 10.
    """

    field: str
    k: int = 10
    weight: str | None = None
    lg_size: int = 10

    @property
    def arguments(self) -> tuple[str, ...]:
        """The field, and the weight if there is one."""
        return (self.field,) if self.weight is None else (self.field, self.weight)

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the types of field and weight.

        Raises:
            DeclarationError: They cannot be counted so, or a number is out of its range.
        """
        item = checked_type(self, types, ("string", "int", "timestamp", "date"))
        weight = None if self.weight is None else checked_type(self, types[1:], ("int", "decimal"))
        if weight is not None and weight.precision > 18:
            raise DeclarationError(f"{self!r}: a weight has at most 18 digits")
        if not 1 <= self.k <= _MOST:
            raise DeclarationError(f"{self!r}: k goes from 1 to {_MOST}")
        if self.lg_size not in _LG_SIZES:
            raise DeclarationError(f"{self!r}: lg_size goes from {_LG_SIZES[0]} to {_LG_SIZES[-1]}")
        items = Items.of_type(self.field, item)
        return _TopKAggregate(items, item, self.k, self.lg_size, self.weight, weight)


@dataclass(frozen=True, slots=True)
class _TopKAggregate(CountsAggregate):
    items: Items
    type: FieldType
    k: int
    lg_size: int
    weight: str | None
    weight_type: FieldType | None
    kind: ClassVar[Kind] = "array"
    is_canonical: ClassVar[bool] = False

    @property
    def code(self) -> int:
        weight = 0 if self.weight_type is None else 1 if self._scale is None else 2
        return 96 + 2 * weight + (self.items.item_type is int)

    @property
    def _capacity(self) -> int:
        return 3 << self.lg_size >> 2

    def arrow_type(self) -> "pa.DataType":
        import pyarrow as pa

        count = pa.int64() if self._scale is None else pa.decimal128(38, self._scale)
        item = arrow_type(self.type.kind, unit=self.type.unit)
        bounds = [(name, count) for name in ("count", "lower", "upper")]
        return pa.list_(pa.struct([("item", item), *bounds]))

    def add(self, state: CountsState, value: object) -> CountsState:
        item, weight = (value, 1) if self.weight is None else self._weighted(value)
        self.items.check(item)
        if weight <= 0:
            return state
        if state.counts is None:
            self._check_total(state.sketch.total_weight + weight)
            state.sketch.update(str(item), weight)
            state.answer = None
        else:
            self._count(state, {cast("Item", item): weight})
        return state

    def present(self, state: CountsState) -> Estimate:
        counts = state.counts if state.counts is not None else state.answer
        if counts is not None:
            return Estimate.exact(self._value([(item, n, n, n) for item, n in counts.items()]))
        rows = state.sketch.get_frequent_items(_ANY)
        read = self.items.item_type
        value = self._value([(read(text), n, low, high) for text, n, low, high in rows])
        return Estimate(value, None, None)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        if not events:
            return estimate
        rows = cast("Sequence[Counted]", estimate.value)
        more = None if self.weight_type is not None else events
        value = tuple([(item, n, low, more and high + more) for item, n, low, high in rows])
        return Estimate(value, None, None)

    def dump(self, state: CountsState) -> bytes:
        if state.counts is None:
            image = self._image(state.sketch)
            if state.answer is None:
                return bytes((self.lg_size, _SKETCH)) + image
            return self._dump_top(state.answer, image)
        if state.is_few or self.items.fit(state.counts):
            return self.dump_whole(state)
        return self._dump_top(state.counts, self._image(self._sketch(state.counts)))

    def dump_whole(self, state: CountsState) -> bytes:
        if state.counts is None:
            return self.dump(state)
        form = _FEW if state.is_few else _ALL
        return bytes((self.lg_size, form)) + self.items.dump_counts(state.counts)

    def load(self, data: bytes) -> CountsState:
        if len(data) < _HEAD_SIZE or data[0] != self.lg_size or data[1] > _TOP:
            head = data[:_HEAD_SIZE].hex()
            raise CorruptStateError(f"{head!r} begins no top of lg_size {self.lg_size}")
        form, data = data[1], data[_HEAD_SIZE:]
        if form in (_FEW, _ALL):
            counts = self.items.load_counts(data)
            if form == _FEW and len(counts) > self._capacity:
                raise CorruptStateError(f"{len(counts)} stored items are not few")
            return CountsState(counts, form == _FEW)
        top = None
        if form == _TOP:
            end = 4 + int.from_bytes(data[:4], "little")
            top, data = self.items.load_counts(data[4:end]), data[end:]
        if self._ordered(data) != data:
            raise CorruptStateError(f"a stored sketch of {len(data)} bytes is cut or changed")
        # Without counts nothing is left to keep exact: `is_few` tells nothing then.
        return CountsState(None, True, frequent_strings_sketch.deserialize(data), top)

    @property
    def _scale(self) -> int | None:
        type = self.weight_type
        return type.scale if type is not None and type.kind == "decimal" else None

    def _weighted(self, value: object) -> tuple[object, int]:
        item, weight = cast("tuple[object, object]", value)
        if self._scale is not None:
            weight = to_unscaled(str(self.weight), self._scale, weight)
        if type(weight) is not int or weight >= _MOST_WEIGHT:
            raise wrong_type(str(self.weight), "an int (of 64 bits)", weight)
        return item, weight

    def _count(self, state: CountsState, counts: Mapping[Item, int]) -> None:
        counted = cast("dict[Item, int]", state.counts)
        for item, count in counts.items():
            counted[item] = counted.get(item, 0) + count
            self._check_total(counted[item])
        if state.is_few and len(counted) > self._capacity:
            state.sketch, state.counts = self._sketch(counted), None

    def _new_sketch(self) -> Any:
        return frequent_strings_sketch(self.lg_size)

    def _feed(self, sketch: Any, counts: Mapping[Item, int]) -> None:
        self._check_total(sketch.total_weight + sum(counts.values()))
        # Sorted: which counts a full sketch lowers depends on what came first.
        for item in sorted(counts):
            sketch.update(str(item), counts[item])

    def _check_total(self, total: int) -> None:
        # Past it the library would begin at 0 again.
        if total >= _MOST_WEIGHT:
            raise MapError(
                f"the weights {self.weight!r} add up to {total}, which is more than 64 bits hold: "
                "declare one of smaller numbers"
            )

    def _value(self, rows: list[Counted]) -> Value:
        rows = sorted(rows, key=lambda row: row[0])
        rows = sorted(rows, key=lambda row: -row[1])[: self.k]
        if self._scale is None:
            return tuple(rows)
        scale = self._scale
        return tuple([(row[0], *(from_unscaled(n, scale) for n in row[1:])) for row in rows])

    def _dump_top(self, counts: Mapping[Item, int], image: bytes) -> bytes:
        first = sorted(sorted(counts), key=lambda item: -counts[item])[: self.k]
        top = self.items.dump_counts({item: counts[item] for item in first})
        return bytes((self.lg_size, _TOP)) + len(top).to_bytes(4, "little") + top + image

    def _unite(self, state: CountsState, sketch: Any) -> None:
        total = state.sketch.total_weight + sketch.total_weight
        self._check_total(total)
        if sketch.num_active_items:
            # In the order of the image, not of the hash table: the result is a function of both.
            state.sketch.merge(frequent_strings_sketch.deserialize(self._image(sketch)))
            return
        # The library would take a sketch whose items have all been dropped for one of nothing.
        image = bytearray(self._image(state.sketch))
        offset = _offset(state.sketch) + _offset(sketch)
        _TOTALS.pack_into(image, _TOTALS_AT, total, offset)
        state.sketch = frequent_strings_sketch.deserialize(bytes(image))

    def _image(self, sketch: Any) -> bytes:
        if sketch.num_active_items:
            return self._ordered(sketch.serialize())
        # The library would not write how much it has dropped.
        head = (4, 1, 10, self.lg_size, self.lg_size, 0)
        return _PREAMBLE.pack(*head, sketch.total_weight, _offset(sketch))

    def _ordered(self, image: bytes) -> bytes:
        """The image with its items sorted, in a hash table of full size.

        Raises:
            CorruptStateError: The parser must not see it.
        """
        try:
            number, total, offset = self._read_preamble(image)
            weights = struct.unpack_from(f"<{number}Q", image, _PREAMBLE.size)
            at = _PREAMBLE.size + 8 * number
            items = []
            for _ in range(number):
                (size,) = struct.unpack_from("<I", image, at)
                items.append(image[at + 4 : at + 4 + size])
                self.items.item_type(items[-1].decode())
                at += 4 + size
        except (struct.error, ValueError) as error:
            raise CorruptStateError(f"a stored sketch is cut or changed: {error}") from error
        if at != len(image) or 0 in weights or sum(weights) > total or len({*items}) < number:
            raise CorruptStateError(f"a stored sketch of {len(image)} bytes is cut or changed")
        pairs = sorted(zip(items, weights, strict=True))
        size = self.lg_size
        return b"".join(
            [
                _PREAMBLE.pack(4, 1, 10, size, size, number, total, offset),
                struct.pack(f"<{number}Q", *[weight for _, weight in pairs]),
                *[len(item).to_bytes(4, "little") + item for item, _ in pairs],
            ]
        )

    def _read_preamble(self, image: bytes) -> tuple[int, int, int]:
        *head, most, size, number, total, offset = _PREAMBLE.unpack_from(image)
        fits = most == self.lg_size and size <= most and number <= self._capacity
        if head != [4, 1, 10] or not fits:
            raise CorruptStateError(f"a stored sketch is no top of lg_size {self.lg_size}")
        return number, total, offset


def _offset(sketch: Any) -> int:
    """How much was taken off every count: the most that an item may have that is not there."""
    return int(sketch.get_upper_bound(_NO_ITEM))
