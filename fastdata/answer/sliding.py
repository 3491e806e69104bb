"""States merged over windows of days that move on, one day at a time.

Each day is merged once. Days are merged to blocks of 2, 4, 8, … when a window needs them, so a
window of 30 days is made of at most 8 states, and no day is in more than 5 blocks.
"""

from collections.abc import Iterator, KeysView, Mapping, Sequence

from fastdata.answer.merging import merged
from fastdata.declare.metric import Metric, States

__all__ = ["Sliding", "together"]


def together(metric: Metric, parts: Sequence[States]) -> States:
    """The merged states of all parts, which stay as they are."""
    states = metric.zero(exact=True)
    for part in parts:
        metric.merge(states, part)
    return states


class Sliding:
    """The states of windows of days, by combination of dimensions.

    Windows are asked for in order; what lies before the last one is forgotten.

    Args:
        metric: Whose states they are.
        days: For each day, the envelopes of every combination that it has.
    """

    def __init__(self, metric: Metric, days: Sequence[Mapping[str, Sequence[bytes]]]) -> None:
        self._metric = metric
        self._days = days
        self._end = 0
        self._last_days: dict[str, int] = {}  # of the window that have the combination
        self._blocks: dict[tuple[int, int, str], States | None] = {}

    def move(self, first: int, end: int) -> KeysView[str]:
        """Go on to the days `[first, end)`, and say which combinations they have."""
        for day in range(self._end, end):
            self._last_days |= dict.fromkeys(self._days[day], day)
        self._end = end
        self._last_days = {dims: day for dims, day in self._last_days.items() if day >= first}
        self._blocks = {key: states for key, states in self._blocks.items() if key[1] > first}
        return self._last_days.keys()

    def parts(self, first: int, end: int, dims: str) -> list[States]:
        """The states that one combination over the days `[first, end)` is merged from.

        They are kept for later windows, so a caller must not change them.

        Raises:
            CorruptStateError: A stored state does not verify.
        """
        blocks = [self._block(start, after, dims) for start, after in _blocks(first, end)]
        return [states for states in blocks if states is not None]

    def _block(self, first: int, end: int, dims: str) -> States | None:
        """The states of a block of days; None when none of them has the combination."""
        key = first, end, dims
        if key not in self._blocks:
            if end - first == 1:
                envelopes = self._days[first].get(dims)
                self._blocks[key] = merged(self._metric, envelopes) if envelopes else None
            else:
                middle = (first + end) // 2
                halves = self._block(first, middle, dims), self._block(middle, end, dims)
                parts = [states for states in halves if states is not None]
                if len(parts) > 1:
                    parts = [together(self._metric, parts)]
                self._blocks[key] = parts[0] if parts else None
        return self._blocks[key]


def _blocks(first: int, end: int) -> Iterator[tuple[int, int]]:
    """`[first, end)` in blocks whose length is a power of two and divides their beginning."""
    while first < end:
        length = 1
        while first % (2 * length) == 0 and first + 2 * length <= end:
            length *= 2
        yield first, first + length
        first += length
