"""Python of what a metric folds of an event, for who writes a function around it."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastdata.declare.metric import Metric
from fastdata.expressions import row_code
from fastdata.measures.adding import adding_code

__all__ = ["FoldingCode", "folding_code"]


@dataclass(frozen=True, slots=True)
class FoldingCode:
    """Parts of a function that has an event's `fields` and `time`.

    Attributes:
        lines: They compute what is folded, and return where the event does not count.
        dims: The dimensions of each grouping set.
        adding: Lines that fold the values into `states`.
        names: What all of it uses.
    """

    lines: tuple[str, ...]
    dims: tuple[str, ...]
    adding: tuple[str, ...]
    names: Mapping[str, object]


def folding_code(metric: Metric) -> FoldingCode | None:
    """What `Metric.rows` and `Metric.add_values` do; None where an event may have several rows."""
    row = row_code(metric.selection, metric.source.mapper_place)
    if row is None:
        return None
    pairs = zip(metric.aggregates, metric.selection.arguments, strict=True)
    adding, names = adding_code([(a, not arguments) for a, arguments in pairs], row.values)
    return FoldingCode(row.lines, row.dims, tuple(adding), {**row.names, **names})
