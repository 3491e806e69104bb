"""What an engine is given to fold, and what it gives back: both travel between processes."""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from fastdata.coordinates.instants import HOUR_MS, to_datetime
from fastdata.declare.metric import Metric, States
from fastdata.errors import ReplayError

__all__ = [
    "Engine",
    "FoldedWindow",
    "Job",
    "JobResult",
    "Piece",
    "WindowState",
    "check_counts",
    "without_collector",
]

Engine = Literal["rows", "columns"]
# The start of a window in ms UTC, dimensions as text, and the states: live, or as an envelope.
FoldedWindow = tuple[int, str, States]
WindowState = tuple[int, str, bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """One object of the archive, as its engine reads it.

    Attributes:
        schema: Canonical JSON of the writer's schema.
        records: Offsets and Avro datums, in order of offset: for the row engine.
        data: The object itself: for the columnar one.
    """

    partition: int
    segment: int
    schema: str
    records: Sequence[tuple[int, bytes]] = ()
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Job:
    """Some spans of metrics of one source, and the events that they are made of.

    Attributes:
        spans: How many events each holds, repeats included.
        wanted: Per span, which metrics to compute, by their index.
        pieces: In order of partition and segment.
        engine: Which one folds it.
    """

    spans: Mapping[int, int]
    wanted: Mapping[int, tuple[int, ...]]
    pieces: Sequence[Piece]
    engine: Engine = "rows"


@dataclass(slots=True)
class JobResult:
    """What folding a job gave.

    Attributes:
        totals: By (index of the metric, span), in order of window and dimensions: what a `Total`
            is made of, as tuples cost a process boundary a quarter.
        duplicates: Per span, events with an id that an earlier event of it had.
        hours: By (index of the metric, span), of metrics with rollups: the states of the hour by
            day of the metric's zone, which are to be kept; see `KeptStates`.
    """

    totals: dict[tuple[int, int], list[WindowState]] = field(default_factory=dict)
    duplicates: dict[int, int] = field(default_factory=dict)
    hours: dict[tuple[int, int], list[WindowState]] = field(default_factory=dict)

    def add(
        self, index: int, metric: Metric, spans: Sequence[int], windows: Iterable[FoldedWindow]
    ) -> None:
        """Dump what was folded for a metric; its states are used up.

        Args:
            index: Of the metric, as the job means it.
            spans: What the job wants of the metric; those without events get no rows.
            windows: All that was folded of these spans, in any order.
        """
        totals: dict[int, list[WindowState]] = {span: [] for span in spans}
        hours = _HourStates(metric, spans)
        for window, dims, states in windows:
            totals[window - window % HOUR_MS].append((window, dims, metric.dump(states)))
            hours.add(window, dims, states)
        self.totals.update({(index, span): sorted(rows) for span, rows in totals.items()})
        self.hours.update({(index, span): rows for span, rows in hours.rows()})


class _HourStates:
    """The whole states of hours by day and dimensions; of a metric without rollups nothing.

    A day of a zone may begin within an hour, which then has states of two days.
    """

    def __init__(self, metric: Metric, spans: Sequence[int]) -> None:
        self._metric = metric
        self._hours: dict[int, dict[tuple[int, str], States]] = (
            {span: {} for span in spans} if metric.rollups else {}
        )
        self._days: dict[int, int] = {}

    def add(self, window: int, dims: str, states: States) -> None:
        """Merge the states of a minute, which become this one's own."""
        hour = self._hours.get(window - window % HOUR_MS)
        if hour is None:
            return
        day = self._days.get(window)
        if day is None:
            day = self._days[window] = self._metric.calendar.day_of(window)
        merged = hour.get((day, dims))
        if merged is None:
            hour[day, dims] = states
        else:
            self._metric.merge(merged, states)

    def rows(self) -> Iterator[tuple[int, list[WindowState]]]:
        dump = self._metric.dump_whole
        for span, hour in self._hours.items():
            yield span, sorted((day, dims, dump(states)) for (day, dims), states in hour.items())


@contextmanager
def without_collector() -> Iterator[None]:
    """States are no cycles: looking for some among all of them takes a fifth of the time."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


def check_counts(job: Job, counts: Mapping[int, int]) -> None:
    """Make sure that all events of a job were read.

    Args:
        counts: How many were read, by span.

    Raises:
        ReplayError: They are not as many as the manifest says.
    """
    for start, events in job.spans.items():
        if counts.get(start, 0) != events:
            raise ReplayError(
                f"the archive says that {events} events are in the hour of {to_datetime(start)}, "
                f"but {counts.get(start, 0)} can be read; is the schema of the source another "
                "than when they were archived? Give fields that were added a default"
            )
