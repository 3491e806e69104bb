"""A metric as a query asks for it: some of its measures, and some about one item each."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, cast

from fastdata.declare.derived import AnyMetric
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError, did_you_mean
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.ratios import Derived

__all__ = ["asked_for", "is_worth", "parts_of"]


def asked_for(
    metric: AnyMetric, measures: str | Sequence[str] | None, items: Mapping[str, object]
) -> AnyMetric:
    """The metric with these measures alone, in this order; what is stored of others is not read.

    Args:
        measures: None for all.
        items: By the name of a `Frequency` or `Seen`, the item that it is asked about.

    Raises:
        QueryError: It has no such measure, or one that answers nothing about an item.
    """
    names = [*metric.columns] if measures is None else _listed(metric, measures)
    if isinstance(metric, Metric):
        aggregates = dict(zip(metric.folded, metric.aggregates, strict=True))
        about = {n: _about(metric, n, item, aggregates.get(n)) for n, item in items.items()}
        return _measured(metric, names, aggregates | about)
    if items:
        raise QueryError(f"derived metric {metric.name!r} has no measure that is about an item")
    view = copy(metric)
    view.columns = {name: metric.columns[name] for name in names}
    return view


def _measured(metric: Metric, names: Sequence[str], aggregates: Mapping[str, Aggregate]) -> Metric:
    columns = {name: aggregates.get(name, metric.columns[name]) for name in names}
    derived = [column for column in columns.values() if isinstance(column, Derived)]
    needed = {*names, *(part for column in derived for part in column.parts)}
    view = copy(metric)
    view.columns = columns
    view.aggregates = tuple(
        [a if label in needed else cast("Aggregate", _Unread(a)) for label, a in aggregates.items()]
    )
    return view


def is_worth(view: Metric, whole: Metric) -> bool:
    """Whether one view of a metric spares states that another reads, and that cost much to merge.

    Those are all but plain numbers.
    """
    pairs = zip(view.aggregates, whole.aggregates, strict=True)
    spared = (b for a, b in pairs if isinstance(a, _Unread) and not isinstance(b, _Unread))
    return any(not isinstance(aggregate.zero(), int) for aggregate in spared)


def parts_of(view: AnyMetric) -> tuple[Metric, ...]:
    """The metrics that are read for one, each with the measures that are needed."""
    if isinstance(view, Metric):
        return (view,)
    parts = dict.fromkeys(part for formula in view.columns.values() for part in formula.parts)
    return tuple(
        [
            _measured(metric, labels, dict(zip(metric.folded, metric.aggregates, strict=True)))
            for metric in view.metrics
            if (labels := [label for name, label in parts if name == metric.name])
        ]
    )


class _Unread:
    """Stands for an aggregate of which nothing is asked: it reads no state of it."""

    def __init__(self, aggregate: Aggregate) -> None:
        self.code = aggregate.code

    def zero(self, exact: bool = False) -> None:
        """No state."""

    def load_groups(self, _column: object, edges: Sequence[int]) -> list[None]:
        """No state of any group."""
        return [None] * (len(edges) - 1)

    def load(self, _data: bytes) -> None:
        """No state."""

    def merge(self, _a: None, _b: None) -> None:
        """No state."""

    def present(self, _state: None) -> Estimate:
        """Of nothing."""
        return Estimate.exact(None)

    def widen(self, seen: Estimate, _events: int) -> Estimate:
        """The same."""
        return seen


def _listed(metric: AnyMetric, measures: str | Sequence[str]) -> list[str]:
    names = [measures] if isinstance(measures, str) else measures
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise QueryError(f"measures is {measures!r}; give names, as in ['events']")
    names = list(dict.fromkeys(names))
    if unknown := [name for name in names if name not in metric.columns]:
        have = ", ".join(metric.columns)
        advice = did_you_mean(unknown[0], metric.columns, f"its measures are: {have}")
        raise QueryError(f"metric {metric.name!r} has no measure {unknown[0]!r}; {advice}")
    if not names:
        raise QueryError("measures is empty: name some, or give None for all")
    return names


def _about(metric: Metric, label: str, item: object, aggregate: Aggregate | None) -> Any:
    if aggregate is None:
        have = f"its measures are: {', '.join(metric.measures)}"
        raise QueryError(
            f"metric {metric.name!r} has no measure {label!r} that can be asked about an item; "
            f"{did_you_mean(label, metric.measures, have)}"
        )
    about = getattr(aggregate, "about", None)
    if about is None:
        raise QueryError(
            f"measure {label!r} of metric {metric.name!r} answers no questions about one "
            "item; Frequency and Seen do"
        )
    return about(item)
