"""Counts of what the speed layer does not fold, in cells of the source's system metric."""

from collections import Counter

from fastdata.coordinates.segments import segment_of
from fastdata.declare.metric import Metric
from fastdata.speed import folding
from fastdata.speed.state import CellKey, Partition

__all__ = ["FUTURE", "LATE", "REPEAT", "UnfoldedCells"]

_REASONS = LATE, FUTURE, REPEAT = "late", "future", "repeat"


class UnfoldedCells:
    """The cells of one layer.

    Args:
        metric: The system metric.
        index: Stands for it in the keys of cells.
        left_out: Is counted up, by reason.
    """

    def __init__(self, metric: Metric, index: int, left_out: Counter[str]) -> None:
        self._metric = metric
        self._index = index
        self._left_out = left_out

    def count(self, owned: Partition, offset: int, window: int, reason: str) -> None:
        """Count an event that is left out, unless it is counted already.

        Raises:
            CorruptStateError: The stored bytes of a cell do not verify.
        """
        segment = segment_of(offset, self._metric.source.segment_size)
        key: CellKey = (self._index, segment, window, (reason,))
        cell = owned.cells.find_or_make(key)
        if offset > cell.stamp:
            self._metric.add(cell.states, {"reason": reason})
            self._left_out[reason] += 1
            cell.stamp = offset
        owned.cells.mark(key, cell)

    def emit(self, owned: Partition, offset: int, window: int) -> None:
        """Have the next flush write the counts that an event of this hour may be in.

        Raises:
            CorruptStateError: The stored bytes of a cell do not verify.
        """
        segment = segment_of(offset, self._metric.source.segment_size)
        for reason in _REASONS:
            key: CellKey = (self._index, segment, window, (reason,))
            cell = owned.cells.find(key)
            if cell is not None and offset <= cell.stamp:
                folding.re_emit(owned.cells, key, cell)
