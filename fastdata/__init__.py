"""Real-time analytics on Kafka: one declaration of a metric, fresh within a second, exact later."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastdata.declare.catalog import load
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import FastdataError
from fastdata.measures.count import Count
from fastdata.measures.estimates import Estimate
from fastdata.measures.extremes import Max, Min
from fastdata.measures.first_last import First, Last
from fastdata.measures.frequency import Frequency
from fastdata.measures.histogram import Histogram
from fastdata.measures.quantiles import Quantiles
from fastdata.measures.ratios import Rate, Ratio
from fastdata.measures.seen import Seen
from fastdata.measures.sets import Sets
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.topk import TopK
from fastdata.measures.uniques import Uniques
from fastdata.measures.variance import StdDev, Variance
from fastdata.settings import Settings

if TYPE_CHECKING:
    from fastdata.answer.compare import compare
    from fastdata.answer.query import query
    from fastdata.exports.export import export
    from fastdata.speed.app import make_app
    from fastdata.speed.attach import attach

__all__ = [
    "Count",
    "Estimate",
    "FastdataError",
    "First",
    "Frequency",
    "Histogram",
    "Last",
    "Max",
    "Mean",
    "Metric",
    "Min",
    "Quantiles",
    "Rate",
    "Ratio",
    "Seen",
    "Sets",
    "Settings",
    "Source",
    "StdDev",
    "Sum",
    "TopK",
    "Uniques",
    "Variance",
    "attach",
    "compare",
    "export",
    "load",
    "make_app",
    "query",
]

_LAZY = {
    "app": ("fastdata.app", "app"),
    "attach": ("fastdata.speed.attach", "attach"),
    "compare": ("fastdata.answer.compare", "compare"),
    "export": ("fastdata.exports.export", "export"),
    "make_app": ("fastdata.speed.app", "make_app"),
    "query": ("fastdata.answer.query", "query"),
}


def __getattr__(name: str) -> object:
    # Kafka, Faust and the stores are loaded by what uses them, not by a declaration.
    if name not in _LAZY:
        raise AttributeError(f"module 'fastdata' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
