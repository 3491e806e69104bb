"""What a `Frequency` or a `Seen` answers about single items, against a plain count of these."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from fastdata.declare.metric import Measure
from fastdata.measures.estimates import Estimate
from fastdata.measures.extremes import Aggregate
from fastdata.measures.frequency import Frequency
from fastdata.measures.seen import Seen

__all__ = ["Lookup", "look_up"]

# Of one state, the most frequent and others. Each question takes some microseconds.
_ITEMS = 16


@dataclass(frozen=True, slots=True)
class Lookup:
    """An answer about one item.

    Attributes:
        expected: How often it was there, or whether it was.
    """

    item: object
    answer: Estimate
    expected: int

    @property
    def can_miss(self) -> bool:
        """Whether by chance the right count may be below the bounds: above them it never is."""
        return self.answer.confidence < 1 and not isinstance(self.answer.value, bool)

    def fits(self, *, surely: bool) -> bool:
        """Whether the answer is right.

        Args:
            surely: Only what no chance could bring is wrong.
        """
        lower, upper = cast("Any", self.answer.lower), cast("Any", self.answer.upper)
        is_above = surely and self.can_miss
        return bool((is_above or lower <= self.expected) and self.expected <= upper)


def look_up(
    measure: Measure, aggregate: Aggregate, state: object, values: Iterable[object]
) -> Iterator[Lookup]:
    """Ask about some items of the values, and one that is not among them; of other measures none.

    Args:
        aggregate: That of the measure.
        values: Which the state should have seen; None is skipped.
    """
    if not isinstance(measure, Frequency | Seen):
        return
    counts = Counter(cast("Any", value) for value in values if value is not None)
    asking = cast("Any", aggregate)
    for item, count in [*_some(counts), *_absent(counts)]:
        answer = asking.about(item).present(state)
        yield Lookup(item, answer, count if isinstance(measure, Frequency) else count > 0)


def _some(counts: Counter[Any]) -> list[tuple[Any, int]]:
    items = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    first, rest = items[: _ITEMS // 2], items[_ITEMS // 2 :]
    return first + rest[:: max(1, -(-len(rest) * 2 // _ITEMS))]


def _absent(counts: Counter[Any]) -> list[tuple[Any, int]]:
    largest = max(counts, default=None)
    if largest is None:
        return []
    item = largest + "?" if isinstance(largest, str) else largest // 2 + 1
    return [] if item in counts else [(item, 0)]
