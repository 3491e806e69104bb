"""How the layers are: status, replays, quality, and health of the server itself."""

from fastapi import APIRouter, Response

from fastdata.errors import FastdataError, mask_url
from fastdata.store.protocol import ServingStore
from fastdata.web.desk import TheDesk

__all__ = ["router"]

router = APIRouter(tags=["operations"])

_READY_S = 3.0


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
