"""Questions about one item: a metric seen through them."""

from collections.abc import Mapping
from copy import copy

from fastdata.declare.metric import Metric
from fastdata.errors import QueryError

__all__ = ["ask"]


def ask(metric: Metric, items: Mapping[str, object]) -> Metric:
    """The metric, of which some measures answer about one item each; all else is the same.

    Args:
        metric: Whose states are read.
        items: The item by the name of its measure.

    Raises:
        QueryError: There is no such measure, it takes no questions, or holds no such values.
    """
    if not items:
        return metric
    asked = {}
    for label, aggregate in zip(metric.folded, metric.aggregates, strict=True):
        asked[label] = aggregate
        if label in items:
            about = getattr(aggregate, "about", None)
            if about is None:
                raise QueryError(
                    f"measure {label!r} of metric {metric.name!r} answers no questions about one "
                    "item; Frequency and Seen do"
                )
            asked[label] = about(items[label])
    if unknown := items.keys() - asked.keys():
        raise QueryError(
            f"metric {metric.name!r} has no measure {min(unknown)!r} that can be asked about an "
            f"item; its measures are: {', '.join(metric.measures)}"
        )
    view = copy(metric)
    view.aggregates = tuple(asked.values())
    view.columns = {label: asked.get(label, column) for label, column in metric.columns.items()}
    return view
