"""A small metric, and the readings that a store could give of it."""

import json
from collections.abc import Sequence
from pathlib import Path

from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques
from fastdata.answer import merge as merging
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.merge import Buckets, Doubts, ReadyRows, Row
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.protocol import Gap, Head, Partial, Progress, Reading, Total

SCHEMA = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "city", "type": ["null", "string"]},
        {"name": "line", "type": "int"},
        {"name": "is_night", "type": "boolean"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "km", "type": ["null", "int"]},
        {"name": "rider", "type": ["null", "string"]},
        {
            "name": "fare",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        },
    ],
}
DECLARATION = """
from fastdata import Count, Max, Mean, Metric, Source, Sum, Uniques

trips = Source("trips", topic="trips", schema="trip.avsc", time="at", id="id", segment_size=100)
rides = Metric(
    "rides", trips, by=["city", "line"],
    measures={"n": Count(), "km": Sum("km"), "mean": Mean("km"), "longest": Max("km"),
              "riders": Uniques("rider")},
)
"""

SIZE = 100  # of a segment
NOON = parse_instant("2013-01-01T12:00Z")
ONE = parse_instant("2013-01-01T13:00Z")
TWO = parse_instant("2013-01-01T14:00Z")
MINUTE = 60_000

Trip = tuple[int | None, str | None]  # km, rider


def declare(folder: Path) -> Metric:
    """The metric of `DECLARATION`."""
    source = declare_source(folder)
    return Metric(
        "rides",
        source,
        by=["city", "line"],
        measures={
            "n": Count(),
            "km": Sum("km"),
            "mean": Mean("km"),
            "longest": Max("km"),
            "riders": Uniques("rider"),
        },
    )


def declare_source(folder: Path) -> Source:
    path = folder / "trip.avsc"
    path.write_text(json.dumps(SCHEMA))
    return Source("trips", topic="trips", schema=str(path), time="at", id="id", segment_size=SIZE)


NO_FIELDS: dict[str, object] = dict.fromkeys(("city", "line", "km", "rider"))


def state(metric: Metric, trips: Sequence[Trip], exact: bool) -> bytes:
    states = metric.zero(exact)
    for km, rider in trips:
        metric.add(states, NO_FIELDS | {"km": km, "rider": rider})
    return metric.dump(states)


def total(metric: Metric, window: int, dims: Sequence[Dimension], trips: Sequence[Trip]) -> Total:
    return Total(window, dump_dims(dims), state(metric, trips, exact=True))


def partial(
    metric: Metric,
    window: int,
    dims: Sequence[Dimension],
    trips: Sequence[Trip],
    segment: int = 3,
) -> Partial:
    stamp = segment * SIZE + len(trips)
    blob = state(metric, trips, exact=False)
    return Partial(metric.id, window, dump_dims(dims), 0, segment, stamp, blob)


def unfolded(metric: Metric, hour: int, reason: str, events: int, segment: int = 3) -> Partial:
    system = unfolded_of(metric.source)
    states = system.zero()
    for _ in range(events):
        system.add(states, {"reason": reason})
    text = dump_dims([reason])
    return Partial(system.id, hour, text, 0, segment, segment * SIZE, system.dump(states))


def head(span: int, segments: int = 3, version: int = 1) -> Head:
    return Head(span, version, Coverage({0: segments}))


def gap(start: int, end: int) -> Gap:
    return Gap("trips", 0, start, end)


def progress(watermark: int, partition: int = 0, read_until: int | None = None) -> Progress:
    """Of a worker that is behind; what it read last was written when it happened, by default."""
    read = watermark if read_until is None else read_until
    return Progress("trips", partition, 400, watermark, watermark, read)


def reading(
    heads: Sequence[Head] = (),
    totals: Sequence[Total] = (),
    partials: Sequence[Partial] = (),
    unfolded: Sequence[Partial] = (),
    gaps: Sequence[Gap] = (),
    progress: Sequence[Progress] = (progress(TWO),),
) -> Reading:
    return Reading({h.span: h for h in heads}, totals, partials, unfolded, gaps, progress)


def merge(
    metric: Metric,
    reading: Reading,
    buckets: Buckets,
    by: Sequence[str] = (),
    ready: ReadyRows | None = None,
) -> list[Row]:
    """The rows that a reading gives."""
    merged = merging.merge(metric, Doubts(metric, reading), buckets, ChosenDims(metric, by), ready)
    return [row.estimated(metric) for row in merged]
