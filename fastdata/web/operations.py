"""How the layers are: status, dead letters, replays, quality, and health of the server itself."""

import asyncio
import time
from dataclasses import asdict
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Response

from fastdata.answer.batches import json_rows
from fastdata.answer.query import question_of
from fastdata.archive import open_archive_storage
from fastdata.coordinates.instants import now_ms, to_iso
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import FastdataError, QueryError, mask_url
from fastdata.kafka.connection import Broker
from fastdata.operate.letters import Page, read_letters
from fastdata.operate.log_reader import LogReader
from fastdata.operate.status import StatusReader
from fastdata.speed.dead_letters import dead_letter_topic
from fastdata.store.protocol import ServingStore
from fastdata.verify.errors_metric import errors_of
from fastdata.web.desk import Desk, TheDesk
from fastdata.web.models import Letters, Quality, Replays, responses
from fastdata.web.words import RangeWords

__all__ = ["letters_of", "quality_of", "router", "status_of"]

router = APIRouter(tags=["operations"])

_READY_S = 3.0
_MAX_LETTERS = 200


@router.get("/api/v1/status", responses=responses(401, 503))
async def read_status(desk: TheDesk) -> dict[str, Any]:
    """How far each layer is, as `fastdata status --json` says it.

    What cannot be reached is named in `problems`; the rest is there nevertheless.
    """
    return await status_of(desk)


async def status_of(desk: Desk) -> dict[str, Any]:
    """The status, read at most once a second for all who ask."""
    return await desk.status.get(lambda: _status(desk))


async def _status(desk: Desk) -> tuple[dict[str, Any], float]:
    began, problems = time.monotonic(), list[str]()

    async def read(store: ServingStore | None, _deadline: float) -> dict[str, Any]:
        archive = None
        try:
            archive = await asyncio.to_thread(
                open_archive_storage, desk.settings.archive, create=False
            )
        except FastdataError as error:
            problems.append(str(error))
        with LogReader(Broker.of(desk.settings)) as log:
            reader = StatusReader(
                desk.catalog,
                store=store,
                archive=archive,
                log=log,
                application_id=desk.settings.application_id,
            )
            return (await reader.read(now_ms())).as_dict()

    try:
        status = await desk.readers.run(read, desk.settings.web_timeout_s)
    except FastdataError as error:
        problems.append(str(error))
        status = await read(None, 0)
    said = [*problems, *cast("list[str]", status["problems"])]
    masked = {"problems": [mask_url(text) for text in said]}
    return status | masked, time.monotonic() - began


@router.get("/api/v1/dead-letters", responses=responses(400, 401, 503))
async def list_dead_letters(
    desk: TheDesk,
    source: Annotated[str | None, Query(description="Needed where there are several.")] = None,
    reason: Annotated[str | None, Query(description="Only these, as in `malformed`.")] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_LETTERS)] = 50,
    before: Annotated[
        str, Query(description="`next` of the page before.", pattern=r"^(\d+:\d+(,\d+:\d+)*)?$")
    ] = "",
) -> Letters:
    """Records of a source that could not be read, the newest first.

    Of one `reason` a page may have fewer than `limit`, or none, and more may come after it.

    Raises:
        QueryError: There is no such source.
    """
    return await letters_of(desk, source, reason, limit, before)


async def letters_of(
    desk: Desk, source: str | None, reason: str | None, limit: int, before: str
) -> Letters:
    """A page of dead letters.

    Raises:
        QueryError: There is no such source.
        BrokerError: The broker cannot be used; retriable.
    """
    topic = dead_letter_topic(_source(desk, source).topic)
    parts = [part.split(":") for part in before.split(",") if part]
    places = {int(p): min(int(offset), 1 << 62) for p, offset in parts}

    def read() -> Page:
        with LogReader(Broker.of(desk.settings)) as log:
            return read_letters(log, topic, limit, reason, places)

    page = await asyncio.to_thread(read)
    after = page.before and ",".join(f"{p}:{offset}" for p, offset in sorted(page.before.items()))
    letters = [asdict(letter) for letter in page.letters]
    return Letters.model_validate({"topic": topic, "letters": letters, "next": after})


def _source(desk: Desk, name: str | None) -> Source:
    sources = desk.catalog.sources
    if name is None and len(sources) == 1:
        return next(iter(sources.values()))
    if name not in sources:
        have = ", ".join(sorted(sources)) or "none"
        raise QueryError(f"source is {name or 'missing'}; those that are declared: {have}")
    return sources[name]


@router.get("/api/v1/replays", responses=responses(401, 503))
async def list_replays(desk: TheDesk) -> Replays:
    """Of each metric the newest replay, and the hours that the next one has something to count of.

    How long a replay took is not stored, so it is not told.
    """
    metrics = sorted(desk.catalog.metrics.values(), key=lambda metric: metric.name)
    looks = await asyncio.gather(*[desk.looks.at(metric) for metric in metrics])
    replays = [
        {
            "metric": metric.name,
            "run": look.run
            and {
                "number": look.run.number,
                "start": to_iso(look.run.start),
                "end": to_iso(look.run.end),
                "is_done": look.run.is_done,
            },
            "dirty": [{"start": to_iso(s), "end": to_iso(e)} for s, e in look.unreplayed],
        }
        for metric, look in zip(metrics, looks, strict=True)
    ]
    return Replays.model_validate({"replays": replays})


@router.get("/api/v1/quality", responses=responses(400, 401, 404, 503))
async def read_quality(
    desk: TheDesk,
    words: Annotated[RangeWords, Query()],
) -> Quality:
    """How far the speed layer was off, by measure and cause, as verifications stored it.

    It is what `fastdata verify --store-result` found; empty when none was stored.
    """
    return await quality_of(desk, words)


async def quality_of(desk: Desk, words: RangeWords) -> Quality:
    """What verifications found, of all metrics.

    Raises:
        QueryError: A word is wrong.
        StoreError: The store failed.
    """
    metrics = sorted(desk.catalog.metrics.values(), key=lambda metric: metric.name)
    rows = await asyncio.gather(*[_errors(desk, metric, words) for metric in metrics])
    quality = [
        {"metric": m.name, "causes": causes} for m, causes in zip(metrics, rows, strict=True)
    ]
    return Quality.model_validate({"metrics": quality})


async def _errors(desk: Desk, metric: Metric, words: RangeWords) -> list[dict[str, object]]:
    errors = errors_of(metric)
    question = question_of(
        errors,
        words.start,
        words.end,
        last=words.last,
        every="all",
        zone=words.zone,
        by=["measure", "cause"],
    )

    async def read(store: ServingStore, _deadline: float) -> list[dict[str, object]]:
        return list(json_rows(await question.answer(store)))

    return await desk.readers.run(read, desk.settings.web_timeout_s)


@router.get("/health/live")
async def live() -> dict[str, str]:
    """200 while the server takes requests."""
    return {"status": "live"}


@router.get("/health/ready", responses={503: {"description": "Not ready; `problems` says why."}})
async def ready(desk: TheDesk, response: Response) -> dict[str, object]:
    """200 when metrics are declared and the store can be read, else 503 with `problems`."""
    problems = [] if desk.catalog.metrics else ["no metric is declared: check FASTDATA_AGENTS"]

    async def read(store: ServingStore, _deadline: float) -> None:
        for source in desk.catalog.sources.values():
            await store.progress(source.topic)

    try:
        await desk.readers.run(read, _READY_S)
    except FastdataError as error:
        problems.append(mask_url(str(error)))
    response.status_code = 503 if problems else 200
    return {"status": "not ready" if problems else "ready", "problems": problems}
