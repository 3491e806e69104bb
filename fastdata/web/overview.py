"""The pages of those who run it: alerts, pipeline, replays, quality and dead letters."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from fastdata.coordinates.instants import HOUR_MS, now_ms, parse_duration, to_datetime
from fastdata.declare.metric import Metric
from fastdata.errors import FastdataError
from fastdata.store.past_runs import PastRun, next_run
from fastdata.web.charts import MOST_LINES
from fastdata.web.dependency import TheDesk
from fastdata.web.desk import Desk
from fastdata.web.history import rates, trend
from fastdata.web.looks import Look
from fastdata.web.problems import status_of as code_of
from fastdata.web.quality import Verified, all_causes, chart_data, trends_of, verified_of
from fastdata.web.rendering import render, show_age
from fastdata.web.reports import alerts_of, letters_of, quality_of, replays_of, status_of
from fastdata.web.words import RangeWords

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_EVERY_MS = 5_000
_LETTERS = 50
_LATE_S = 60
_LASTS = {"": "all that is stored"} | {
    last: f"the last {last[:-1]} {'hours' if last.endswith('h') else 'days'}"
    for last in ("24h", "7d", "30d", "90d")
}
_NOTHING = (
    "The speed layer could not be compared: nothing was new since the replay before, or"
    " no worker had folded it. fastdata verify --json says which."
)
_UNKNOWN = [("Not all of it can be known now, for the reasons above.", "warn")]


@router.get("/alerts")
async def show_alerts(desk: TheDesk) -> Response:
    """What is open, up to when each alert is judged, and what was told, the newest first."""
    page: dict[str, Any] = {"page": "Alerts", "every_ms": _EVERY_MS}
    try:
        page["alerts"] = alerts = await alerts_of(desk)
    except FastdataError as error:
        return render("alerts.html", page | {"problem": error}, code_of(error))
    events = [event for alert in alerts for event in alert.kept.events]
    page["events"] = sorted(events, key=lambda event: event.at, reverse=True)
    return render("alerts.html", page)


@router.get("/pipeline")
async def show_pipeline(desk: TheDesk) -> Response:
    """How far each layer is, the worst first of all."""
    status: dict[str, Any] = (await status_of(desk)).as_dict()
    is_known = not status["problems"]
    sentences = {s["source"]: _sentence(s) if is_known else _UNKNOWN for s in status["sources"]}
    curves = {s["source"]: _curves(desk, s["source"]) for s in status["sources"]}
    page = {"page": "Pipeline", "every_ms": _EVERY_MS, "status": status}
    return render("pipeline.html", page | {"sentences": sentences, "curves": curves})


def _sentence(source: dict[str, Any]) -> list[tuple[str, str]]:
    """What an operator asks first: is it running, how far behind, what was lost."""
    partitions = source["partitions"]
    if not partitions:
        return [("Nothing was written yet.", "warn")]
    lags = [p["lag_s"] for p in partitions if p["lag_s"] is not None]
    seen = [p["read_age_s"] for p in partitions if p["read_age_s"] is not None]
    parts = []
    if len(seen) < len(partitions):
        unread = _numbered(len(partitions) - len(seen), "partition")
        parts.append((f"No worker has read {unread}.", "bad"))
    if lags and max(lags) > _LATE_S:
        parts.append((f"The worst partition is {show_age(max(lags))} behind.", "warn"))
    elif seen and max(seen) > _LATE_S:
        parts.append((f"No worker has reported for {show_age(max(seen))}.", "bad"))
    elif seen:
        parts.append((f"Fresh: {show_age(max(seen))} behind.", "good"))
    dead = sum(n for reason, n in source["unfolded"].items() if reason.startswith("dead:"))
    before = sum(source["dead_before"].values())
    note = f", {'all' if before == dead else f'{before:,}'} of an earlier log" if before else ""
    parts.append((f"{_numbered(dead, 'dead letter')}{note}.", "warn" if dead else ""))
    if source["gaps"]:
        skipped = sum(gap["end"] - gap["start"] for gap in source["gaps"])
        parts.append((f"{skipped:,} events were skipped; the next replay heals that.", "warn"))
    return parts


def _curves(desk: Desk, source: str) -> list[tuple[str, str, str]]:
    """What the last hour was like: the last value, what it is, and its curve."""
    samples = desk.history.of(source)
    curves = []
    if folding := trend(rates(samples)):
        curves.append((f"{folding.values[-1]:,.0f} events/s", "folded", folding.path))
    if behind := trend([s.behind_s for s in samples if s.behind_s is not None]):
        curves.append((show_age(behind.values[-1]), "behind", behind.path))
    return curves


@router.get("/replays")
async def show_replays(desk: TheDesk) -> Response:
    """Of each metric the newest replay, what waits for the next one, and those that are over."""
    page: dict[str, Any] = {"page": "Replays", "every_ms": _EVERY_MS}
    try:
        replays = await replays_of(desk)
    except FastdataError as error:
        return render("replays.html", page | {"problem": error}, code_of(error))
    now = now_ms()
    page["replays"] = [_replay(*replay, now) for replay in replays]
    past = [
        (run.began, {"metric": metric.name, "began": _second(run.began), "run": run})
        for metric, _, runs in replays
        for run in runs
    ]
    page["past"] = [row for _, row in sorted(past, key=lambda pair: pair[0], reverse=True)]
    return render("replays.html", page)


def _replay(metric: Metric, look: Look, past: list[PastRun], now: int) -> dict[str, Any]:
    """What the page says of one metric."""
    hours = sum(end - start for start, end in look.unreplayed) // HOUR_MS
    run = look.run
    return {
        "metric": metric.name,
        "run": run,
        "range": run and f"{_minute(run.start)} to {_minute(run.end)}",
        "is_done": run is not None and run.is_done,
        "waiting": _numbered(hours, "hour") if hours else "nothing",
        "next": _next(next_run(past), is_running=run is not None and not run.is_done, now=now),
    }


def _next(due: int | None, is_running: bool, now: int) -> tuple[str, str]:
    """When a schedule comes again, and how bad that is."""
    if due is None:
        return "no schedule is known", "soft"
    if due > now:
        return f"by {_second(due)}", ""
    late_s = (now - due) / 1000
    is_late = late_s > _LATE_S and not is_running
    return f"was due at {_second(due)}, {show_age(late_s)} ago", "warn" if is_late else ""


def _numbered(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _minute(ms: int) -> str:
    return f"{to_datetime(ms):%Y-%m-%d %H:%M}"


def _second(ms: int) -> str:
    return f"{to_datetime(ms):%Y-%m-%d %H:%M:%S}"


@router.get("/quality")
async def show_quality(
    desk: TheDesk, last: Annotated[Literal["", "24h", "7d", "30d", "90d"], Query()] = ""
) -> Response:
    """How far the speed layer was off, by cause and over time."""
    page: dict[str, Any] = {"page": "Quality", "last": last, "lasts": _LASTS, "data": None}
    words = RangeWords.model_validate({"last": last} if last else {})
    try:
        verified = await verified_of(desk)
        quality = await quality_of(desk, words, verified)
        trends = await trends_of(desk, verified, parse_duration(last) if last else None)
    except FastdataError as error:
        return render("quality.html", page | {"problem": error}, code_of(error))
    by_metric = {of_metric.metric.name: of_metric for of_metric in trends}
    page["metrics"] = [
        {
            "name": item.metric.name,
            "causes": of_metric.causes,
            "says": _verification(item, has_rows=bool(of_metric.causes)),
            "trends": by_metric.get(item.metric.name),
        }
        for item, of_metric in zip(verified, quality.metrics, strict=True)
    ]
    if trends:
        page |= {"data": chart_data(trends), "every": trends[0].buckets.every}
        page |= {"causes": all_causes(trends), "most_lines": MOST_LINES}
    return render("quality.html", page)


def _verification(verified: Verified, has_rows: bool) -> tuple[str, str]:
    """What the newest verification compared, and how bad: nothing is not no verification."""
    past, waits = verified.last, verified.waits_for
    nothing = _NOTHING if waits is None else f"{waits[:1].upper()}{waits[1:]}."
    if past is None:
        if has_rows:
            return "When the newest verification was is not stored.", "soft"
        if verified.hours:
            return f"{_numbered(len(verified.hours), 'hour')} verified. {nothing}", "warn"
        none = "No verification of it was stored yet: fastdata verify --store-result."
        return none if waits is None else f"{none} {nothing}", "soft"
    hours = past.counted + past.confirmed
    said = f"Verified at {_second(past.began)} UTC in {past.took_s:,.1f} s"
    if past.error is not None:
        return f"{said}: {past.error}. fastdata verify names them.", "bad"
    if not hours:
        return f"{said}: no replay had counted an hour of it, so nothing was compared.", "warn"
    if not past.counted:
        return f"{said}: {_numbered(hours, 'hour')}. {nothing}", "warn"
    compared = f"{past.counted:,} of {_numbered(hours, 'hour')}"
    return f"{said}: the speed layer was compared in {compared}.", ""


@router.get("/dead-letters")
async def show_letters(
    desk: TheDesk,
    source: Annotated[str, Query()] = "",
    reason: Annotated[str, Query()] = "",
    before: Annotated[str, Query(pattern=r"^(\d+:\d+(,\d+:\d+)*)?$")] = "",
) -> Response:
    """Records that could not be read, the newest first."""
    sources = sorted(desk.catalog.sources)
    page: dict[str, Any] = {
        "page": "Dead letters",
        "sources": sources,
        "source": source or next(iter(sources), ""),
        "reason": reason,
    }
    try:
        letters = await letters_of(desk, page["source"], reason or None, _LETTERS, before)
    except FastdataError as error:
        return render("letters.html", page | {"problem": error}, code_of(error))
    return render("letters.html", page | {"letters": letters})
