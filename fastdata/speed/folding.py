"""How an event is folded into the cells of a metric."""

from collections.abc import Callable, Mapping
from typing import cast

from fastdata.declare.folding import FoldingCode, folding_code
from fastdata.declare.metric import Metric
from fastdata.events.functions import make_function
from fastdata.speed.state import Cell, CellKey, Cells

__all__ = ["Fold", "compile_fold", "emit", "fold_rows", "re_emit"]

Fold = Callable[[Cells, int, int, int, Mapping[str, object], int], None]
"""Folds an event into cells, given the metric's index, the segment, the offset, fields and time.

It raises BadEventError, having folded nothing, and what else `Metric.rows` and the measures raise.
"""

# A cell takes events in the order of offsets: it has those up to its stamp.
_INTO_CELL = """
    key = (index, segment, time - time % {window_ms}, {dims})
    cell = cells.in_memory(key) or cells.find_or_make(key)
    if offset <= cell.stamp:
        re_emit(cells, key, cell)
    else:
        states = cell.states
        {adding}
        cell.stamp = offset
        if not cell.is_dirty:
            cells.mark(key, cell)"""


def compile_fold(metric: Metric) -> Fold:
    """The function of one metric, without a call or a list of its own for each event."""
    code = folding_code(metric)
    return fold_rows(metric) if code is None else _compiled(metric, code)


def _compiled(metric: Metric, code: FoldingCode) -> Fold:
    adding = "\n        ".join(code.adding)
    source = "\n".join(["def fold(cells, index, segment, offset, fields, time):", *code.lines])
    for dims in code.dims:
        source += _INTO_CELL.format(window_ms=metric.window_ms, dims=dims, adding=adding)
    # Looked up when it is called, as by all others, so that a test can take it away.
    names = {**code.names, "re_emit": lambda *cell: re_emit(*cell)}  # noqa: PLW0108
    return cast("Fold", make_function(source, names, f"fold {metric.name}"))


def fold_rows(metric: Metric) -> Fold:
    """The same for any metric, also where an event has several rows."""

    def fold(
        cells: Cells, index: int, segment: int, offset: int, fields: Mapping[str, object], time: int
    ) -> None:
        window = time - time % metric.window_ms
        for dims, entries in metric.rows(fields, time):
            key = (index, segment, window, dims)
            cell = cells.in_memory(key) or cells.find_or_make(key)
            if offset <= cell.stamp:
                re_emit(cells, key, cell)
                continue
            for values in entries:
                metric.add_values(cell.states, values)
            cell.stamp = offset
            cells.mark(key, cell)

    return fold


def emit(
    metric: Metric,
    cells: Cells,
    index: int,
    segment: int,
    offset: int,
    fields: Mapping[str, object],
    time: int,
) -> None:
    """Re-emit the cells that have an event which is left out now.

    It may have been folded before a crash: only its cells know.

    Raises:
        BadEventError: The event is none of this metric.
        CorruptStateError: A stored state does not verify.
    """
    window = time - time % metric.window_ms
    for dims, _ in metric.rows(fields, time):
        key = (index, segment, window, dims)
        cell = cells.in_memory(key) or cells.find(key)
        if cell is not None and offset <= cell.stamp:
            re_emit(cells, key, cell)


def re_emit(cells: Cells, key: CellKey, cell: Cell) -> None:
    """Have the next flush write a cell that has its event already.

    The write of the first folding may not have come as far as the store.
    """
    cells.mark(key, cell)
