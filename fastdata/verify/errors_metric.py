"""The error of the speed layer as a metric: what `fastdata verify --store-result` stores."""

from collections.abc import Mapping

from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Measure, Metric
from fastdata.events.schema import FieldType
from fastdata.measures.extremes import Count, Max, Mean, Sum

__all__ = ["SUFFIX", "errors_of"]

SUFFIX = ":error"
_TYPES: Mapping[str, FieldType] = {
    "measure": FieldType("string", nullable=True),
    "cause": FieldType("string"),
    "since": FieldType("string"),
    "error": FieldType("float", nullable=True),
    "missed": FieldType("int", nullable=True),
}


class _Errors(Metric):
    """A system metric; it is declared by no file, and no worker folds it."""

    window_ms = HOUR_MS

    def __init__(self, of: Metric) -> None:
        self._of = of
        measures: dict[str, Measure] = {
            "rows": Count("error"),
            "error": Mean("error"),
            "max_error": Max("error"),
            "events": Sum("missed"),
        }
        super().__init__(of.name + SUFFIX, of.source, ("measure", "cause", "since"), measures)

    @property
    def id(self) -> str:
        """That of the metric it is about, so that another definition has errors of its own."""
        return self._of.id + SUFFIX

    def _fields(self) -> Mapping[str, FieldType]:
        return _TYPES

    def _check_names(self) -> None:
        pass


def errors_of(metric: Metric) -> Metric:
    """How far the speed layer was off in a metric, hour by hour, as the last verifications saw.

    It has two kinds of rows. With a `measure`: `rows` of the metric that were compared, the mean
    `error` and `max_error` of the speed layer's answers relative to the right ones, by `cause`
    ("none" where they agree). With `measure` null: the `events` by which the layers differed,
    by `cause`. `since` is the coverage, as JSON, after which the segments lie that were compared.
    """
    return _Errors(metric)
