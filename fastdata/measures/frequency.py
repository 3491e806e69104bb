"""How often any one item was seen: exact counts while they are few, then a Count-Min sketch."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
from datasketches import count_min_sketch

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.exact_or_sketch import EMPTY, CountsAggregate, CountsState
from fastdata.measures.items import MAX_EXACT_BYTES, Item, Items
from fastdata.measures.numbers import CountingAggregate, FieldMeasure, checked_type

__all__ = ["Frequency"]

_FEW_ITEMS = 512
_MAX_CELLS = 1 << 16
_FEW, _ALL, _SKETCH = range(3)
_HEAD = struct.Struct("<BIB")  # rows, columns, bytes of a cell
_IMAGE_HEAD_SIZE = 16


@dataclass(frozen=True, slots=True)
class Frequency(FieldMeasure):
    """How often a value was seen: strings, enums or integers.

    Answered for the item that a query asks about; without one it is how many values there were.
    Exact up to 512 different items. Past it counts are never too small, and with `confidence`
    too large by no more than `error` of all values. Batch is exact while all items take no more
    than 64 KiB.

        metric = Metric("hits", visits, measures={"pages": Frequency("page")})
        await query(metric, "2024-02-29", items={"pages": "/start"})

    Stored: form, then by form. 0 (from the speed layer) and 1 (from batch): the size of the items
    (uint32), the items sorted, their counts as LEB128. 2: rows (1 byte), columns (uint32), bytes
    of a cell (1, 2, 4 or 8, as few as hold the largest), and the cells of a DataSketches
    Count-Min sketch of the default seed as unsigned integers, little-endian, row by row.

    Args:
        field: Of strings, enums or integers.
        error: A share of all values; between 0 and 1.
        confidence: Between 0 and 1. Rows and columns for both make at most 65,536 cells.
    """

    error: float = 0.001
    confidence: float = 0.99

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: Its values cannot be counted so, or a number is out of its range.
        """
        item = checked_type(self, types, ("string", "int"))
        if not (0 < self.error < 1 and 0 < self.confidence < 1):
            raise DeclarationError(f"{self!r}: error and confidence lie between 0 and 1")
        rows = math.ceil(-math.log(1 - self.confidence))
        columns = math.ceil(math.e / self.error)
        if rows * columns > _MAX_CELLS:
            raise DeclarationError(
                f"{self!r} needs {rows} * {columns} cells and {_MAX_CELLS} are allowed: give a "
                "larger error or less confidence"
            )
        # The library wants three columns.
        return _FrequencyAggregate(
            Items.of_type(self.field, item), rows, max(3, columns), self.confidence
        )


@dataclass(frozen=True, slots=True)
class _FrequencyAggregate(CountsAggregate, CountingAggregate):
    items: Items
    rows: int
    columns: int
    confidence: float
    item: Item | None = None
    kind: ClassVar[Kind] = "int"

    @property
    def code(self) -> int:
        return 104 + (self.items.item_type is int)

    def about(self, item: object) -> "_FrequencyAggregate":
        return replace(self, item=self.items.parse(item))

    def add(self, state: CountsState, value: object) -> CountsState:
        self.items.check(value)
        if state.counts is None:
            state.sketch.update(value if value != "" else EMPTY)
        else:
            self._count(state, {cast("Item", value): 1})
        return state

    def present(self, state: CountsState) -> Estimate:
        total = self._total(state)
        if self.item is None:
            return Estimate.exact(total)
        if state.counts is not None:
            return Estimate.exact(state.counts.get(self.item, 0))
        # Other items can only add to a cell. The bounds of the library are turned around.
        value = round(state.sketch.get_estimate(self.item if self.item != "" else EMPTY))
        lower = max(0, value - math.floor(math.e / self.columns * total))
        return Estimate(value, lower, value, self.confidence)

    def dump(self, state: CountsState) -> bytes:
        if state.counts is not None:
            form = _FEW if state.is_few else _ALL
            return bytes((form,)) + self.items.dump_counts(state.counts)
        cells = np.frombuffer(state.sketch.serialize(), "<f8", offset=_IMAGE_HEAD_SIZE + 8)
        size = _cell_size(int(cells.max()))
        head = _HEAD.pack(self.rows, self.columns, size)
        return bytes((_SKETCH,)) + head + cells.astype(f"<u{size}").tobytes()

    def load(self, data: bytes) -> CountsState:
        if not data or data[0] > _SKETCH:
            raise CorruptStateError(f"{data[:1].hex()!r} begins no stored frequencies")
        if data[0] == _SKETCH:
            return CountsState(None, True, sketch=self._load_sketch(data[1:]))
        state = CountsState({}, data[0] == _FEW)
        self._count(state, self.items.load_counts(data[1:]))
        if state.counts is None:
            raise CorruptStateError("stored items are more than are kept")
        return state

    def _total(self, state: CountsState) -> int:
        if state.counts is not None:
            return sum(state.counts.values())
        return int(state.sketch.total_weight)

    def _count(self, state: CountsState, counts: Mapping[Item, int]) -> None:
        counted = cast("dict[Item, int]", state.counts)
        for item, count in counts.items():
            if item not in counted:
                state.size += self.items.size(item)
            counted[item] = counted.get(item, 0) + count
        if len(counted) > _FEW_ITEMS if state.is_few else state.size > MAX_EXACT_BYTES:
            state.sketch, state.counts = self._sketch(counted), None

    def _new_sketch(self) -> Any:
        return count_min_sketch(self.rows, self.columns)

    def _feed(self, sketch: Any, counts: Mapping[Item, int]) -> None:
        for item, count in counts.items():
            sketch.update(item if item != "" else EMPTY, count)

    def _copy(self, state: CountsState) -> CountsState:
        sketch = self._new_sketch()
        sketch.merge(state.sketch)
        return CountsState(None, True, sketch)

    def _load_sketch(self, data: bytes) -> Any:
        size = data[_HEAD.size - 1] if len(data) > _HEAD.size else 0
        head = _HEAD.pack(self.rows, self.columns, size)
        length = len(data) - _HEAD.size
        if size not in (1, 2, 4, 8) or data[: _HEAD.size] != head:
            raise CorruptStateError(f"a stored sketch has not {self.rows} * {self.columns} cells")
        if length != self.rows * self.columns * size:
            raise CorruptStateError(f"a stored sketch of {len(data)} bytes is cut")
        cells = np.frombuffer(data, f"<u{size}", offset=_HEAD.size).reshape(self.rows, -1)
        totals = {int(total) for total in cells.sum(axis=1, dtype="u8")}
        # Every value was counted once in each row.
        if len(totals) != 1 or 0 in totals or _cell_size(int(cells.max())) != size:
            raise CorruptStateError("the rows of a stored sketch have different sums")
        image = self._sketch({self.items.item_type(): 1}).serialize()[:_IMAGE_HEAD_SIZE]
        image += struct.pack("<d", totals.pop()) + cells.astype("<f8").tobytes()
        return count_min_sketch.deserialize(image)


def _cell_size(largest: int) -> int:
    return next(size for size in (1, 2, 4, 8) if largest < 1 << 8 * size)
