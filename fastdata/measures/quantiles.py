"""Quantiles: exact while values are few, then a KLL sketch."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from datasketches import kll_doubles_sketch

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.events.values import to_float
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.exact_or_sketch import CountsAggregate, CountsState
from fastdata.measures.items import MAX_EXACT_BYTES, dump_numbers, load_numbers
from fastdata.measures.numbers import (
    FieldMeasure,
    UnboundedAggregate,
    checked_type,
    rounded_quotient,
    to_unscaled,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Quantiles"]

_KS = range(8, 4097)
_CONFIDENCE = 0.99
_FEW, _ALL, _SKETCH, _ANSWER = range(4)
_HEAD = struct.Struct("<BH")  # form, k
_CHUNK = 1 << 16
# Of an image: size of the preamble in ints, version 1, family 15, flags, k, m, number of values,
# smallest k that was merged, levels.
_PREAMBLE = struct.Struct("<BBBBHBxQHBx")
_FLAGS_AT, _LEVELS_AT = 3, 18
_IS_SORTED = 2
_M = 8
_MAX_LEVELS = 50


@dataclass(frozen=True, slots=True)
class Quantiles(FieldMeasure):
    """Quantiles of a field's values: a list of floats, one for each share in `at`.

    The quantile of a share is the smallest value with at least that share of the values at or
    below it. Integers, floats and decimals count as float64; NaN is skipped.

        Quantiles("response_ms", at=(0.5, 0.95))  # the median, and what 5 % exceed

    Exact up to `k` different values (400). Past it the bounds are the quantiles of shares that
    are smaller and larger by the sketch's error of rank: 0.7 % of the values with `k` 400, 1.4 %
    with 200, 0.35 % with 800. They hold for all shares together with confidence 0.99. Batch is
    exact up to 8,192 different values (64 KiB); past it each stored answer is, and merged ones are
    not.

    The sketch tosses coins that cannot be seeded: past `k` different values two folds of the same
    events are two states, each as good as the other.

    Stored: form, k (uint16), then by form. 0 (from the speed layer) and 1 (from batch): the size
    of the values (uint32), different values ascending as little-endian float64, their numbers as
    LEB128. 2: a DataSketches image of KLL doubles. 3: the exact quantiles as float64, and the
    image.

    Args:
        field: Of integers, floats or decimals.
        at: Shares from 0 to 1.
        k: The size of the sketch, 8 to 4,096.
    """

    at: Sequence[float] = (0.5, 0.9, 0.99)
    k: int = 400

    def __post_init__(self) -> None:
        # Of a list the declaration could be changed afterwards, and it would have no hash.
        object.__setattr__(self, "at", tuple(self.at))

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: It has no numbers, `at` no shares, or `k` is out of its range.
        """
        type = checked_type(self, types, ("int", "float", "decimal"))
        if not self.at or not all(0 <= share <= 1 for share in self.at):
            raise DeclarationError(f"{self!r}: at has shares from 0 to 1, such as (0.5, 0.99)")
        if self.k not in _KS:
            raise DeclarationError(f"{self!r}: k goes from {_KS[0]} to {_KS[-1]}")
        return _QuantilesAggregate(self.field, type, tuple(map(float, self.at)), self.k)


_Counts = Mapping[float, int]


@dataclass(frozen=True, slots=True)
class _QuantilesAggregate(CountsAggregate, UnboundedAggregate):
    field: str
    type: FieldType
    at: tuple[float, ...]
    k: int
    code: ClassVar[int] = 108
    kind: ClassVar[Kind] = "array"
    is_canonical: ClassVar[bool] = False

    def arrow_type(self) -> "pa.DataType":
        import pyarrow as pa

        return pa.list_(pa.float64())

    def add(self, state: CountsState, value: object) -> CountsState:
        number = self._float(value)
        if number != number:
            return state
        if state.counts is None:
            state.sketch.update(number)
            state.answer = None
        else:
            self._count(state, {number: 1})
        return state

    def exact_of(self, counted: Iterable[tuple[object, int]]) -> CountsState:
        """The state that batch makes of values and how often each of them came."""
        numbers: dict[float, int] = {}
        for value, count in counted:
            number = self._float(value)
            if number == number:
                numbers[number] = numbers.get(number, 0) + count
        return CountsState(numbers, is_few=False)

    def present(self, state: CountsState) -> Estimate:
        if state.counts is not None:
            return Estimate.exact(_exact_quantiles(state.counts, self.at))
        if state.answer is not None:
            return Estimate.exact(state.answer)
        sketch = state.sketch
        error = sketch.normalized_rank_error(False)
        lower, value, upper = (
            tuple([_quantile(sketch, share + shift) for share in self.at])
            for shift in (-error, 0.0, error)
        )
        return Estimate(value, lower, upper, _CONFIDENCE)

    def dump(self, state: CountsState) -> bytes:
        answer, sketch = state.answer, state.sketch
        if state.counts is not None:
            if 8 * len(state.counts) <= MAX_EXACT_BYTES:
                return self.dump_whole(state)
            answer, sketch = _exact_quantiles(state.counts, self.at), self._sketch(state.counts)
        if answer is None:
            return _HEAD.pack(_SKETCH, self.k) + _image(sketch)
        exact = struct.pack(f"<{len(answer)}d", *answer)
        return _HEAD.pack(_ANSWER, self.k) + exact + _image(sketch)

    def dump_whole(self, state: CountsState) -> bytes:
        if state.counts is None:
            return self.dump(state)
        form = _FEW if state.is_few else _ALL
        return _HEAD.pack(form, self.k) + _dump_counts(state.counts)

    def load(self, data: bytes) -> CountsState:
        form, k = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (None, 0)
        if form not in range(4) or k != self.k:
            head = data[: _HEAD.size].hex()
            raise CorruptStateError(f"{head!r} begins no quantiles of k {self.k}")
        data = data[_HEAD.size :]
        if form in (_FEW, _ALL):
            counts = _load_counts(data)
            if form == _FEW and len(counts) > self.k:
                raise CorruptStateError(f"{len(counts)} stored values are not few")
            return CountsState(counts, form == _FEW)
        answer = None
        if form == _ANSWER:
            size = 8 * len(self.at)
            if len(data) < size:
                raise CorruptStateError("stored quantiles are cut")
            answer, data = struct.unpack(f"<{len(self.at)}d", data[:size]), data[size:]
        _check_image(data, self.k)
        # Without counts nothing is left to keep exact: `is_few` tells nothing then.
        return CountsState(None, True, kll_doubles_sketch.deserialize(data), answer)

    def _float(self, value: object) -> float:
        if self.type.kind == "decimal":
            scale = self.type.scale
            return rounded_quotient(to_unscaled(self.field, scale, value), 10**scale)
        # Two zeros are equal but not the same: the order of folding would show.
        return to_float(self.field, value) + 0.0

    def _count(self, state: CountsState, counts: _Counts) -> None:
        counted = cast("dict[float, int]", state.counts)
        for value, count in counts.items():
            counted[value] = counted.get(value, 0) + count
        if state.is_few and len(counted) > self.k:
            state.sketch, state.counts = self._sketch(counted), None

    def _new_sketch(self) -> Any:
        return kll_doubles_sketch(self.k)

    def _feed(self, sketch: Any, counts: _Counts) -> None:
        for value, count in counts.items():
            for first in range(0, count, _CHUNK):
                sketch.update(np.full(min(_CHUNK, count - first), value))


def _quantile(sketch: Any, share: float) -> float:
    # The sketch may have dropped its ends, but remembers them apart.
    if share <= 0:
        return float(sketch.get_min_value())
    return float(sketch.get_max_value() if share >= 1 else sketch.get_quantile(share, True))


def _exact_quantiles(counts: _Counts, at: Sequence[float]) -> tuple[float, ...] | None:
    """The quantiles, by decimal arithmetic: 7 of 100 values are a share of 0.07."""
    if not counts:
        return None
    values = sorted(counts)
    ranks = list(accumulate(counts[value] for value in values))
    wanted = [-(-Fraction(repr(share)) * ranks[-1] // 1) for share in at]
    return tuple([values[int(np.searchsorted(ranks, max(1, rank)))] for rank in map(int, wanted)])


def _dump_counts(counts: _Counts) -> bytes:
    values = sorted(counts)
    data = struct.pack(f"<{len(values)}d", *values)
    numbers = dump_numbers([counts[value] for value in values])
    return len(data).to_bytes(4, "little") + data + numbers


def _load_counts(data: bytes) -> dict[float, int]:
    size = int.from_bytes(data[:4], "little")
    numbers = load_numbers(data[4 + size :])
    try:
        values = struct.unpack(f"<{len(numbers)}d", data[4 : 4 + size])
    except struct.error as error:
        raise CorruptStateError(f"stored values cannot be read: {error}") from error
    counts = dict(zip(values, numbers, strict=True))
    # This also refuses a NaN and a negative zero.
    if 0 in numbers or _dump_counts({value + 0.0: n for value, n in counts.items()}) != data:
        raise CorruptStateError("stored values are not in order")
    if any(value != value for value in values):
        raise CorruptStateError("a stored value is not a number")
    return counts


def _image(sketch: Any) -> bytes:
    """The image, the same before and after the sketch was asked, which sorts its first level."""
    image = bytearray(sketch.serialize())
    first, second = struct.unpack_from("<II", image, _PREAMBLE.size)
    start = _PREAMBLE.size + 4 * image[_LEVELS_AT] + 16
    end = start + 8 * (second - first)
    image[start:end] = np.sort(np.frombuffer(image[start:end], "<f8")).tobytes()
    image[_FLAGS_AT] = _IS_SORTED
    return bytes(image)


def _check_image(image: bytes, k: int) -> None:
    """Whether the parser may see it; the envelope's checksum has vouched for the rest."""
    try:
        *head, number, least_k, levels = _PREAMBLE.unpack_from(image)
        if (*head, least_k) != (5, 1, 15, _IS_SORTED, k, _M, k):
            raise CorruptStateError(f"a stored sketch is no KLL sketch of k {k}")
        starts = struct.unpack_from(f"<{levels}I", image, _PREAMBLE.size)
    except struct.error as error:
        raise CorruptStateError(f"a stored sketch is cut: {error}") from error
    # Two more values are the smallest and the largest.
    held, rest = divmod(len(image) - _PREAMBLE.size - 4 * levels, 8)
    ends = [*starts, _capacity(k, levels) if 0 < levels <= _MAX_LEVELS else -1]
    sizes = [end - start for start, end in pairwise(ends)]
    weight = sum(size << level for level, size in enumerate(sizes))
    if rest or min(sizes, default=-1) < 0 or sum(sizes) != held - 2 or weight != number:
        raise CorruptStateError(f"a stored sketch of {len(image)} bytes is cut or changed")


def _capacity(k: int, levels: int) -> int:
    """How many values a sketch has room for: each level two thirds of the one above."""
    return sum(max(_M, ((k << depth + 1) // 3**depth + 1) >> 1) for depth in range(levels))
