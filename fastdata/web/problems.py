"""What goes wrong: for programs as `application/problem+json` (RFC 9457), for people as a page."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Scope

from fastdata.errors import (
    ArchiveUnavailableError,
    BrokerError,
    BusyError,
    FastdataError,
    QueryError,
    StoreError,
    UnknownMetricError,
    mask_url,
)
from fastdata.web.rendering import render

__all__ = ["MEDIA_TYPE", "problem", "status_of", "take_problems"]

MEDIA_TYPE = "application/problem+json"
_FOR_PROGRAMS = ("/api/", "/health/")
_RETRY_AFTER_S = 2
_PLAIN = {
    404: "there is nothing at this address: /api/docs lists the paths of the API",
    405: "nothing can be changed here: ask with GET",
}
_UNAVAILABLE = (BusyError, StoreError, BrokerError, ArchiveUnavailableError)
_log = logging.getLogger(__name__)


def problem(
    scope: Scope, status: int, detail: str, headers: dict[str, str] | None = None
) -> Response:
    """A response that says what happened, and what to do; secrets of URLs in it are masked.

    Args:
        scope: Of the request; its path tells whether a program asks or a person.
    """
    title = HTTPStatus(status).phrase
    # A word of a request may hold what is no text.
    shown = mask_url(detail).encode(errors="replace").decode()
    if not scope["path"].startswith(_FOR_PROGRAMS):
        about = {"page": "", "status": status, "title": title, "problem": shown}
        return render("problem.html", about, status, headers)
    body = {"type": "about:blank", "title": title, "status": status, "detail": shown}
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def take_problems(app: FastAPI) -> None:
    """Have an app say all errors like that, but for those of a bug, which `Guard` sees."""
    app.add_exception_handler(FastdataError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_words)
    app.add_exception_handler(HTTPException, _of_http)


async def _of_ours(request: Request, error: Exception) -> Response:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s", mask_url(str(error)))
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status == 503 else None
    return problem(request.scope, status, str(error), headers)


def status_of(error: Exception) -> int:
    """The code that goes with an error of ours."""
    if isinstance(error, UnknownMetricError):
        return 404
    if isinstance(error, QueryError):
        return 400
    return 503 if isinstance(error, _UNAVAILABLE) else 500


async def _of_words(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (it is registered for these)
    lines = []
    for wrong in error.errors():
        name = ".".join(str(part) for part in wrong["loc"][1:])
        said = "there is no such word" if wrong["type"] == "extra_forbidden" else wrong["msg"]
        lines.append(f"{name}: {said}")
    return problem(request.scope, 400, "; ".join(lines) + " (/api/docs lists all words)")


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (it is registered for these)
    detail = _PLAIN.get(error.status_code, error.detail)
    return problem(request.scope, error.status_code, detail, dict(error.headers or {}))
