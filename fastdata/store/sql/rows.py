"""Rows of a reading that stay as the driver has them until somebody looks at them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

__all__ = ["RowsAsRead"]

_T = TypeVar("_T")


class RowsAsRead(Sequence[_T], Generic[_T]):
    """Totals or partials, each made when it is looked at.

    Named tuples stay with the garbage collector, plain ones of numbers and text do not: a reading
    of some 10,000 rows would have it look at all objects of the process.

    Args:
        make: Makes one of a row.
        rows: The values of each.
    """

    def __init__(
        self, make: Callable[[tuple[Any, ...]], _T], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        self._make = make
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[_T]:
        return map(self._make, self._rows)

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> "RowsAsRead[_T]": ...
    def __getitem__(self, index: int | slice) -> "_T | RowsAsRead[_T]":
        if isinstance(index, slice):
            return RowsAsRead(self._make, self._rows[index])
        return self._make(self._rows[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))
