"""The same range some days before, beside what the page of a metric shows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from fastdata.coordinates.instants import MINUTE_MS, floor_to, parse_instant
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError
from fastdata.store.protocol import ServingStore
from fastdata.web.charts import MetricView, Watched, Wish, see

__all__ = ["BEFORE", "days_of", "has_earlier", "with_earlier"]

BEFORE = {"": "(nothing)", "1d": "the day before", "7d": "the week before"}
_LEAST = 0.0005  # that is told by its digits
_Place = tuple[MetricView, int]  # the number of a bucket of a view


def days_of(word: str) -> int:
    """How many days before is meant; 0 for none.

    Raises:
        QueryError: It is none of `BEFORE`.
    """
    if word not in BEFORE:
        raise QueryError(f"before is {word!r}; give one of {', '.join(filter(None, BEFORE))}")
    return int(word.rstrip("d") or 0)


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A range so many days before another one, by the clock of its zone."""

    metric: Metric
    wish: Wish
    zone: ZoneInfo
    days: int

    def at(self, ms: int) -> int:
        local = datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.zone)
        return round((local - timedelta(days=self.days)).timestamp() * 1000)

    async def see(
        self, start: int, end: int, every: str, store: ServingStore, watched: Watched
    ) -> MetricView:
        try:
            wish = replace(self.wish, start=self.at(start), end=self.at(end), every=every)
        except OverflowError as error:
            raise QueryError("the range before it is not in the years 1 to 9999") from error
        return await see(self.metric, wish, store, watched)


async def with_earlier(
    view: MetricView, metric: Metric, wish: Wish, days: int, store: ServingStore, watched: Watched
) -> MetricView:
    """A view of one line, and beside each point what was so many days before.

    A bucket that is in progress is compared with the same part of the earlier one: a day that has
    just begun is always less than a whole one.

    Raises:
        QueryError: The earlier range leaves what dates can be.
        StoreUnavailableError: The store cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    earlier = _Earlier(metric, wish, ZoneInfo(view.about["zone"]), days)
    whole = await earlier.see(wish.start, wish.end, wish.every, store, watched)
    ends = _ends(view)
    numbers = {bucket: number for number, bucket in enumerate(_ends(whole).items())}
    # What is of another length, in months or where clocks change, would say something else.
    places: dict[int, _Place] = {
        start: (whole, numbers[bucket])
        for start, end in ends.items()
        if (bucket := (earlier.at(start), earlier.at(end))) in numbers
    }
    parts = dict(places)
    fresh = view.about["fresh_until"]
    until = 0 if fresh is None else floor_to(parse_instant(fresh), MINUTE_MS)
    for start in [start for start in places if start <= until < ends[start]]:
        del parts[start]
        if start < until:
            parts[start] = await earlier.see(start, until, "all", store, watched), 0
    changes = _add_points(view, places, parts, BEFORE[f"{days}d"])
    rows = []
    for start, label, cells, state in view.rows:
        named = zip(metric.columns, cells, strict=True)
        changed = [
            f"{cell} ({change})" if (change := changes.get((start, name))) else cell
            for name, cell in named
        ]
        rows.append((start, label, changed, state))
    return view._replace(rows=rows)


def has_earlier(view: MetricView) -> bool:
    """Whether any point has one of before beside it."""
    return any(
        value is not None for line in _lines(view).values() for value in line.get("before", ())
    )


def _ends(view: MetricView) -> dict[int, int]:
    """The end of each bucket by its start, ms UTC."""
    times = cast("list[int]", view.data["times"])
    return dict(zip(times, [*times[1:], cast("int", view.data["to"])], strict=True))


def _add_points(
    view: MetricView, places: Mapping[int, _Place], parts: Mapping[int, _Place], said: str
) -> dict[tuple[int, str], str]:
    """Give each line its earlier one, and say so in its texts; the changes by bucket and measure.

    Args:
        places: Where the points of the earlier line are, by start of the bucket.
        parts: Where those are that points are compared with.
    """
    changes: dict[tuple[int, str], str] = {}
    starts = list(_ends(view))
    for name, line in _lines(view).items():
        line["before"] = [_point(places.get(start), name)[0] for start in starts]
        points = zip(starts, line["value"], line["text"], strict=True)
        line["text"] = texts = list[str | None]()
        for start, value, text in points:
            before, text_before = _point(parts.get(start), name)
            if text_before is not None:
                part = "" if parts[start] == places[start] else ", up to the same minute"
                text_before = f"{said}{part}: {text_before}"
                changes[start, name] = _change(value, before)
            change = changes.get((start, name))
            texts.append(" · ".join(filter(None, (text, text_before, change))) or None)
    return changes


def _lines(view: MetricView) -> dict[str, dict[str, Any]]:
    """The only line of each chart, by its measure."""
    charts = cast("list[dict[str, Any]]", view.data["charts"])
    return {chart["measure"]: chart["lines"][0] for chart in charts}


def _point(place: _Place | None, measure: str) -> tuple[Any, str | None]:
    """The value and the text of a point; None where nothing is known."""
    if place is None:
        return None, None
    view, number = place
    line = _lines(view)[measure]
    return line["value"][number], line["text"][number]


def _change(value: float | None, before: float | None) -> str:
    """By how much it is more or less, in percent; nothing where it is not, or that is no number."""
    if value is None or not before or value == before:
        return ""
    share = (value - before) / abs(before)
    return "<0.1%" if abs(share) < _LEAST else f"{share:+,.1%}"
