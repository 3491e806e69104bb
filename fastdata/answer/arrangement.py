"""In which order the rows of an answer come, and how many."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import pyarrow as pa

from fastdata.answer.merge import Row
from fastdata.declare.derived import AnyMetric
from fastdata.errors import QueryError, did_you_mean

__all__ = ["Arrangement"]

_DIRECTIONS = {"asc": False, "desc": True}


@dataclass(frozen=True, slots=True)
class Arrangement:
    """An order of rows, and their number.

    Attributes:
        columns: What they are sorted by: names, and whether the largest come first. None for the
            order that they are in.
        limit: How many there are at most; None for all.
    """

    columns: Sequence[tuple[str, bool]]
    limit: int | None
    _values: Sequence[Callable[[Row], Any]]

    @classmethod
    def parse(
        cls,
        metric: AnyMetric,
        by: Sequence[str],
        order: str | Sequence[str] | None,
        limit: int | None,
    ) -> Self:
        """Understand arguments as `query` takes them.

        Args:
            metric: With the measures that are asked for.
            by: The dimensions of the rows.

        Raises:
            QueryError: There is no such column, it has no order, or the limit is no number of rows.
        """
        if limit is not None and (type(limit) is not int or limit < 1):
            raise QueryError(f"limit is {limit!r}; give a number of rows, 1 or more")
        texts = [order] if isinstance(order, str) else [] if order is None else order
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise QueryError(f"order is {order!r}; name columns, as in ['origin', 'events desc']")
        columns = [_column(part) for text in texts for part in text.split(",")]
        return cls(columns, limit, [_value_of(metric, by, name) for name, _ in columns])

    def of(self, rows: Iterable[Row]) -> Iterable[Row]:
        """The first rows in this order; what is equal stays as it is."""
        if self.columns:
            rows = list(rows)
            pairs = zip(self.columns, self._values, strict=True)
            for (_, is_descending), value in reversed(list(pairs)):
                rows.sort(key=_key(value, is_descending), reverse=is_descending)
        return rows if self.limit is None else islice(rows, min(self.limit, sys.maxsize))

    def described(self) -> dict[str, object]:
        """For the metadata of an answer."""
        order = [f"{name} desc" if is_descending else name for name, is_descending in self.columns]
        return {"order": order, "limit": self.limit}


def _column(text: str) -> tuple[str, bool]:
    match text.split():
        case [name]:
            return name, False
        case [name, direction] if direction.lower() in _DIRECTIONS:
            return name, _DIRECTIONS[direction.lower()]
    raise QueryError(f"order: {text.strip()!r} is no column; write it as in 'events desc'")


def _value_of(metric: AnyMetric, by: Sequence[str], name: str) -> Callable[[Row], Any]:
    if name == "window_start":
        return lambda row: row.start
    if name in by:
        index = list(by).index(name)
        return lambda row: row.dims[index]
    if name not in metric.columns:
        have = ", ".join(["window_start", *by, *metric.columns])
        advice = did_you_mean(name, [*by, *metric.columns], f"what they can be by: {have}")
        raise QueryError(f"order: rows cannot be sorted by {name!r}; {advice}")
    if pa.types.is_nested(metric.columns[name].arrow_type()):
        raise QueryError(f"order: {name!r} holds lists, which have no order; name another column")
    index = list(metric.columns).index(name)
    return lambda row: row.estimates[index].value


def _key(value: Callable[[Row], Any], is_descending: bool) -> Callable[[Row], tuple[Any, ...]]:
    """Null is the last one either way; NaN is the largest number, numbers are before text."""

    def key(row: Row) -> tuple[Any, ...]:
        held = value(row)
        if held is None:
            return (not is_descending,)
        is_nan = isinstance(held, float) and math.isnan(held)
        return is_descending, isinstance(held, str), is_nan, 0 if is_nan else held

    return key
