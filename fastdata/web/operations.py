"""How the layers are: status, dead letters, replays, quality, and health of the server itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from fastdata.coordinates.instants import to_iso
from fastdata.errors import FastdataError, mask_url
from fastdata.store.past_runs import next_run
from fastdata.store.protocol import ServingStore
from fastdata.web.dependency import TheDesk
from fastdata.web.desk import Desk
from fastdata.web.models import Letters, Quality, Replays, responses
from fastdata.web.quality import verified_of
from fastdata.web.readers import Deadline
from fastdata.web.reports import alerts_of, letters_of, quality_of, replays_of, status_of
from fastdata.web.words import RangeWords

__all__ = ["router"]

router = APIRouter(tags=["operations"])

_READY_S = 3.0
_MAX_LETTERS = 200


@router.get("/api/v1/status", responses=responses(401, 503))
async def read_status(desk: TheDesk) -> dict[str, Any]:
    """How far each layer is, as `fastdata status --json` says it.

    What cannot be reached is named in `problems`; the rest is there nevertheless.
    """
    return (await status_of(desk)).as_dict()


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
    """
    return await letters_of(desk, source, reason, limit, before)


@router.get("/api/v1/replays", responses=responses(401, 503))
async def list_replays(desk: TheDesk) -> Replays:
    """Of each metric its replays, and the hours that the next one has something to count of.

    A replay that is killed or cancelled is not among those that are over.
    """
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
            "past_runs": [run.as_dict() for run in past],
            "next": None if (due := next_run(past)) is None else to_iso(due),
            "dirty": [{"start": to_iso(s), "end": to_iso(e)} for s, e in look.unreplayed],
        }
        for metric, look, past in await replays_of(desk)
    ]
    return Replays.model_validate({"replays": replays})


@router.get("/api/v1/alerts", responses=responses(401, 503))
async def list_alerts(desk: TheDesk) -> dict[str, list[dict[str, Any]]]:
    """What is open and pending of each alert, and its newest events, the newest first.

    An event is as its receiver gets it. `judged_until` is the end of the last window judged.
    """
    return {"alerts": [alert.as_dict() for alert in await alerts_of(desk)]}


@router.get("/api/v1/quality", responses=responses(400, 401, 404, 503))
async def read_quality(
    desk: TheDesk,
    words: Annotated[RangeWords, Query()],
) -> Quality:
    """How far the speed layer was off, by measure and cause, as verifications stored it.

    It is what `fastdata verify --store-result` found; `causes` is empty when none was stored, or
    when those that were compared nothing.
    """
    return await quality_of(desk, words, await verified_of(desk))


@router.get("/health/live")
async def live() -> dict[str, str]:
    """200 while the server takes requests."""
    return {"status": "live"}


@router.get("/health/ready", responses={503: {"description": "Not ready; `problems` says why."}})
async def ready(desk: TheDesk, response: Response) -> dict[str, object]:
    """200 when metrics are declared and the store can be read, else 503 with `problems`.

    The store is read at most once a second for all who ask.
    """
    problems = await desk.health.get(lambda: _problems(desk))
    response.status_code = 503 if problems else 200
    return {"status": "not ready" if problems else "ready", "problems": problems}


async def _problems(desk: Desk) -> tuple[list[str], float]:
    problems = [] if desk.catalog.metrics else ["no metric is declared: check FASTDATA_AGENTS"]

    async def read(store: ServingStore, _deadline: Deadline) -> None:
        for source in desk.catalog.sources.values():
            await store.progress(source.topic)

    try:
        await desk.readers.run(read, _READY_S)
    except FastdataError as error:
        problems.append(mask_url(str(error)))
    return problems, 0
