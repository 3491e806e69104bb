"""Real-time analytics on Kafka: one declaration of a metric, fresh within a second, exact later."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastdata.aggregates import Count, Max, Mean, Min, Sum, Uniques
from fastdata.derived import Rate, Ratio
from fastdata.ends import First, Last
from fastdata.errors import FastdataError
from fastdata.estimates import Estimate
from fastdata.frequency import Frequency
from fastdata.histogram import Histogram
from fastdata.loading import load
from fastdata.metric import Metric
from fastdata.moments import StdDev, Variance
from fastdata.quantiles import Quantiles
from fastdata.seen import Seen
from fastdata.sets import Sets
from fastdata.settings import Settings
from fastdata.source import Source
from fastdata.topk import TopK

if TYPE_CHECKING:
    from fastdata.exporting.exporter import export
    from fastdata.serving.comparing import compare
    from fastdata.serving.querying import query
    from fastdata.speed.agent import attach
    from fastdata.speed.making import make_app

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
    "attach": ("fastdata.speed.agent", "attach"),
    "compare": ("fastdata.serving.comparing", "compare"),
    "export": ("fastdata.exporting.exporter", "export"),
    "make_app": ("fastdata.speed.making", "make_app"),
    "query": ("fastdata.serving.querying", "query"),
}


def __getattr__(name: str) -> object:
    # Kafka, Faust and the stores are loaded by what uses them, not by a declaration.
    if name not in _LAZY:
        raise AttributeError(f"module 'fastdata' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
