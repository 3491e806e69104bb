"""How far the speed layer was off, by cause and over time, as verifications stored it."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastdata.answer.query import question_of
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, ceil_to, floor_to, now_ms, to_datetime
from fastdata.declare.metric import Metric
from fastdata.store.past_runs import PastRun, past_runs
from fastdata.store.protocol import EVER, ServingStore
from fastdata.verify.errors_metric import errors_of
from fastdata.verify.segments import first_segment
from fastdata.web.charts import MOST_LINES, MOST_ROWS
from fastdata.web.desk import Desk
from fastdata.web.readers import Deadline

__all__ = ["NO_CAUSE", "Trends", "Verified", "all_causes", "chart_data", "trends_of", "verified_of"]

NO_CAUSE = "none"
"""The cause of rows in which both layers agree."""

_ByPlace = Mapping[tuple[int, str | None, str], Mapping[str, Any]]
_EVENTS = "events"
_WIDTHS = {"1h": HOUR_MS, "6h": 6 * HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "28d": 28 * DAY_MS}
_FEW_POINTS = 170


@dataclass(frozen=True, slots=True)
class Verified:
    """The verifications of a metric whose results are stored.

    Attributes:
        hours: That have results, ms UTC; of some the result may be that nothing was compared.
        last: The newest one; None when there was none, or none was kept then.
        waits_for: Why none can compare anything yet; None where one can.
    """

    metric: Metric
    hours: Sequence[int]
    last: PastRun | None
    waits_for: str | None


class TrendBuckets(NamedTuple):
    """Where points are: `width_ms` wide from `start` to `end`, ms UTC, as the word `every` says."""

    start: int
    end: int
    every: str
    width_ms: int

    def starts(self) -> range:
        """The start of each."""
        return range(self.start, self.end, self.width_ms)

    def label(self, start: int) -> str:
        """A bucket, in UTC."""
        if self.width_ms < DAY_MS:
            return f"{to_datetime(start):%Y-%m-%d %H:%M}"
        return f"{to_datetime(start):%Y-%m-%d}" + (" on" if self.width_ms > DAY_MS else "")


class Point(NamedTuple):
    """One cause in one bucket: events, or a share of the error in percent, and as text."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Trends:
    """How far the speed layer was off in a metric, bucket by bucket.

    Attributes:
        causes: Why it was, in order; "none" alone where it never was.
        points: By what is told ("events", or a measure that was off), by cause, by start of the
            bucket, ms UTC; where nothing was compared there is none.
    """

    metric: Metric
    buckets: TrendBuckets
    causes: Sequence[str]
    points: Mapping[str, Mapping[str, Mapping[int, Point]]]

    def charts(self) -> dict[str, str]:
        """What the charts are called, by a name that no other metric's has."""
        titles = {
            name: "events that differed" if name == _EVENTS else f"{name}: mean error, %"
            for name in self.points
        }
        return {f"{self.metric.name}: {name}": title for name, title in titles.items()}

    def rows(self) -> list[tuple[str, str, list[str]]]:
        """The same as a table, the newest first: when, the cause, and what is told of it."""
        rows = []
        for start in reversed(self.buckets.starts()):
            points_of = {
                cause: [points[cause].get(start) for points in self.points.values()]
                for cause in self.causes
            }
            if not any(points_of[self.causes[0]]):
                continue
            causes = [
                c for c in self.causes if any(point and point.value for point in points_of[c])
            ]
            label = self.buckets.label(start)
            for cause in causes or [NO_CAUSE]:
                cells = points_of.get(cause) or points_of[self.causes[0]]
                rows.append((label, cause, [point.text if point else "-" for point in cells]))
        return rows[:MOST_ROWS]


async def verified_of(desk: Desk) -> list[Verified]:
    """What verifications of each metric have stored.

    Raises:
        StoreError: The store failed.
    """
    metrics = sorted(desk.catalog.metrics.values(), key=lambda metric: metric.name)

    async def read(store: ServingStore, _deadline: Deadline) -> list[Verified]:
        verified = []
        for metric in metrics:
            id = errors_of(metric).id
            past = await past_runs(store, id)
            hours = list(await store.heads(id, *EVER))
            waits_for = await first_segment(store, metric)
            verified.append(Verified(metric, hours, past[0] if past else None, waits_for))
        return verified

    return await desk.readers.run(read, desk.settings.web_timeout_s)


async def trends_of(desk: Desk, verified: Iterable[Verified], last_ms: int | None) -> list[Trends]:
    """How it was over time, of each metric of which anything was compared, in the same buckets.

    Args:
        last_ms: Only so long before now; None for all.

    Raises:
        StoreError: The store failed.
    """
    since = EVER[0] if last_ms is None else now_ms() - last_ms
    hours = {item.metric: [hour for hour in item.hours if hour >= since] for item in verified}
    hours = {metric: of_metric for metric, of_metric in hours.items() if of_metric}
    if not hours:
        return []
    buckets = _buckets(min(map(min, hours.values())), max(map(max, hours.values())) + HOUR_MS)
    trends = await asyncio.gather(*[_trends(desk, metric, buckets) for metric in hours])
    # Of some hours the result is that nothing was compared.
    return [item for item in trends if any(item.points[_EVENTS].values())]


def _buckets(start: int, end: int) -> TrendBuckets:
    fit = (word for word, width in _WIDTHS.items() if end - start <= _FEW_POINTS * width)
    every = next(fit, "28d")
    width = _WIDTHS[every]
    return TrendBuckets(floor_to(start, width), ceil_to(end, width), every, width)


async def _trends(desk: Desk, metric: Metric, buckets: TrendBuckets) -> Trends:
    limits = to_datetime(buckets.start), to_datetime(buckets.end)
    question = question_of(
        errors_of(metric), *limits, every=buckets.every, zone="UTC", by=["measure", "cause"]
    )

    async def read(store: ServingStore, _deadline: Deadline) -> list[dict[str, Any]]:
        return list((await question.answer(store)).to_pylist())

    by_place: _ByPlace = {
        (round(row["window_start"].timestamp() * 1000), row["measure"], row["cause"]): row
        for row in await desk.readers.run(read, desk.settings.web_timeout_s)
    }
    off = {(measure, cause) for _, measure, cause in by_place if cause != NO_CAUSE}
    causes = sorted({cause for _, cause in off}) or [NO_CAUSE]
    measures = [name for name in metric.columns if any(name == measure for measure, _ in off)]
    points = {_EVENTS: {cause: _events(by_place, cause) for cause in causes}}
    for measure in measures:
        points[measure] = {cause: _shares(by_place, measure, cause) for cause in causes}
    return Trends(metric, buckets, causes, points)


def _events(by_place: _ByPlace, cause: str) -> dict[int, Point]:
    """By how many events the layers differed, where anything was compared."""
    points = {}
    for start in {start for start, *_ in by_place}:
        row = by_place.get((start, None, cause))
        events = row["events"] or 0 if row else 0
        points[start] = Point(events, f"{events:,} events")
    return points


def _shares(by_place: _ByPlace, measure: str, cause: str) -> dict[int, Point]:
    """What a cause adds to the mean error of a measure, in percent, where any row was compared."""
    compared = Counter[int]()
    for (start, of_measure, _), row in by_place.items():
        if of_measure == measure:
            compared[start] += row["rows"]
    points = {}
    for start, total in compared.items():
        of_cause = by_place.get((start, measure, cause))
        rows, error = (of_cause["rows"], of_cause["error"] or 0.0) if of_cause else (0, 0.0)
        share = 100 * error * rows / total
        if math.isfinite(share):
            points[start] = Point(share, f"{share / 100:.3%}, by {rows:,} of {total:,} rows")
    return points


def chart_data(trends: Sequence[Trends]) -> dict[str, object]:
    """All charts for JSON, as `assets/chart.js` reads them; each cause has one color in all."""
    buckets = trends[0].buckets
    starts = buckets.starts()
    colors = {cause: str(n % MOST_LINES) for n, cause in enumerate(all_causes(trends))}
    charts = [
        {
            "measure": key,
            "from_zero": True,
            "lines": [_line(cause, colors[cause], starts, p) for cause, p in by_cause.items()],
        }
        for of_metric in trends
        for key, by_cause in zip(of_metric.charts(), of_metric.points.values(), strict=True)
    ]
    whole = {"zone": "UTC", "from": buckets.start, "to": buckets.end, "times": list(starts)}
    labels = [buckets.label(start) for start in starts]
    return {**whole, "labels": labels, "uncovered": [], "gaps": [], "charts": charts}


def all_causes(trends: Iterable[Trends]) -> list[str]:
    """All causes, in the order of their colors."""
    return sorted({cause for of_metric in trends for cause in of_metric.causes})


def _line(
    cause: str, color: str, starts: Iterable[int], points: Mapping[int, Point]
) -> dict[str, object]:
    at = [points.get(start) for start in starts]
    values = [point.value if point else None for point in at]
    return {
        "name": cause,
        "line": color,
        "value": values,
        "lower": values,
        "upper": values,
        "state": "".join("e" if point else " " for point in at),
        "text": [point.text if point else None for point in at],
    }
