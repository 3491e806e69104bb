"""Exact while values are few, then a sketch: what measures that count items have in common.

`CountsAggregate` keeps each different value with its count, `DistinctAggregate` the values alone.
"""

# ruff: noqa: D102 - `Aggregate` says what the methods do.

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import Kind
from fastdata.events.values import wrong_type
from fastdata.measures.aggregate import CALL
from fastdata.measures.estimates import Estimate
from fastdata.measures.items import MAX_EXACT_BYTES, Item, Items
from fastdata.measures.numbers import CountingAggregate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "EMPTY",
    "HEAD_SIZE",
    "SET",
    "SKETCH_ONLY",
    "CountsAggregate",
    "CountsState",
    "DistinctAggregate",
    "DistinctSketch",
    "distinct_estimate",
]

# What stands for the empty string, which the library skips.
EMPTY = "\0 fastdata: the empty string"

HEAD_SIZE = 2
SKETCH_ONLY, SET, _NUMBER = range(3)
# Three standard deviations are quantiles 0.0013 and 0.9987 of the sketch's error (DataSketches).
_DEVIATIONS, _CONFIDENCE = 3, 0.997


@dataclass(slots=True)
class CountsState:
    """All different values and their counts, or a sketch.

    Attributes:
        is_few: Whether it becomes a sketch past a number of values; else it stays exact.
        answer: The exact answer, where a sketch is all that was stored of the counts.
        size: Bytes of the values, where these decide on how long it stays exact.
    """

    counts: dict[Any, int] | None
    is_few: bool
    sketch: Any = None
    answer: Any = None
    size: int = 0


class CountsAggregate:
    """An aggregate whose state is a `CountsState`."""

    __slots__ = ()

    if TYPE_CHECKING:

        def dump(self, state: CountsState) -> bytes: ...
        def load(self, data: bytes) -> CountsState: ...
        def _new_sketch(self) -> Any: ...
        def _feed(self, sketch: Any, counts: Mapping[Any, int]) -> None: ...
        def _count(self, state: CountsState, counts: Mapping[Any, int]) -> None: ...

    def zero(self, exact: bool = False) -> CountsState:
        return CountsState({}, is_few=not exact)

    def exact_of(self, counted: Iterable[tuple[Any, int]]) -> CountsState:
        """The state that batch makes of values and how often each of them came."""
        state = self.zero(exact=True)
        self._count(state, dict(counted))
        return state

    def merge(self, state: CountsState, other: CountsState) -> CountsState:
        # An empty state is neutral, whether it was made to be exact or not.
        if other.counts == {} and (state.counts != {} or other.is_few):
            return state
        if state.counts == {}:
            if other.counts is None:
                return self._copy(other)
            return CountsState(dict(other.counts), other.is_few, size=other.size)
        if state.counts is not None and other.counts is not None:
            state.is_few = state.is_few and other.is_few
            self._count(state, other.counts)
            return state
        if state.counts is not None:
            state.sketch, state.counts = self._sketch(state.counts), None
        if other.counts is None:
            self._unite(state, other.sketch)
        else:
            self._feed(state.sketch, other.counts)
        state.answer = None
        return state

    def _copy(self, state: CountsState) -> CountsState:
        """Another state of the same sketch."""
        return self.load(self.dump(state))

    def _sketch(self, counts: Mapping[Any, int]) -> Any:
        sketch = self._new_sketch()
        self._feed(sketch, counts)
        return sketch

    def _unite(self, state: CountsState, sketch: Any) -> None:
        state.sketch.merge(sketch)


@dataclass(slots=True)
class DistinctSketch(ABC):
    """A sketch of distinct values; one of none is false, as an empty set is.

    Attributes:
        fed: What values are folded into.
        number: How many values there are, if that is known: folding or merging forgets it.
    """

    lg_k: int
    fed: Any
    number: int | None = None

    @abstractmethod
    def __bool__(self) -> bool: ...

    @abstractmethod
    def unite(self, other: Any) -> None:
        """Merge another sketch of this class into this one."""

    @abstractmethod
    def estimate(self) -> Estimate: ...

    @abstractmethod
    def image(self) -> bytes:
        """The bytes to store: a function of the values alone."""

    def feed(self, values: Iterable[Item]) -> None:
        update = self.fed.update
        for value in values:
            update(value if value != "" else EMPTY)


_Distinct = set[Any] | DistinctSketch


@dataclass(frozen=True, slots=True)
class DistinctAggregate(CountingAggregate, ABC):
    """State: all values, to be exact, or a sketch."""

    items: Items
    lg_k: int
    item_type: type[str] | type[int]  # of the items: `add` asks for it with every event
    kind: ClassVar[Kind] = "int"
    noun: ClassVar[str]
    number_noun: ClassVar[str]

    @property
    def add_code(self) -> str:
        if self.item_type is not str:
            return CALL
        return (
            "sketch = {state}\n"
            "if type({value}) is str and {value} and type(sketch) is not set:\n"
            "    sketch.fed.update({value})\n"
            "    sketch.number = None\n"
            f"else:\n    {CALL}"
        )

    def zero(self, exact: bool = False) -> _Distinct:
        return set() if exact else self._new_sketch()

    def add(self, state: _Distinct, value: object) -> _Distinct:
        """Fold one value.

        Raises:
            MapError: It is of another type, or an integer of more than 64 bits.
        """
        # As `Items.check`: a call for every event would show.
        if type(value) is not self.item_type or (
            type(value) is int and not -(2**63) <= value < 2**63
        ):
            raise wrong_type(self.items.field, f"{self.item_type.__name__} (of 64 bits)", value)
        if isinstance(state, set):
            state.add(value)
        else:
            state.fed.update(value if value != "" else EMPTY)
            state.number = None
        return state

    def merge(self, state: _Distinct, other: _Distinct) -> _Distinct:
        if isinstance(state, set) and isinstance(other, set):
            state |= other
            return state
        # An empty state is neutral, whether it was made to be exact or not.
        if not other and (state or not isinstance(other, set)):
            return state
        number = None
        if not state:
            if isinstance(other, set):
                return other.copy()
            state, number = self._new_sketch(), other.number
        if isinstance(state, set):
            state = self.sketch_of(state)
        if isinstance(other, set):
            state.feed(other)
        else:
            state.unite(other)
        state.number = number
        return state

    def present(self, state: _Distinct) -> Estimate:
        if isinstance(state, set):
            return Estimate.exact(len(state))
        if state.number is not None or not state:
            return Estimate.exact(state.number or 0)
        return state.estimate()

    def dump(self, state: _Distinct) -> bytes:
        if isinstance(state, set):
            # Each value takes a byte at least.
            if len(state) <= MAX_EXACT_BYTES:
                data = self.dump_whole(state)
                if len(data) - HEAD_SIZE <= MAX_EXACT_BYTES:
                    return data
            number, state = len(state), self.sketch_of(state)
            state.number = number
        if state.number is None:
            return bytes((self.lg_k, SKETCH_ONLY)) + state.image()
        return bytes((self.lg_k, _NUMBER)) + state.number.to_bytes(8, "little") + state.image()

    def dump_whole(self, state: _Distinct) -> bytes:
        if not isinstance(state, set):
            return self.dump(state)
        return bytes((self.lg_k, SET)) + self.items.dump(state)

    def dump_groups(self, values: "pa.Array", ends: "NDArray[np.int64]") -> "pa.Array | None":
        """What `dump` makes of exact states; None where one is too large to stay exact.

        Args:
            values: The strings or integers of all states, those of each in order.
            ends: Where those of each state end.
        """
        from fastdata.measures.stored_columns import value_sets

        return value_sets(bytes((self.lg_k, SET)), values, ends, MAX_EXACT_BYTES)

    def load(self, data: bytes) -> _Distinct:
        """The state that `dump` or `dump_whole` wrote.

        Raises:
            CorruptStateError: The bytes are no state of this aggregate.
        """
        if len(data) < HEAD_SIZE or data[0] != self.lg_k or data[1] > _NUMBER:
            head = data[:HEAD_SIZE].hex()
            raise CorruptStateError(f"{head!r} begins no {self.noun} of lg_k {self.lg_k}")
        form, data = data[1], data[HEAD_SIZE:]
        if form == SET:
            return self._load_values(data)
        if form == SKETCH_ONLY:
            return self._load_sketch(data)
        sketch = self._load_sketch(data[8:])
        sketch.number = int.from_bytes(data[:8], "little")
        if not sketch:
            raise CorruptStateError(f"a stored {self.number_noun} contradicts its sketch")
        return sketch

    def sketch_of(self, values: Iterable[Item]) -> DistinctSketch:
        """A sketch of these values."""
        sketch = self._new_sketch()
        sketch.feed(values)
        return sketch

    def _load_values(self, data: bytes) -> set[Any]:
        return set(self.items.load(data))

    @abstractmethod
    def _new_sketch(self) -> DistinctSketch: ...

    @abstractmethod
    def _load_sketch(self, image: bytes) -> DistinctSketch: ...


def distinct_estimate(sketch: Any, more: int = 0) -> Estimate:
    """How many values a sketch of the library has, with confidence 0.997 within its bounds.

    Args:
        more: How much higher the upper bound is than the library's.
    """
    value = round(sketch.get_estimate())
    lower = math.ceil(sketch.get_lower_bound(_DEVIATIONS))
    upper = math.floor(sketch.get_upper_bound(_DEVIATIONS))
    return Estimate(value, min(lower, value), max(upper, value) + more, _CONFIDENCE)
