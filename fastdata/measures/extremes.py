"""The smallest and the largest value."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import CALL, Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import FieldMeasure, checked_type, unbounded
from fastdata.measures.ordered import Key, Ordered, OrderedAggregate

__all__ = ["Max", "Min"]

_ORDERED: tuple[Kind, ...] = ("int", "float", "decimal", "string", "timestamp", "date")


@dataclass(frozen=True, slots=True)
class _ExtremeMeasure(FieldMeasure):
    largest: ClassVar[bool]

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: The type has no order.
        """
        ordered = Ordered(self.field, checked_type(self, types, _ORDERED))
        return _Extreme(ordered, self.largest)


@dataclass(frozen=True, slots=True)
class Min(_ExtremeMeasure):
    """The smallest value of a field; None without any value.

    Strings go by code point, NaN is skipped, and -0.0 is 0.0. Stored: nothing, or the byte 1 and
    the value: float64 little-endian, UTF-8, or an integer as in `Sum`.
    """

    largest: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Max(_ExtremeMeasure):
    """The largest value of a field; None without any value. Order and stored form as of `Min`."""

    largest: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class _Extreme(OrderedAggregate):
    """State: None or the key of a value."""

    largest: bool

    @property
    def code(self) -> int:
        return (32 if self.largest else 16) + _ORDERED.index(self.kind)

    @property
    def add_code(self) -> str:
        if self.kind not in {"int", "timestamp", "date"}:
            return CALL
        sign = ">" if self.largest else "<"
        is_new = f"{{state}} is None or {{value}} {sign} {{state}}"
        return (
            f"if type({{value}}) is not int:\n    {CALL}\nelif {is_new}:\n    {{state}} = {{value}}"
        )

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
