"""Which engine folds the events of a metric, and folding in a worker process.

A metric cannot be sent to a process, so its file is loaded there and it is looked up by name.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from fastdata.archive.avro_file import records_of
from fastdata.batch.hours import hour_totals
from fastdata.batch.job import Engine, Job, JobResult
from fastdata.batch.row_engine import fold
from fastdata.coordinates.calendar import Grain
from fastdata.declare.catalog import load
from fastdata.declare.metric import Metric
from fastdata.errors import FastdataError, ReplayError

__all__ = ["DeclaredMetric", "choose_engine", "fold_declared", "fold_job"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeclaredMetric:
    """Where a process finds a metric.

    Attributes:
        path: The file that declares it, at its top level.
        id: Of the definition that is meant.
        rollups: Which of them, and in which zone.
    """

    path: str
    name: str
    id: str
    rollups: tuple[tuple[Grain, ...], str]

    @classmethod
    def of(cls, metric: Metric, path: str) -> Self:
        """What a process needs to find a metric that a file declares."""
        return cls(path, metric.name, metric.id, (metric.rollups, metric.calendar.zone))


def choose_engine(wanted: Engine | None, metric: Metric, schemas: Iterable[str]) -> Engine:
    """The engine of a metric: columns where they can, which is several times faster.

    Args:
        wanted: None for the fastest that can.
        schemas: Canonical JSON of the schemas that the events were written with.

    Raises:
        ReplayError: The wanted engine cannot compute it.
    """
    if wanted == "rows" or _is_columnar(metric, schemas):
        return wanted or "columns"
    if wanted == "columns":
        raise ReplayError(
            f"the columnar engine cannot compute {metric.name!r} ({metric.place}): its source has "
            "a map function, values that are no Avro, or a field that it cannot read; leave the "
            "choice to the replay"
        )
    return "rows"


def _is_columnar(metric: Metric, schemas: Iterable[str]) -> bool:
    if metric.source.mapper is not None or metric.source.reader is not None:
        return False
    # DataFusion takes a second to load: not for those who do without.
    from fastdata.batch.columnar.engine import is_columnar

    return is_columnar(metric, schemas)


def fold_job(metrics: Sequence[Metric], job: Job) -> JobResult:
    """The exact totals of a job's spans, by its engine; by rows where columns cannot be read.

    Args:
        metrics: Of one source; the job means them by their index.

    Raises:
        ReplayError: A span has not the number of events that the manifest says, a metric cannot
            fold an event, or the columnar engine failed.
        MapError: The source's map function raised, or a value is not of its declared type.
    """
    result = _fold(metrics, job)
    for (index, span), totals in result.totals.items():
        result.hour_totals[index, span] = hour_totals(metrics[index], span, totals)
    return result


def _fold(metrics: Sequence[Metric], job: Job) -> JobResult:
    if job.engine == "rows":
        return fold(metrics, job)
    from fastdata.batch.columnar.engine import UnreadableError, fold_columns

    try:
        return fold_columns(metrics, job)
    except FastdataError:
        raise
    except UnreadableError as error:
        # An integer of 32 bits that is larger, say: one event in a million would hold up all.
        _log.warning(
            "the row engine counts %d hours of %s, as the columnar one cannot read an event: %s",
            len(job.spans), metrics[0].source.topic, error,
        )  # fmt: skip
        pieces = [replace(p, records=records_of(p.data), data=b"") for p in job.pieces]
        return fold(metrics, replace(job, pieces=pieces, engine="rows"))
    except Exception as error:
        names = ", ".join([repr(metric.name) for metric in metrics])
        reason = str(error).strip().partition("\n")[0]
        raise ReplayError(
            f"the columnar engine failed at {names}: {type(error).__name__}: {reason}; nothing was "
            "published of these hours. The row engine may do it: --engine rows"
        ) from error


def fold_declared(declared: Sequence[DeclaredMetric], job: Job) -> JobResult:
    """The same in a worker process, which loads the metrics itself.

    Raises:
        ReplayError: A file no longer declares the metric that is meant, a span has not the number
            of events that the manifest says, or a metric cannot fold an event.
        LoadError: A file cannot be loaded.
        DeclarationError: A declaration is wrong.
        MapError: The source's map function raised, or a value is not of its declared type.
    """
    return fold_job([_load(metric) for metric in declared], job)


def _load(declared: DeclaredMetric) -> Metric:
    for value in vars(load(declared.path)).values():
        if isinstance(value, Metric) and DeclaredMetric.of(value, declared.path) == declared:
            return value
    raise ReplayError(
        f"{declared.path} does not declare the metric {declared.id} at its top level (any more); "
        "if the file has just changed, run again; if the metric is made by a function, "
        "use --workers 0"
    )
