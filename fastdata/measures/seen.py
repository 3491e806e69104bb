"""Whether a value was seen: exact while values are few, then a Bloom filter."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, cast

from rbloom import Bloom

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.items import MAX_EXACT_BYTES, Item, Items
from fastdata.measures.numbers import (
    CountingAggregate,
    FieldMeasure,
    checked_type,
    widened_count,
)

__all__ = ["Seen"]

_HASH_SIZE = 16
_CAPACITIES = range(100, 400_001)
_LEAST_ERROR, _MOST_ERROR = 1e-4, 0.5
_VALUES, _HASHES, _FILTER = range(3)
_PREFIX = {str: b"s", int: b"i"}
# Python needs ten times the room of a stored hash.
_FEW_SHARE = 4
_DEVIATIONS, _CONFIDENCE = 3, 0.997


@dataclass(frozen=True, slots=True)
class Seen(FieldMeasure):
    """Whether a value was seen: strings, enums or integers.

    Answered for the item that a query asks about: false is certain, and of the values that were
    never seen a share of `error` is answered with true, while there are up to `capacity` different
    ones. The more there are past that, the more are answered so. Without an item it is how many
    different values there were, with confidence 0.997 within its bounds (1 % or less from 1,000
    values on). Batch is exact while all values take no more than 64 KiB.

        metric = Metric("logins", logins, measures={"users": Seen("user_id")})
        await query(metric, "2024-02-29", items={"users": "ada"})

    Stored: form, then by form. 0 (from batch): the values, sorted little-endian int64, or sorted
    UTF-8 with the byte 0xFF behind each. 1: the hashes of few values, sorted. 2: a filter of
    rbloom, whose size `capacity` and `error` decide. A hash is BLAKE2b of 16 bytes over `s` and
    UTF-8, or `i` and a little-endian int64; the filter takes it as a signed little-endian integer.

    Args:
        field: Of strings, enums or integers.
        capacity: Different values, 100 to 400,000.
        error: A share of the values that were never seen, 0.0001 to 0.5.
    """

    capacity: int = 10_000
    error: float = 0.01

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: Its values cannot be looked up, or a number is out of its range.
        """
        fitting = checked_type(self, types, ("string", "int"))
        if self.capacity not in _CAPACITIES:
            raise DeclarationError(
                f"{self!r}: capacity goes from {_CAPACITIES[0]} to {_CAPACITIES[-1]}"
            )
        if not _LEAST_ERROR <= self.error <= _MOST_ERROR:
            raise DeclarationError(f"{self!r}: error goes from {_LEAST_ERROR} to {_MOST_ERROR}")
        empty = Bloom(self.capacity, self.error, _same_hash)
        few = empty.size_in_bits // (8 * _HASH_SIZE * _FEW_SHARE)
        items = Items.of_type(self.field, fitting)
        return _SeenAggregate(items, self.capacity, self.error, few, bytes(empty.save_bytes()))


@dataclass(slots=True)
class _SeenState:
    """All values, or all of their hashes while these are few, or a filter of them.

    Attributes:
        size: Bytes of the values.
    """

    values: set[Item] | None
    hashes: set[int]
    bloom: Bloom | None = None
    size: int = 0

    def __bool__(self) -> bool:
        return bool(self.values or self.hashes or self.bloom is not None)


@dataclass(frozen=True, slots=True)
class _SeenAggregate(CountingAggregate):
    """Values, their hashes, or a filter, as `_SeenState` says.

    Attributes:
        few: So many hashes are kept as they are; more become a filter.
        empty: The stored form of a filter with nothing in it.
        item: What is asked about; None for the number of values.
    """

    items: Items
    capacity: int
    error: float
    few: int
    empty: bytes
    item: Item | None = None

    @property
    def code(self) -> int:
        return 112 + (self.items.item_type is int)

    @property
    def kind(self) -> Kind:
        return "int" if self.item is None else "bool"

    def about(self, item: object) -> "_SeenAggregate":
        return replace(self, item=self.items.parse(item))

    def zero(self, exact: bool = False) -> _SeenState:
        return _SeenState(set() if exact else None, set())

    def add(self, state: _SeenState, value: Any) -> _SeenState:
        self.items.check(value)
        if state.values is not None:
            self._keep(state, (value,))
        else:
            self._put(state, (_hash(value),))
        return state

    def merge(self, state: _SeenState, other: _SeenState) -> _SeenState:
        if state.values is not None and other.values is not None:
            self._keep(state, other.values)
            return state
        # An empty state is neutral, whether it was made to be exact or not.
        if not other and (state or other.values is None):
            return state
        if not state and other.values is not None:
            self._keep(state := self.zero(exact=True), other.values)
            return state
        self._drop_values(state)
        if other.bloom is None:
            self._put(state, map(_hash, other.values) if other.values else other.hashes)
        else:
            self._filter(state).update(other.bloom)
        return state

    def present(self, state: _SeenState) -> Estimate:
        if self.item is not None:
            return self._answer(state, self.item)
        if state.values is not None:
            return Estimate.exact(len(state.values))
        if state.bloom is None:
            number = len(state.hashes)
            return Estimate(number, number, number, _CONFIDENCE) if number else Estimate.exact(0)
        return self._number_in(state.bloom)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        if self.item is None:
            return widened_count(estimate, events)
        return replace(estimate, upper=True) if events else estimate

    def dump(self, state: _SeenState) -> bytes:
        if state.values is not None:
            return bytes((_VALUES,)) + self.items.dump(state.values)
        if state.bloom is not None:
            return bytes((_FILTER,)) + state.bloom.save_bytes()
        hashes = [_to_bytes(number) for number in state.hashes]
        return bytes((_HASHES,)) + b"".join(sorted(hashes))

    def load(self, data: bytes) -> _SeenState:
        form, data = data[:1], data[1:]
        if form == bytes((_VALUES,)):
            self._keep(state := self.zero(exact=True), self.items.load(data))
            if state.values is None:
                raise CorruptStateError(f"{len(data)} bytes of values are more than are kept")
            return state
        if form == bytes((_HASHES,)):
            return _SeenState(None, self._load_hashes(data))
        # A wrong first number would keep the library busy for ever.
        if form != bytes((_FILTER,)) or len(data) != len(self.empty) or data[:8] != self.empty[:8]:
            raise CorruptStateError(
                f"a stored state of {len(data) + 1} bytes is no filter for {self.capacity} values "
                f"with an error of {self.error}"
            )
        return _SeenState(None, set(), Bloom.load_bytes(data, _same_hash))

    def _load_hashes(self, data: bytes) -> set[int]:
        parts = [data[at : at + _HASH_SIZE] for at in range(0, len(data), _HASH_SIZE)]
        if len(data) % _HASH_SIZE or len(parts) > self.few or sorted({*parts}) != parts:
            raise CorruptStateError(f"stored hashes of {len(data)} bytes cannot be read")
        return set(map(_from_bytes, parts))

    def _keep(self, state: _SeenState, values: Iterable[Item]) -> None:
        kept = cast("set[Item]", state.values)
        for value in values:
            if value not in kept:
                kept.add(value)
                state.size += self.items.size(value)
        if state.size > MAX_EXACT_BYTES:
            self._drop_values(state)

    def _drop_values(self, state: _SeenState) -> None:
        values, state.values = state.values, None
        self._put(state, map(_hash, values or ()))

    def _put(self, state: _SeenState, hashes: Iterable[int]) -> None:
        if state.bloom is not None:
            state.bloom.update(hashes)
            return
        state.hashes.update(hashes)
        if len(state.hashes) > self.few:
            self._filter(state)

    def _filter(self, state: _SeenState) -> Bloom:
        if state.bloom is None:
            state.bloom = Bloom(self.capacity, self.error, _same_hash)
            state.bloom.update(state.hashes)
            state.hashes = set()
        return state.bloom

    def _answer(self, state: _SeenState, item: Item) -> Estimate:
        if state.values is not None:
            return Estimate.exact(item in state.values)
        number = _hash(item)
        if state.bloom is None:
            return Estimate.exact(number in state.hashes)
        if number not in state.bloom:
            return Estimate.exact(False)
        bits = _set_bits(state.bloom)
        error = (bits / state.bloom.size_in_bits) ** self._probes
        return Estimate(True, False, True, 1 - error)

    def _number_in(self, bloom: Bloom) -> Estimate:
        """How many values a filter holds, by Swamidass and Baldi (2007).

        The variance is that of empty cells (Feller, volume 1).
        """
        cells, bits, probes = bloom.size_in_bits, _set_bits(bloom), self._probes
        if bits == cells:
            return Estimate(None, None, None, _CONFIDENCE)
        balls = -math.log1p(-bits / cells)
        value = cells / probes * balls
        spread = _DEVIATIONS * math.sqrt(cells * (math.expm1(balls) - balls)) / probes
        lower, upper = math.floor(value - spread), math.ceil(value + spread)
        return Estimate(round(value), max(0, lower), upper, _CONFIDENCE)

    @property
    def _probes(self) -> int:
        return int.from_bytes(self.empty[:8], "little")


def _set_bits(bloom: Bloom) -> int:
    return int.from_bytes(bloom.save_bytes()[8:], "little").bit_count()


def _hash(value: Item) -> int:
    data = value.encode() if isinstance(value, str) else value.to_bytes(8, "little", signed=True)
    return _from_bytes(blake2b(_PREFIX[type(value)] + data, digest_size=_HASH_SIZE).digest())


def _from_bytes(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _to_bytes(number: int) -> bytes:
    return number.to_bytes(_HASH_SIZE, "little", signed=True)


def _same_hash(number: int) -> int:
    """The hash of a hash: the one that the library would use differs from process to process."""
    return number
