"""Whether an answered measure is that of a group of records: exactly, or within its bounds."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.agreement.counting import Measured, Record

__all__ = ["Check", "equals", "lists_most_frequent", "ranks", "within"]

# Of a group, the name of a measure and the row that has it. Fails unless the answer is right.
Check = Callable[[Sequence[Record], str, Mapping[str, Any]], None]


def equals(of: Measured) -> Check:
    """The answer is the plain one, and says so."""

    def check(group: Sequence[Record], name: str, row: Mapping[str, Any]) -> None:
        assert [of(group)] * 3 == _triple(name, row), name

    return check


def within(of: Measured) -> Check:
    """The plain answer is within the bounds, which it is in batch alone."""

    def check(group: Sequence[Record], name: str, row: Mapping[str, Any]) -> None:
        truth: Any = of(group)
        lower, value, upper = _triple(name, row)
        assert lower <= truth <= upper, (name, truth, lower, value, upper)
        assert lower <= value <= upper

    return check


def lists_most_frequent(field: str, k: int, weight: str | None = None) -> Check:
    """Each count of a list is within its bounds, and nobody who is not in it has more."""

    def check(group: Sequence[Record], name: str, row: Mapping[str, Any]) -> None:
        counts: Counter[Any] = Counter()
        for record in group:
            item: Any = record[field]
            counts[item] += 1 if weight is None else max(0, int(str(record[weight])))
        counts = +counts
        found = row[name]
        if row[f"{name}_lower"] is not None:
            ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            assert ranked[:k] == [(each["item"], each["count"]) for each in found]
        assert len({each["item"] for each in found}) == len(found) <= k
        for each in found:
            assert each["lower"] <= counts.pop(each["item"], 0) <= each["upper"], (name, each)
        if len(found) == k:
            assert max(counts.values(), default=0) <= found[-1]["upper"]

    return check


def ranks(field: str, at: Sequence[float]) -> Check:
    """The answers have these ranks: exactly, or not off by more than twice what a sketch says.

    Once in a hundred times one may be off by more than the sketch says: it tosses coins.
    """

    def check(group: Sequence[Record], name: str, row: Mapping[str, Any]) -> None:
        values: list[Any] = sorted(record[field] for record in group if record[field] is not None)
        lowers, found, uppers = _triple(name, row)
        if not values:
            assert [None] * 3 == [lowers, found, uppers]
        elif lowers == found == uppers:
            shares = [max(1, math.ceil(share * len(values))) for share in at]
            assert [values[rank - 1] for rank in shares] == found, name
        else:
            for share, value in zip(at, found, strict=True):
                below, upto = bisect_left(values, value), bisect_right(values, value)
                assert below / len(values) - 0.014 <= share <= upto / len(values) + 0.014

    return check


def _triple(name: str, row: Mapping[str, Any]) -> list[Any]:
    return [row[name + suffix] for suffix in ("_lower", "", "_upper")]
