"""Histograms: how many values lie between edges that the declaration names."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, cast

from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.items import dump_numbers, load_numbers
from fastdata.measures.numbers import CountingAggregate, FieldMeasure, checked_type, to_number

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Histogram"]

_MAX_EDGES = 1_000
_Edge = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Histogram(FieldMeasure):
    """How many values of a field are below the first edge, between each two, and from the last on.

    A list of one number more than there are edges; a value that is an edge counts above it. Exact:
    every number is compared as it is. NaN is skipped. Stored: each count as an unsigned LEB128.

        Histogram("delay", edges=(0, 15, 60))  # early, up to 15, up to 60, an hour and more

    Args:
        field: Of integers, floats or decimals.
        edges: 1 to 1,000 finite numbers, ascending.
    """

    edges: Sequence[_Edge]

    def __post_init__(self) -> None:
        # Of a list the declaration could be changed afterwards, and it would have no hash.
        object.__setattr__(self, "edges", tuple(self.edges))

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of the field's type.

        Raises:
            DeclarationError: It is neither int, float nor decimal, or the edges are not 1 to 1,000
                finite numbers that ascend.
        """
        fitting = checked_type(self, types, ("int", "float", "decimal"))
        if not 1 <= len(self.edges) <= _MAX_EDGES:
            raise DeclarationError(f"{self!r} has {len(self.edges)} edges; give 1 to {_MAX_EDGES}")
        for edge in self.edges:
            if not _is_number(edge):
                raise DeclarationError(f"{self!r}: the edge {edge!r} is no finite number")
        for low, high in pairwise(self.edges):
            if not low < high:
                raise DeclarationError(f"{self!r}: edges ascend, but {low!r} comes before {high!r}")
        return _HistogramAggregate(
            self.field, fitting, tuple([_least_value(edge, fitting) for edge in self.edges])
        )


def _is_number(edge: object) -> bool:
    try:
        return type(edge) in (int, float, Decimal) and math.isfinite(cast("_Edge", edge))
    except (OverflowError, ValueError):
        return False


def _least_value(edge: _Edge, type_: FieldType) -> int | float:
    """The smallest value of the type, decimals in units, that is not below the edge."""
    exact = Fraction(edge)
    if type_.kind == "float":
        nearest = float(edge)
        return nearest if Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)
    return math.ceil(exact * 10**type_.scale if type_.kind == "decimal" else exact)


@dataclass(frozen=True, slots=True)
class _HistogramAggregate(CountingAggregate):
    """State: a list of counts.

    Attributes:
        edges: As values of the field's type, decimals in units of 10**-scale.
    """

    field: str
    type: FieldType
    edges: tuple[int | float, ...]
    code: ClassVar[int] = 67
    kind: ClassVar[Kind] = "array"

    def arrow_type(self) -> "pa.DataType":
        import pyarrow as pa

        return pa.list_(pa.int64())

    def zero(self, exact: bool = False) -> list[int]:
        return [0] * (len(self.edges) + 1)

    def add(self, state: list[int], value: object) -> list[int]:
        number = to_number(self.field, self.type, value)
        if number == number:
            state[bisect_right(self.edges, number)] += 1
        return state

    def merge(self, state: list[int], other: list[int]) -> list[int]:
        for index, count in enumerate(other):
            state[index] += count
        return state

    def present(self, state: list[int]) -> Estimate:
        return Estimate.exact(tuple(state))

    def dump(self, state: list[int]) -> bytes:
        return dump_numbers(state)

    def load(self, data: bytes) -> list[int]:
        state = load_numbers(data)
        if len(state) != len(self.edges) + 1:
            raise CorruptStateError(f"{data[:32].hex()!r} is no stored histogram of these edges")
        return state
