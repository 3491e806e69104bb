"""Metrics, their answers, and what changes in them."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import StreamingResponse

from fastdata.verify.errors_metric import find_asked
from fastdata.web.dependency import TheDesk
from fastdata.web.models import MetricAnswer, MetricList, responses
from fastdata.web.reports import metrics_of
from fastdata.web.words import MEDIA_TYPES, QueryWords, form_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["answers"])

_Name = Annotated[
    str, Path(description="Of a metric, derived or not; of `NAME:error`, how far speed was off.")
]


@router.get("/metrics", responses=responses(401, 503))
async def list_metrics(desk: TheDesk) -> MetricList:
    """All declared metrics, and of which time anything is known."""
    return await metrics_of(desk)


_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": MetricAnswer,
        "description": "The answer; rows of `text/csv` and Arrow have the columns of `rows`.",
        "content": {MEDIA_TYPES["csv"]: {}, MEDIA_TYPES["arrow"]: {}},
        "headers": {
            "ETag": {
                "description": "Weak: the same while only fresh_until and read_until move on.",
                "schema": {"type": "string"},
            }
        },
    },
    304: {"description": "Nothing has changed since the tag that was sent."},
}


@router.get(
    "/metrics/{name}/query", responses=_FORMS | responses(400, 401, 404, 503), response_model=None
)
async def query_metric(
    name: _Name,
    words: Annotated[QueryWords, Query()],
    desk: TheDesk,
    accept: Annotated[str, Header()] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Answer a metric over an interval, as `fastdata query` does.

    Send the `ETag` of the last answer as `If-None-Match`: the response is 304 while nothing but
    `fresh_until` and `read_until` would be another.
    """
    metric = find_asked(desk.catalog, name)
    form = form_of(words.format, accept)
    question, tag, key = await desk.answers.tag(metric, words, form)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    if if_none_match.strip() == "*" or tag in [t.strip() for t in if_none_match.split(",")]:
        return Response(status_code=304, headers=headers)
    body = await desk.answers.body(question, key, words.limit, form)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[form])


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses=responses(400, 401, 404)
    | {
        200: {"content": {"text/event-stream": {}}, "description": "Events, until either end goes."}
    },
)
async def stream_changes(
    desk: TheDesk,
    metric: Annotated[
        list[str], Query(description="Only of these; without it of all.", max_length=100)
    ] = [],  # noqa: B006  (it is not changed)
) -> StreamingResponse:
    """Say what changes, as server-sent events, and no values: ask for those.

    * `open`: from now on changes are told; ask for what you show once after each of these.
    * `change`: `{"metric", "start", "end", "fresh_until", "read_until"}`: rows that touch
      `[start, end)` are others now; both are null where it is only read further.
    * `problem`: `{"detail"}`: changes cannot be told for now.

    A comment every 15 s is a sign of life. Changes of a reader that is slow are told as one. When
    the server stops, the stream ends.
    """
    names = [desk.catalog.metric(name).name for name in metric] or list(desk.catalog.metrics)
    return StreamingResponse(
        desk.changes.stream(names),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
