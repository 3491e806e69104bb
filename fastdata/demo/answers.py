"""What a query answers for each month of the flights, beside what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastdata.answer.query import query
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, ceil_to, to_datetime
from fastdata.declare.metric import Metric
from fastdata.demo.flights import NEW_YORK, PUBLISHED, Published, month_start
from fastdata.store.protocol import ServingStore

__all__ = [
    "Answer",
    "Bounds",
    "Latest",
    "SketchError",
    "ask_latest",
    "ask_months",
    "published_numbers",
    "sketch_error",
]


Bounds = dict[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest day, by airport.

    Attributes:
        until: Its exclusive end.
        airports: Per measure the value, its lower and its upper bound.
    """

    until: datetime
    airports: dict[str, Bounds]


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of a query.

    Attributes:
        month: As in `Published`.
        values: Per measure the value, its lower and its upper bound.
        exact: Whether the query calls the row exact.
    """

    month: int
    values: Bounds
    exact: bool

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        names = ("value", "lower", "upper")
        bounds = {name: dict(zip(names, v, strict=True)) for name, v in self.values.items()}
        return {"exact": self.exact, "measures": bounds}


@dataclass(frozen=True, slots=True)
class SketchError:
    """How far distinct counts are off.

    Attributes:
        worst: The largest relative error.
        held: How many of `answers` have the true number within their bounds.
    """

    worst: float
    held: int
    answers: int


async def ask_months(metric: Metric, store: ServingStore) -> tuple[Answer, ...]:
    """One answer for each month of New York, and one for the year, in the order of PUBLISHED."""
    year = to_datetime(month_start(1)), to_datetime(month_start(13))
    tables = [
        await query(metric, *year, every=every, zone=NEW_YORK.key, store=store)
        for every in ("month", "all")
    ]
    rows = [row for table in tables for row in table.to_pylist()]
    return tuple(
        [
            Answer(published.month, _values(metric, row), row["exact"])
            for published, row in zip(PUBLISHED, rows, strict=True)
        ]
    )


async def ask_latest(metric: Metric, store: ServingStore) -> Latest | None:
    """The newest 24 hours of event time by airport; None before there are any."""
    folded = await store.progress(metric.source.topic)
    newest = max((progress.watermark for progress in folded), default=0)
    if newest <= 0:
        return None
    end = ceil_to(newest + 1, HOUR_MS)
    start, until = to_datetime(end - DAY_MS), to_datetime(end)
    table = await query(metric, start, until, every="all", by="origin", store=store)
    return Latest(until, {row["origin"]: _values(metric, row) for row in table.to_pylist()})


def _values(metric: Metric, row: Mapping[str, float]) -> Bounds:
    return {
        name: (row[name], row[f"{name}_lower"], row[f"{name}_upper"]) for name in metric.measures
    }


def published_numbers(published: Published) -> dict[str, float]:
    """The published value of each measure."""
    return {
        "flights": published.flights,
        "distance": published.distance,
        "delay": published.mean_delay,
        "worst": published.worst,
        "aircraft": published.aircraft,
    }


def sketch_error(answers: Sequence[Answer]) -> SketchError:
    """How far the distinct counts of `answers` are from the published ones."""
    errors, held = [], 0
    for answer, published in zip(answers, PUBLISHED, strict=True):
        value, lower, upper = answer.values["aircraft"]
        errors.append(abs(value - published.aircraft) / published.aircraft)
        held += lower <= published.aircraft <= upper
    return SketchError(max(errors), held, len(errors))
