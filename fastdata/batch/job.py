"""What an engine is given to fold, and what it gives back: both travel between processes."""

import gc
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from fastdata.coordinates.dimensions import is_tip
from fastdata.coordinates.instants import HOUR_MS, to_datetime
from fastdata.declare.metric import Metric, States
from fastdata.errors import ReplayError

__all__ = [
    "Engine",
    "FoldedWindows",
    "Job",
    "JobResult",
    "Piece",
    "WindowState",
    "check_counts",
    "without_collector",
]

Engine = Literal["rows", "columns"]
# The start of a window in ms UTC, dimensions as text (of a tip with its partition), and the states
# as an envelope.
WindowState = tuple[int, str, bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """One object of the archive, as its engine reads it.

    Attributes:
        schema: Canonical JSON of the writer's schema.
        records: Offsets and Avro datums, in order of offset: for the row engine.
        data: The object itself: for the columnar one.
        is_open: Whether it is of an open segment, so that its events are counted as tips.
    """

    partition: int
    segment: int
    schema: str
    records: Sequence[tuple[int, bytes]] = ()
    data: bytes = b""
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Some spans of metrics of one source, and the events that they are made of.

    Attributes:
        spans: How many events each holds, repeats included.
        wanted: Per span, which metrics to compute, by their index.
        pieces: In order of partition and segment; those of open segments after all others, so that
            of a repeat the event in a closed one counts.
        engine: Which one folds it.
    """

    spans: Mapping[int, int]
    wanted: Mapping[int, tuple[int, ...]]
    pieces: Sequence[Piece]
    engine: Engine = "rows"


@dataclass(frozen=True, slots=True)
class FoldedWindows:
    """Some windows that were folded, in any order.

    Attributes:
        windows: The start of each, ms UTC.
        dims: Dimensions as text; of a tip with its partition.
        envelopes: What a serving store holds of each.
        states: Live, where the metric has rollups; else nothing.
    """

    windows: Sequence[int]
    dims: Sequence[str]
    envelopes: Sequence[bytes]
    states: Sequence[States] = ()


@dataclass(slots=True)
class JobResult:
    """What folding a job gave.

    Attributes:
        totals: By (index of the metric, span), in order of window and dimensions: what a `Total`
            is made of, tips among them, as tuples cost a process boundary a quarter.
        hour_totals: By the same, of the whole hour where that is worth it; see `hours`.
        duplicates: Per span, events with an id that an earlier event of it had.
        hours: By (index of the metric, span), of metrics with rollups: the states of the hour by
            day of the metric's zone, which are to be kept, without tips; see `KeptStates`.
    """

    totals: dict[tuple[int, int], list[WindowState]] = field(default_factory=dict)
    hour_totals: dict[tuple[int, int], list[WindowState]] = field(default_factory=dict)
    duplicates: dict[int, int] = field(default_factory=dict)
    hours: dict[tuple[int, int], list[WindowState]] = field(default_factory=dict)

    def add(
        self, index: int, metric: Metric, spans: Sequence[int], folded: Iterable[FoldedWindows]
    ) -> None:
        """Take what was folded for a metric; live states are used up.

        Args:
            index: Of the metric, as the job means it.
            spans: What the job wants of the metric; those without events get no rows.
            folded: All that was folded of these spans.
        """
        rows: list[WindowState] = []
        hours: dict[int, dict[tuple[int, str], States]] = {span: {} for span in spans}
        day_of = cache(metric.calendar.day_of)
        for group in folded:
            rows += zip(group.windows, group.dims, group.envelopes, strict=True)
            for window, dims, states in zip(group.windows, group.dims, group.states, strict=False):
                if not is_tip(dims):
                    hour = hours[window - window % HOUR_MS]
                    # Where a day begins within an hour, this has states of two days.
                    merged = hour.setdefault((day_of(window), dims), states)
                    if merged is not states:
                        metric.merge(merged, states)
        rows.sort()
        for span in spans:
            first, last = (bisect_left(rows, (start,)) for start in (span, span + HOUR_MS))
            self.totals[index, span] = rows[first:last]
        if metric.rollups:
            dump = metric.dump_whole
            for span, hour in hours.items():
                kept = sorted((day, dims, dump(states)) for (day, dims), states in hour.items())
                self.hours[index, span] = kept


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
