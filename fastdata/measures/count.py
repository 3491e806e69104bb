"""Counts of events, or of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.numbers import CountingAggregate, int_from_bytes, int_to_bytes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fastdata.measures.columns import Payloads

__all__ = ["Count"]


@dataclass(frozen=True, slots=True)
class Count:
    """The number of events, or of values of a field that are not null.

    Stored: a signed little-endian integer, as short as it gets.
    """

    field: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The field, if there is one."""
        return () if self.field is None else (self.field,)

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate; values of every type can be counted."""
        return _CountAggregate()


@dataclass(frozen=True, slots=True)
class _CountAggregate(CountingAggregate):
    code: ClassVar[int] = 1
    kind: ClassVar[Kind] = "int"
    add_code: ClassVar[str] = "{state} += 1"

    def zero(self, exact: bool = False) -> int:
        return 0

    def add(self, state: int, value: object) -> int:
        return state + 1

    def merge(self, state: int, other: int) -> int:
        return state + other

    def present(self, state: int) -> Estimate:
        return Estimate.exact(state)

    def dump(self, state: int) -> bytes:
        return int_to_bytes(state)

    def dump_groups(self, numbers: "NDArray[np.int64]") -> "pa.Array":
        from fastdata.measures.stored_columns import integers

        return integers(numbers)

    def load(self, data: bytes) -> int:
        count = int_from_bytes(data)
        if count < 0:
            raise CorruptStateError(f"{count} is no count")
        return count

    def load_groups(self, column: "Payloads", edges: Sequence[int]) -> list[int] | None:
        return column.sums(edges, least=0)
