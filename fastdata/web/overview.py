"""The pages of those who run it: pipeline, replays, quality and dead letters."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import FastdataError
from fastdata.web.dependency import TheDesk
from fastdata.web.desk import Desk
from fastdata.web.history import rates, trend
from fastdata.web.problems import status_of as code_of
from fastdata.web.rendering import render, show_age
from fastdata.web.reports import letters_of, quality_of, status_of
from fastdata.web.words import RangeWords

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_EVERY_MS = 5_000
_LETTERS = 50
_LATE_S = 60
_UNKNOWN = [("Not all of it can be known now, for the reasons above.", "warn")]


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
        parts.append((f"No worker has read {len(partitions) - len(seen)} partitions.", "bad"))
    if lags and max(lags) > _LATE_S:
        parts.append((f"The worst partition is {show_age(max(lags))} behind.", "warn"))
    elif seen and max(seen) > _LATE_S:
        parts.append((f"No worker has reported for {show_age(max(seen))}.", "bad"))
    elif seen:
        parts.append((f"Fresh: {show_age(max(seen))} behind.", "good"))
    dead = sum(n for reason, n in source["unfolded"].items() if reason.startswith("dead:"))
    parts.append((f"{dead:,} dead letters.", "warn" if dead else ""))
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
    """Of each metric the newest replay, and what waits for the next one."""
    page: dict[str, Any] = {"page": "Replays", "every_ms": _EVERY_MS}
    metrics = sorted(desk.catalog.metrics.values(), key=lambda metric: metric.name)
    try:
        looks = await asyncio.gather(*[desk.looks.at(metric) for metric in metrics])
    except FastdataError as error:
        return render("replays.html", page | {"problem": error}, code_of(error))
    rows = []
    for metric, look in zip(metrics, looks, strict=True):
        hours = sum(end - start for start, end in look.unreplayed) // HOUR_MS
        rows.append(
            {
                "name": metric.name,
                "run": look.run,
                "start": look.run and _day(look.run.start),
                "end": look.run and _day(look.run.end),
                "waiting": f"{hours:,} hours" if hours else "nothing",
            }
        )
    return render("replays.html", page | {"replays": rows})


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


@router.get("/quality")
async def show_quality(desk: TheDesk) -> Response:
    """How far the speed layer was off, by cause."""
    page: dict[str, Any] = {"page": "Quality"}
    try:
        quality = await quality_of(desk, RangeWords.model_validate({}))
    except FastdataError as error:
        return render("quality.html", page | {"problem": error}, code_of(error))
    return render("quality.html", page | {"metrics": quality.metrics})


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
