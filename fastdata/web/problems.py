"""What goes wrong, as `application/problem+json` (RFC 9457)."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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

__all__ = ["MEDIA_TYPE", "problem", "status_of", "take_problems"]

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 2
_UNAVAILABLE = (BusyError, StoreError, BrokerError, ArchiveUnavailableError)
_log = logging.getLogger(__name__)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A response that says what happened, and what to do; secrets of URLs in it are masked."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": mask_url(detail)}
    # A word of a request may hold what is no text.
    body["detail"] = str(body["detail"]).encode(errors="replace").decode()
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def take_problems(app: FastAPI) -> None:
    """Have an app say all errors like that, but for those of a bug, which `Guard` sees."""
    app.add_exception_handler(FastdataError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_words)
    app.add_exception_handler(HTTPException, _of_http)


async def _of_ours(_request: Request, error: Exception) -> JSONResponse:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s", mask_url(str(error)))
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status == 503 else None
    return problem(status, str(error), headers)


def status_of(error: Exception) -> int:
    """The code that goes with an error of ours."""
    if isinstance(error, UnknownMetricError):
        return 404
    if isinstance(error, QueryError):
        return 400
    return 503 if isinstance(error, _UNAVAILABLE) else 500


async def _of_words(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  (it is registered for these)
    lines = []
    for wrong in error.errors():
        name = ".".join(str(part) for part in wrong["loc"][1:])
        said = "there is no such word" if wrong["type"] == "extra_forbidden" else wrong["msg"]
        lines.append(f"{name}: {said}")
    return problem(400, "; ".join(lines) + " (/api/docs lists all words)")


async def _of_http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  (it is registered for these)
    return problem(error.status_code, error.detail, dict(error.headers or {}))
