"""Files of agents: declarations, loaded by path under a private name."""

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from fastdata.declare.alert import Alert
from fastdata.declare.derived import AnyMetric, DerivedMetric
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import (
    DeclarationError,
    FastdataError,
    LoadError,
    UnknownMetricError,
    did_you_mean,
)

__all__ = ["Catalog", "catalog_of", "forget", "load", "load_folder"]

_UNKNOWN_NAME = re.compile(r"cannot import name '(\w+)' from 'fastdata' ")
_UNKNOWN_ARGUMENT = re.compile(
    r"(Metric|DerivedMetric|Source|Alert)\.__init__\(\) got an unexpected keyword argument '(\w+)'"
)
_OTHER_NAMES = {
    "avg": "Mean", "average": "Mean", "median": "Quantiles", "percentile": "Quantiles",
    "percentiles": "Quantiles", "distinct": "Uniques", "countdistinct": "Uniques",
    "std": "StdDev", "var": "Variance", "minimum": "Min", "maximum": "Max",
}  # fmt: skip
_T = TypeVar("_T", AnyMetric, Source, Alert)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Declared metrics, sources and alerts, by name; of `metrics` and `derived` none share one."""

    metrics: dict[str, Metric]
    sources: dict[str, Source]
    alerts: dict[str, Alert] = field(default_factory=dict)
    derived: dict[str, DerivedMetric] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """A metric by name, and no derived one.

        Raises:
            UnknownMetricError: No metric has that name; the message lists those there are.
        """
        if name in self.metrics:
            return self.metrics[name]
        if derived := self.derived.get(name):
            names = ", ".join(metric.name for metric in derived.metrics)
            raise UnknownMetricError(
                f"{name!r} is a derived metric, of which nothing is stored; it is made of: {names}"
            )
        declared = sorted(self.metrics | self.derived)
        advice = did_you_mean(name, declared, f"declared are: {', '.join(declared) or 'none'}")
        raise UnknownMetricError(f"no metric {name!r}; {advice}")

    def chosen(self, names: Iterable[str]) -> list[Metric]:
        """The metrics of these names, each once; all of the catalog where there are none.

        Raises:
            UnknownMetricError: No metric has such a name.
        """
        return [self.metric(name) for name in dict.fromkeys(names)] or [*self.metrics.values()]

    def of_source(self, source: Source) -> list[Metric]:
        """The metrics over one source."""
        return [metric for metric in self.metrics.values() if metric.source is source]


def load(path: str | Path) -> ModuleType:
    """Import a file of declarations by its path, from anywhere.

    The file is imported once; the same path again gives the same module.

        agents = load("agents/visits.py")
        table = await query(agents.visits, "2024-02-29")

    Raises:
        LoadError: There is no such file, or it raises something of its own.
        DeclarationError: A declaration in it is wrong.
    """
    file = Path(path).resolve()
    name = f"_fastdata_agents_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise LoadError(f"there is no Python file {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FastdataError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise LoadError(f"cannot load {_where(file, error)}: {_message(error)}") from error
    return module


def load_folder(folder: str | Path) -> Catalog:
    """Load every `.py` file of a folder.

    Raises:
        LoadError: There is no such folder, no file in it, or a file cannot be loaded.
        DeclarationError: A declaration is wrong, or two metrics, sources or alerts share a name.
    """
    files = sorted(file for file in Path(folder).glob("*.py") if not file.name.startswith("_"))
    if not files:
        raise LoadError(
            f"there are no agents in {Path(folder).resolve()}; put a file with metrics there, or "
            "set FASTDATA_AGENTS to the folder that has one"
        )
    return catalog_of(value for file in files for value in vars(load(file)).values())


def forget(folder: str | Path) -> None:
    """Have every module that lies in a folder loaded anew, when it is asked for again."""
    place = Path(folder).resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and place in Path(file).parents:
            del sys.modules[name]


def catalog_of(values: Iterable[object]) -> Catalog:
    """The catalog of the metrics, sources and alerts among `values`.

    Raises:
        DeclarationError: Two metrics, two sources, or two alerts, share a name.
    """
    kinds = Metric | DerivedMetric | Source | Alert
    declared = [value for value in values if isinstance(value, kinds)]
    declared += [value.metric for value in declared if isinstance(value, Alert)]
    declared += [m for value in declared if isinstance(value, DerivedMetric) for m in value.metrics]
    declared += [value.source for value in declared if isinstance(value, Metric)]
    asked: dict[str, AnyMetric] = {}
    sources: dict[str, Source] = {}
    alerts: dict[str, Alert] = {}
    for value in declared:
        match value:
            case Metric() | DerivedMetric():
                _put(asked, value)
            case Source():
                _put(sources, value)
            case Alert():
                _put(alerts, value)
    metrics = {name: value for name, value in asked.items() if isinstance(value, Metric)}
    derived = {name: value for name, value in asked.items() if isinstance(value, DerivedMetric)}
    return Catalog(metrics, sources, alerts, derived)


def _put(by_name: dict[str, _T], value: _T) -> None:
    other = by_name.setdefault(value.name, value)
    if other is not value:
        kind = type(value).__name__.lower().removeprefix("derived")
        raise DeclarationError(
            f"{value.place}: two {kind}s are named {value.name!r}; the other is at {other.place}"
        )


def _where(file: Path, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{file}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return f"{file}:{lines[-1]}" if lines else str(file)


def _message(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    if match := _UNKNOWN_NAME.match(text):
        name = match[1]
        have = sys.modules["fastdata"].__all__
        advice = did_you_mean(_OTHER_NAMES.get(name.lower(), name), have)
        return f"there is no fastdata.{name}; {advice}".removesuffix("; ")
    if match := _UNKNOWN_ARGUMENT.match(text):
        taker, name = match.groups()
        hint = f"help(fastdata.{taker}) lists what there is"
        if name in ("window", "every"):
            hint = "a metric counts by the minute, and a query asks for more, as in every='1h'"
        return f"{taker} takes no argument {name!r}; {hint}"
    return f"{type(error).__name__}: {text}"
