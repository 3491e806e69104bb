"""What is open about an answer that is made of the readings of several metrics."""

from collections.abc import Sequence
from itertools import chain

from fastdata.answer.merge import Doubts, stretches_of

__all__ = ["JointDoubts"]


class JointDoubts:
    """What several readings leave open together.

    Args:
        parts: About each of them; there is one at least.

    Attributes:
        fresh_until: How far the speed layer has come in all of them, ms UTC.
        read_until: Up to when the logs of all are read, ms UTC.
        unfolded: How many events were not folded: of each source once, the most of any part.
    """

    def __init__(self, parts: Sequence[Doubts]) -> None:
        self._parts = parts
        fresh, read = zip(*[(part.fresh_until, part.read_until) for part in parts], strict=True)
        self.fresh_until = None if None in fresh else min(fresh)
        self.read_until = None if None in read else min(read)
        ascending = sorted(parts, key=lambda part: part.unfolded)
        self.unfolded = sum({part.topic: part.unfolded for part in ascending}.values())

    def replayed(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches of `[start, end)` whose hours batch has counted of all, ms UTC."""
        hours = set.intersection(*[set(part.counted_hours) for part in self._parts])
        return stretches_of(sorted(hours), start, end)

    def may_lack(self, start: int, end: int) -> list[tuple[int, int]]:
        """The stretches of `[start, end)` whose rows have a gap of any, in order, ms UTC."""
        united: list[tuple[int, int]] = []
        for first, after in sorted(chain(*[part.may_lack(start, end) for part in self._parts])):
            if united and first <= united[-1][1]:
                united[-1] = united[-1][0], max(united[-1][1], after)
            else:
                united.append((first, after))
        return united
