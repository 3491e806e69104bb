"""An independent count: plain Python over plain records, and nothing of fastdata."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

__all__ = ["Key", "Measured", "count", "distinct", "floats", "iso", "mean", "present", "values"]

Record = Mapping[str, object]
Key = tuple[object, ...]  # start of the bucket as ISO text, then the dimensions
Measured = Callable[[Sequence[Record]], object]


def count(
    records: Iterable[Record],
    time: str,
    every_ms: int | None,
    by: Sequence[str],
    measures: Mapping[str, Measured],
    start: int = 0,
) -> dict[Key, dict[str, object]]:
    """The measures of each bucket and combination of dimensions.

    Args:
        time: The field with ms UTC.
        every_ms: Width of the buckets; None for a single one that begins at `start`.
    """
    groups: dict[Key, list[Record]] = defaultdict(list)
    for record in records:
        moment = record[time]
        assert isinstance(moment, int)
        bucket = start if every_ms is None else moment // every_ms * every_ms
        groups[(bucket, *(record[name] for name in by))].append(record)
    return {
        (iso(key[0]), *key[1:]): {name: measure(group) for name, measure in measures.items()}
        for key, group in groups.items()
    }


def iso(time_ms: object) -> str:
    """UTC, whole seconds."""
    assert isinstance(time_ms, int)
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def values(field: str, of: Callable[[Any], object], nothing: object = None) -> Measured:
    """A function of the values of a field that are not null; `nothing` of none."""

    def measure(group: Sequence[Record]) -> object:
        found = [record[field] for record in group if record[field] is not None]
        return of(found) if found else nothing

    return measure


def present(field: str) -> Measured:
    """How many values are not null."""
    return lambda group: sum(record[field] is not None for record in group)


def distinct(field: str) -> Measured:
    """How many different values there are."""
    return lambda group: len({record[field] for record in group} - {None})


def mean(numbers: Sequence[int | float | Decimal]) -> float:
    """The mean, exact until it is rounded once."""
    return float(_total(numbers) / len(numbers))


def floats(numbers: Sequence[float]) -> float:
    """The sum, exact until it is rounded once."""
    return float(_total(numbers))


def _total(numbers: Sequence[int | float | Decimal]) -> Fraction:
    # Fractions are slow, and the same numbers come again and again.
    return sum((Fraction(number) * n for number, n in Counter(numbers).items()), Fraction())
