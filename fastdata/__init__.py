"""Real-time analytics on Kafka: one declaration of a metric, fresh within a second, exact later."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastdata.answer.ask import ask
    from fastdata.answer.compare import compare
    from fastdata.answer.lift import lift
    from fastdata.answer.lookup import Lookup
    from fastdata.answer.query import query
    from fastdata.declare.alert import Alert
    from fastdata.declare.catalog import load
    from fastdata.declare.derived import DerivedMetric
    from fastdata.declare.metric import Metric
    from fastdata.declare.source import Source
    from fastdata.declare.variant import Variant
    from fastdata.errors import FastdataError
    from fastdata.exports.export import export
    from fastdata.measures.count import Count
    from fastdata.measures.estimates import Estimate
    from fastdata.measures.extremes import Max, Min
    from fastdata.measures.first_last import First, Last
    from fastdata.measures.frequency import Frequency
    from fastdata.measures.histogram import Histogram
    from fastdata.measures.quantiles import Quantiles
    from fastdata.measures.ratios import Rate, Ratio
    from fastdata.measures.seen import Seen
    from fastdata.measures.sequences import Funnel, Sequences
    from fastdata.measures.sessions import Sessions
    from fastdata.measures.sets import Sets
    from fastdata.measures.sums import Mean, Sum
    from fastdata.measures.topk import TopK
    from fastdata.measures.uniques import Uniques
    from fastdata.measures.variance import StdDev, Variance
    from fastdata.settings import Settings
    from fastdata.speed.app import make_app
    from fastdata.speed.attach import agent, attach
    from fastdata.speed.sink import Sink

__all__ = [
    "Alert",
    "Count",
    "DerivedMetric",
    "Estimate",
    "FastdataError",
    "First",
    "Frequency",
    "Funnel",
    "Histogram",
    "Last",
    "Lookup",
    "Max",
    "Mean",
    "Metric",
    "Min",
    "Quantiles",
    "Rate",
    "Ratio",
    "Seen",
    "Sequences",
    "Sessions",
    "Sets",
    "Settings",
    "Sink",
    "Source",
    "StdDev",
    "Sum",
    "TopK",
    "Uniques",
    "Variance",
    "Variant",
    "agent",
    "ask",
    "attach",
    "compare",
    "export",
    "lift",
    "load",
    "make_app",
    "query",
]

_PLACES = {
    "Alert": "fastdata.declare.alert",
    "Count": "fastdata.measures.count",
    "DerivedMetric": "fastdata.declare.derived",
    "Estimate": "fastdata.measures.estimates",
    "FastdataError": "fastdata.errors",
    "First": "fastdata.measures.first_last",
    "Frequency": "fastdata.measures.frequency",
    "Funnel": "fastdata.measures.sequences",
    "Histogram": "fastdata.measures.histogram",
    "Last": "fastdata.measures.first_last",
    "Lookup": "fastdata.answer.lookup",
    "Max": "fastdata.measures.extremes",
    "Mean": "fastdata.measures.sums",
    "Metric": "fastdata.declare.metric",
    "Min": "fastdata.measures.extremes",
    "Quantiles": "fastdata.measures.quantiles",
    "Rate": "fastdata.measures.ratios",
    "Ratio": "fastdata.measures.ratios",
    "Seen": "fastdata.measures.seen",
    "Sequences": "fastdata.measures.sequences",
    "Sessions": "fastdata.measures.sessions",
    "Sets": "fastdata.measures.sets",
    "Settings": "fastdata.settings",
    "Sink": "fastdata.speed.sink",
    "Source": "fastdata.declare.source",
    "StdDev": "fastdata.measures.variance",
    "Sum": "fastdata.measures.sums",
    "TopK": "fastdata.measures.topk",
    "Uniques": "fastdata.measures.uniques",
    "Variance": "fastdata.measures.variance",
    "Variant": "fastdata.declare.variant",
    "agent": "fastdata.speed.attach",
    "app": "fastdata.app",
    "ask": "fastdata.answer.ask",
    "attach": "fastdata.speed.attach",
    "compare": "fastdata.answer.compare",
    "export": "fastdata.exports.export",
    "lift": "fastdata.answer.lift",
    "load": "fastdata.declare.catalog",
    "make_app": "fastdata.speed.app",
    "query": "fastdata.answer.query",
}


def __getattr__(name: str) -> object:
    # Nothing is loaded before it is asked for: a declaration needs no Kafka, Faust or store, and a
    # command must know what to do with a signal before it begins to load.
    if name not in _PLACES:
        raise AttributeError(f"module 'fastdata' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
