"""How far a replay is while it runs, and what it did at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastdata.coordinates.segments import Coverage

__all__ = ["MetricReport", "ReplayProgress", "ReplayReport"]


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is.

    Attributes:
        events: Folded and published, of `total_events`; an event counts once for its source.
        spans: Given their new head, of `total_spans`; counted per metric.
        rollups: Windows of rollups looked at, of `total_rollups`, which is 0 until the spans are
            done, and grows with each metric.
    """

    events: int
    total_events: int
    spans: int
    total_spans: int
    rollups: int = 0
    total_rollups: int = 0


@dataclass(slots=True)
class MetricReport:
    """What a replay did for one metric, or in a dry run would do.

    Attributes:
        id: Of the definition.
        run: Number of the run, the version of its rows; None when there was nothing to do.
        start: Of the first span, ms UTC; equal to `end` when nothing is archived.
        end: Of the last span, ms UTC, exclusive.
        coverage: Where the spans end.
        recomputed: Spans counted from the archive.
        relabelled: Spans that got the new coverage without counting, as nothing of them is new.
        unchanged: Spans that were there already, or that another run brought there.
        ahead: Spans left alone because readers have a newer coverage.
        events: Events of the recomputed spans, repeats included.
        duplicates: How many of these were left out as repeats of an id.
        totals: Rows written.
        kept: Hours whose whole states were written beside the archive, for rollups.
        objects: Objects read from the archive, for all metrics of the source together.
        object_bytes: Of the events of these, as Avro before compression.
        rejects: Archived records that cannot be decoded, in no span.
        timeless: Archived events without a usable time, or that cannot be read; in no span.
        rollups: Windows of its grains that were made ready; in a dry run, that would not be ready.
        rollups_left: Windows left to readers to merge, as states of their hours are not kept, or
            their totals are too large for a store.
        segment_size: Of its source; only segments that are archived whole are counted.
        lost: Per partition, offsets `[start, end)` that were never archived: of their events,
            none is in a span.
    """

    metric: str
    id: str
    coverage: Coverage
    start: int = 0
    end: int = 0
    run: int | None = None
    recomputed: int = 0
    relabelled: int = 0
    unchanged: int = 0
    ahead: int = 0
    events: int = 0
    duplicates: int = 0
    totals: int = 0
    kept: int = 0
    objects: int = 0
    object_bytes: int = 0
    rejects: int = 0
    timeless: int = 0
    rollups: int = 0
    rollups_left: int = 0
    segment_size: int = 0
    lost: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """For JSON; coverage as {partition: segment}."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"coverage": dict(self.coverage.segments)}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay did.

    Attributes:
        is_dry_run: Whether it only planned.
        seconds: How long it took.
    """

    metrics: tuple[MetricReport, ...] = field(default_factory=tuple)
    is_dry_run: bool = False
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "dry_run": self.is_dry_run,
            "seconds": round(self.seconds, 3),
            "metrics": [metric.as_dict() for metric in self.metrics],
        }
