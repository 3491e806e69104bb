"""Measures: what `measures={...}` of a metric holds, and the aggregates that they become.

A measure is a declaration; bound to the type of its field it is an aggregate: a commutative
monoid over states. The laws that each one keeps are in `fastdata.testing.laws`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from fastdata.errors import CorruptStateError
from fastdata.events.schema import FieldType, Kind
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import (
    OfField,
    arrow_type,
    checked_type,
    int_from_bytes,
    int_to_bytes,
    more,
    unbounded,
)
from fastdata.measures.ordered import Key, Ordered
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.uniques import Uniques

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Aggregate",
    "Count",
    "Max",
    "Mean",
    "Min",
    "State",
    "Sum",
    "Uniques",
    "dump_whole",
]

State = Any  # Opaque: only the aggregate that made a state looks inside.

_ORDERED: tuple[Kind, ...] = ("int", "float", "decimal", "string", "timestamp", "date")


class Aggregate(Protocol):
    """One bound measure.

    Promises: merging is associative and commutative, `zero()` is neutral, any split of the same
    values presents the same, dump and load change nothing, and equal contents dump equal.

    One with an attribute `is_canonical` that is False promises that only while its states are
    exact. Past that, order or chance decide on an estimate and its bytes, and it promises less:
    the truth lies within the bounds as often as they claim, for any split and grouping, and a
    stored state stays itself.

    One whose `dump` gives large states up for an estimate may have `dump_whole(state) -> bytes`,
    which does not: `load` reads that, too, and what is merged of it stays exact. Batch keeps the
    states of `rollups` so. Without it `dump` does.
    """

    @property
    def code(self) -> int:
        """Stored with every state; of one aggregate and kind of value.

        1 to 127 are fastdata's, 128 to 255 of those who write aggregates of their own.
        """
        ...

    @property
    def kind(self) -> Kind:
        """Of the presented values: timestamps and dates stay integers since the epoch."""
        ...

    def arrow_type(self) -> "pa.DataType":
        """The type that takes the presented values."""
        ...

    def zero(self, exact: bool = False) -> State:
        """Nothing folded; `exact` keeps what batch needs to be exact."""
        ...

    def add(self, state: State, value: object) -> State:
        """Fold one value; may change and return `state`.

        Args:
            value: Never None, but without arguments; of several arguments a tuple.

        Raises:
            MapError: The value is not of the declared type.
        """
        ...

    def merge(self, state: State, other: State) -> State:
        """Both together; may change and return `state`, never changes `other`."""
        ...

    def present(self, state: State) -> Estimate:
        """The answer with its bounds."""
        ...

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        """The same answer with bounds for up to `events` more events that were not folded."""
        ...

    def dump(self, state: State) -> bytes:
        """The stored form."""
        ...

    def load(self, data: bytes) -> State:
        """A state from its stored form.

        Raises:
            CorruptStateError: The bytes are no state of this aggregate.
        """
        ...


def dump_whole(aggregate: Aggregate, state: State) -> bytes:
    """The stored form that gives nothing up, however large it is."""
    dump: Callable[[State], bytes] = getattr(aggregate, "dump_whole", aggregate.dump)
    return dump(state)


@dataclass(frozen=True, slots=True)
class Count:
    """The number of events, or of values of a field that are not null. Stored: as `Sum`."""

    field: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The field, if there is one."""
        return () if self.field is None else (self.field,)

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate; every type fits."""
        return _Count()


@dataclass(frozen=True, slots=True)
class Min(OfField):
    """The smallest value of a field; None of none.

    Strings go by code point, NaN is skipped, and -0.0 is 0.0. Stored: nothing, or the byte 1 and
    the value: float64 little-endian, UTF-8, or an integer as in `Sum`.
    """

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate for values of that type.

        Raises:
            DeclarationError: The type has no order.
        """
        return _Extreme(_ordered(self, types), largest=False)


@dataclass(frozen=True, slots=True)
class Max(OfField):
    """The largest value of a field; else as `Min`."""

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate for values of that type.

        Raises:
            DeclarationError: The type has no order.
        """
        return _Extreme(_ordered(self, types), largest=True)


def _ordered(measure: Min | Max, types: Sequence[FieldType]) -> Ordered:
    return Ordered(measure.field, checked_type(measure, types, _ORDERED))


@dataclass(frozen=True, slots=True)
class _Count:
    code: ClassVar[int] = 1
    kind: ClassVar[Kind] = "int"

    def arrow_type(self) -> "pa.DataType":
        return arrow_type("int")

    def zero(self, exact: bool = False) -> int:
        return 0

    def add(self, state: int, value: object) -> int:
        return state + 1

    def merge(self, state: int, other: int) -> int:
        return state + other

    def present(self, state: int) -> Estimate:
        return Estimate.exact(state)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        return more(estimate, events)

    def dump(self, state: int) -> bytes:
        return int_to_bytes(state)

    def load(self, data: bytes) -> int:
        count = int_from_bytes(data)
        if count < 0:
            raise CorruptStateError(f"{count} is no count")
        return count


@dataclass(frozen=True, slots=True)
class _Extreme:
    """State: None or the key of a value."""

    values: Ordered
    largest: bool

    @property
    def code(self) -> int:
        return (32 if self.largest else 16) + _ORDERED.index(self.kind)

    @property
    def kind(self) -> Kind:
        return self.values.type.kind

    def arrow_type(self) -> "pa.DataType":
        type_ = self.values.type
        return arrow_type(type_.kind, type_.scale, type_.unit)

    def zero(self, exact: bool = False) -> None:
        return None

    def add(self, state: Key | None, value: object) -> Key | None:
        key = self.values.key(value)
        return self.merge(state, key) if key == key else state

    def merge(self, state: Any, other: Any) -> Key | None:
        if state is None or (other is not None and (other > state) is self.largest):
            return cast("Key | None", other)
        return cast("Key", state)

    def present(self, state: Key | None) -> Estimate:
        return Estimate.exact(None if state is None else self.values.value(state))

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        if not events:
            return estimate
        return unbounded(estimate, lower=not self.largest, upper=self.largest)

    def dump(self, state: Key | None) -> bytes:
        return b"" if state is None else b"\1" + self.values.dump(state)

    def load(self, data: bytes) -> Key | None:
        if not data:
            return None
        key = self.values.load(data[1:])
        if data[0] != 1 or key != key:
            raise CorruptStateError(f"{data[:32].hex()!r} is no stored {self.kind}")
        return key
