"""Rows of a reading that stay as the driver has them until somebody looks at them."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

from fastdata.store.protocol import Total

__all__ = ["TotalRows"]


class TotalRows(Sequence[Total]):
    """Totals, each made when it is looked at.

    Named tuples stay with the garbage collector, plain ones of numbers and text do not: a reading
    of some 10,000 totals would have it look at all objects of the process.

    Args:
        rows: Window, dimensions and state of each.
    """

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Total]:
        return map(Total._make, self._rows)

    @overload
    def __getitem__(self, index: int) -> Total: ...
    @overload
    def __getitem__(self, index: slice) -> "TotalRows": ...
    def __getitem__(self, index: int | slice) -> "Total | TotalRows":
        if isinstance(index, slice):
            return TotalRows(self._rows[index])
        return Total._make(self._rows[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))
