"""States merged over windows of days that move on, one day at a time.

Each day is merged once. Days are merged to runs of 2, 4, 8, … when a window needs them, so a window
of 30 days is made of at most 8 states, and no day is in more than 5 runs.
"""

from collections.abc import Iterator, KeysView, Mapping, Sequence

from fastdata.declare.metric import Metric, States

__all__ = ["Sliding", "merged", "together"]


def merged(metric: Metric, blobs: Sequence[bytes]) -> States:
    """The states of some envelopes together; at least one.

    Raises:
        CorruptStateError: One does not verify.
    """
    states: States = metric.load(blobs[0])
    for blob in blobs[1:]:
        metric.merge(states, metric.load(blob))
    return states


def together(metric: Metric, parts: Sequence[States]) -> States:
    """The states of all parts, which stay as they are."""
    states = metric.zero(exact=True)
    for part in parts:
        metric.merge(states, part)
    return states


class Sliding:
    """What some windows hold, each by combination of dimensions; they are asked for in order.

    Args:
        metric: Whose states they are.
        days: For each day the envelopes of every combination that it has.
    """

    def __init__(self, metric: Metric, days: Sequence[Mapping[str, Sequence[bytes]]]) -> None:
        self._metric = metric
        self._days = days
        self._end = 0
        self._last: dict[str, int] = {}
        self._runs: dict[tuple[int, int, str], States | None] = {}

    def move(self, first: int, end: int) -> KeysView[str]:
        """Go on to the days `[first, end)`, and say which combinations they have."""
        for day in range(self._end, end):
            self._last |= dict.fromkeys(self._days[day], day)
        self._end = end
        self._last = {text: day for text, day in self._last.items() if day >= first}
        self._runs = {run: states for run, states in self._runs.items() if run[1] > first}
        return self._last.keys()

    def parts(self, first: int, end: int, text: str) -> list[States]:
        """Those of one combination over `[first, end)`, to be merged, and never to be changed.

        Raises:
            CorruptStateError: A stored state does not verify.
        """
        found = [self._of(begin, after, text) for begin, after in _runs(first, end)]
        return [states for states in found if states is not None]

    def _of(self, begin: int, after: int, text: str) -> States | None:
        run = begin, after, text
        if run not in self._runs:
            if after - begin == 1:
                blobs = self._days[begin].get(text)
                self._runs[run] = merged(self._metric, blobs) if blobs else None
            else:
                middle = (begin + after) // 2
                halves = self._of(begin, middle, text), self._of(middle, after, text)
                found = [states for states in halves if states is not None]
                if len(found) > 1:
                    found = [together(self._metric, found)]
                self._runs[run] = found[0] if found else None
        return self._runs[run]


def _runs(first: int, end: int) -> Iterator[tuple[int, int]]:
    """`[first, end)` in runs whose length is a power of two and divides their beginning."""
    while first < end:
        length = 1
        while first % (2 * length) == 0 and first + 2 * length <= end:
            length *= 2
        yield first, first + length
        first += length
