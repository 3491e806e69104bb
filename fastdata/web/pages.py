"""The pages for people; without scripts, too, their tables say all that there is to say."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.instants import (
    HOUR_MS,
    MINUTE_MS,
    ceil_to,
    floor_to,
    now_ms,
    parse_duration,
    to_datetime,
)
from fastdata.coordinates.moments import parse_range
from fastdata.declare.metric import Metric
from fastdata.errors import FastdataError, QueryError
from fastdata.store.protocol import ServingStore
from fastdata.verify.errors_metric import find_metric
from fastdata.web.answers import RowWatch
from fastdata.web.charts import MOST_LINES, MOST_ROWS, MetricView, Wish, charted, grain_for, see
from fastdata.web.dependency import TheDesk
from fastdata.web.desk import Desk
from fastdata.web.earlier import BEFORE, days_of, has_earlier, with_earlier
from fastdata.web.looks import Look
from fastdata.web.problems import status_of
from fastdata.web.readers import Deadline
from fastdata.web.rendering import render, show_age

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_LASTS = {
    "": "(automatic)", "1h": "hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days",
    "30d": "30 days", "90d": "90 days", "all": "all that is known",
}  # fmt: skip
_EVERIES = ("1m", "5m", "15m", "1h", "day", "week", "month")
_DAY_MS = 24 * HOUR_MS
_LATE_S = 60
_EVERY_MS = 30_000  # also where nothing changes: how far it is behind does


class PageWords(BaseModel):
    """What the URL of a metric's page asks for; it holds the whole state of the page."""

    model_config = ConfigDict(extra="ignore")

    metric: str = ""
    last: str = ""
    start: str = Field("", alias="from")
    end: str = Field("", alias="to")
    every: str = ""
    by: str = ""
    where: str = ""
    before: str = ""
    zone: str = ""

    def url(self, **changed: str) -> str:
        """The URL of the same page with other words."""
        words = self.model_dump(by_alias=True, exclude={"metric"}) | changed
        return "?" + urlencode({name: value for name, value in words.items() if value})


@router.get("/")
async def show_first(desk: TheDesk) -> Response:
    """To the first metric, if there is one."""
    if desk.catalog.metrics:
        return RedirectResponse(f"/metrics/{min(desk.catalog.metrics)}", 302)
    return render("nothing.html", {"page": "Metrics"})


@router.get("/metrics/{name}")
async def show_metric(
    name: Annotated[str, Path()],
    words: Annotated[PageWords, Query()],
    desk: TheDesk,
) -> Response:
    """Charts and a table of one metric."""
    if words.metric and words.metric != name:
        kept = words.model_copy(update={"by": "", "where": ""})
        return RedirectResponse(f"/metrics/{words.metric}{kept.url()}", 302)
    metric = find_metric(desk.catalog, name)
    try:
        look = await desk.looks.at(metric)
    except FastdataError as error:
        page = _frame(desk, metric, words) | {"problem": error}
        return render("metric.html", page, status_of(error))
    now = now_ms()
    # Who looks at the same in the same second shares it; its sentence says how many it is behind.
    key = repr((metric.id, name, words, look.taken_ns, now // 1000))
    return await desk.pages.get(key, lambda: _page(desk, metric, words, look, now))


async def _page(desk: Desk, metric: Metric, words: PageWords, look: Look, now: int) -> HTMLResponse:
    page = _frame(desk, metric, words) | {"says": _sentence(look, metric, now)}
    try:
        days = 0 if words.by else days_of(words.before)
        wish = _wish(metric, words, look, now)
        if wish is not None:
            view = await _view(desk, metric, wish, days, look)
            page |= _shown(view, metric, words, wish) | {"has_before": has_earlier(view)}
            page["says"] = [*_sentence(look, metric, now), (_certainty(view, now), "")]
    except FastdataError as error:
        return render("metric.html", page | {"problem": error}, status_of(error))
    return render("metric.html", page)


def _frame(desk: Desk, metric: Metric, words: PageWords) -> dict[str, object]:
    """What is around an answer, whatever it is."""
    return {
        "page": "Metrics",
        # Of what is not declared, as the errors of a metric, no changes are told.
        "follows": metric.name if metric.name in desk.catalog.metrics else "",
        "every_ms": _EVERY_MS,
        "metric": metric,
        "metrics": sorted(desk.catalog.metrics),
        "words": words,
        "lasts": _LASTS,
        "everies": _EVERIES,
        "befores": BEFORE,
        "example": _example(metric),
        "charted": charted(metric),
        "zone": words.zone or metric.calendar.zone,
    }


async def _view(desk: Desk, metric: Metric, wish: Wish, days: int, look: Look) -> MetricView:
    """What is asked for; and, of so many days before, what there was.

    It is laid out once for all who look at the same.
    """

    async def lay_out(store: ServingStore, deadline: Deadline) -> MetricView:
        watched = RowWatch(desk.settings.web_max_rows, deadline).rows
        view = await see(metric, wish, store, watched)
        return await with_earlier(view, metric, wish, days, store, watched) if days else view

    # Days before may be an hour longer.
    first = wish.start - (days + 1) * _DAY_MS if days else wish.start
    mark = look.mark(floor_to(first, HOUR_MS), ceil_to(wish.end, HOUR_MS))
    key = repr((mark, look.fresh_until, look.read_until, metric.id, metric.measures, wish, days))
    run, timeout_s = desk.answers.readers.run, desk.settings.web_timeout_s
    return await desk.views.get(key, lambda: run(lay_out, timeout_s))


def _shown(view: MetricView, metric: Metric, words: PageWords, wish: Wish) -> dict[str, object]:
    zone = ZoneInfo(view.about["zone"])
    start, end = _local(wish.start, zone), _local(wish.end, zone)
    asked = {
        "from": start.isoformat(),
        "to": end.isoformat(),
        "every": wish.every,
        "by": wish.by,
        "where": wish.where,
        "zone": wish.zone,
    }
    query = urlencode({word: text for word, text in asked.items() if text})
    return {
        "view": view,
        "every": wish.every,
        "range": f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}",
        "zone": view.about["zone"],
        "columns": [*([wish.by] if wish.by else []), *metric.columns],
        "most_rows": MOST_ROWS,
        "most_lines": MOST_LINES,
        "query": f"/api/v1/metrics/{metric.name}/query?{query}",
        "narrowed": [
            line.where and words.url(where=_both(words.where, line.where), by="")
            for line in view.lines
        ],
    }


def _both(first: str, second: str) -> str:
    return f"({first}) AND {second}" if first else second


def _wish(metric: Metric, words: PageWords, look: Look, now: int) -> Wish | None:
    """What the words ask for, in whole buckets; None while nothing is known of the metric.

    Raises:
        QueryError: A word is wrong.
    """
    if look.held is None:
        return None
    try:
        calendar = Calendar(words.zone or metric.calendar.zone)
    except ValueError as error:
        raise QueryError(f"zone: {error}") from error
    start, end = _range(metric, words, look.held, calendar, now)
    every = words.every or grain_for(start, end)
    try:
        start, end = _whole(calendar, every, start, end)
        to_datetime(start), to_datetime(end)
    except ValueError as error:
        raise QueryError(f"every: {error}") from error
    except OverflowError as error:
        raise QueryError("not all of that range is in the years 1 to 9999") from error
    others = words.by or None, words.where or None, words.zone or None
    return Wish(start, end, every, look.held, *others)


def _whole(calendar: Calendar, every: str, start: int, end: int) -> tuple[int, int]:
    """The range, widened to whole buckets.

    Raises:
        ValueError: There are no such buckets.
        OverflowError: They leave what dates can be.
    """
    if every in _EVERIES[4:]:
        grain = Grain.parse(every)
        first, last = (next(iter(calendar.windows(grain, at, at + 1))) for at in (start, end - 1))
        return first[0], last[1]
    width = parse_duration(every)
    if width < MINUTE_MS:
        raise ValueError(f"{every} is less than a minute")
    return floor_to(start, width), ceil_to(end, width)


def _range(
    metric: Metric, words: PageWords, held: tuple[int, int], calendar: Calendar, now: int
) -> tuple[int, int]:
    is_chosen = words.start or words.end
    last = words.last or ("" if is_chosen or held[1] < now - _DAY_MS else "24h")
    if last == "all" or not (last or is_chosen):
        return held
    try:
        texts = words.start or None, words.end or None, last or None
        start, end = parse_range(*texts, calendar, now)
    except ValueError as error:
        raise QueryError(str(error)) from error
    start, end = held[0] if start is None else start, held[1] if end is None else end
    if end <= start:
        raise QueryError(
            f"nothing is known there: {metric.name} has events {_told(held, calendar)}"
        )
    return start, end


def _told(held: tuple[int, int], calendar: Calendar) -> str:
    first, last = (_local(ms, ZoneInfo(calendar.zone)) for ms in held)
    return f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"


def _example(metric: Metric) -> str:
    name = next(iter(metric.by), "")
    return f"{name} = 5" if name and metric.dimension_type(name).kind == "int" else f"{name} = 'x'"


def _local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)


# --- the first line of all ----------------------------------------------------------------------
def _sentence(look: Look, metric: Metric, now: int) -> list[tuple[str, str]]:
    """How fresh and how exact all of it is: parts of a sentence, each with how bad it is."""
    zone = ZoneInfo(metric.calendar.zone)
    if look.held is None:
        return [("Nothing is known of it yet.", "warn")]
    parts = []
    if look.read_until is None:
        parts.append(("No worker has read all of the log.", "warn"))
    else:
        behind_s = max(now - look.read_until, 0) // 1000
        text = f"Fresh to {_clock(look.read_until, zone, now)} ({show_age(behind_s)} behind)."
        parts.append((text, "warn" if behind_s > _LATE_S else ""))
    return parts


def _certainty(view: MetricView, now: int) -> str:
    """Up to when rows are exact, and how many before that are not."""
    exact = [is_exact for _, is_exact in view.ends]
    if not any(exact):
        return "Nothing of this range is exact yet."
    if all(exact):
        return "All of this range is exact."
    last = len(exact) - exact[::-1].index(True)
    until = _clock(view.ends[last - 1][0], ZoneInfo(view.about["zone"]), now)
    holes = exact[:last].count(False)
    return f"Exact to {until}" + (f", but for {holes:,} buckets before." if holes else ".")


def _clock(ms: int, zone: ZoneInfo, now: int) -> str:
    """A moment, with its date where that is another than today, or where it is a day's end."""
    moment, today = (datetime.fromtimestamp(t / 1000, UTC).astimezone(zone) for t in (ms, now))
    is_today = moment.date() == today.date() and moment.time() != moment.min.time()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M:%S}"
