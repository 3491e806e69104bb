"""Where people type in the token, once for each browser."""

import asyncio
import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.requests import ClientDisconnect

from fastdata.web.dependency import TheDesk
from fastdata.web.rendering import render
from fastdata.web.security import cookie_name, session_of

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_YEAR_S = 365 * 24 * 3600
_MOST_BYTES = 4_096
_MOST_S = 10
_CLOSE = {"Connection": "close"}  # the rest of what is sent is not read


@router.get("/login")
async def ask_token(next: Annotated[str, Query()] = "/") -> Response:
    """The form."""
    return render("login.html", {"page": "", "next": next})


@router.post("/login")
async def take_token(request: Request, desk: TheDesk) -> Response:
    """A cookie for who has the token, who then gets the page that was asked for."""
    body = await _body(request)
    words = parse_qs(body.decode(errors="replace"))
    typed, target = (words.get(name, [""])[0] for name in ("token", "next"))
    # Only to pages of this server.
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\"))
    target = target if is_ours else "/"
    token = desk.settings.web_token.get_secret_value()
    if not token or not secrets.compare_digest(typed.encode(), token.encode()):
        about = {"page": "", "next": target, "problem": "That is not the token."}
        return render("login.html", about, 401)
    response = RedirectResponse(target, 303)
    response.set_cookie(
        cookie_name(request.scope),
        session_of(token),
        max_age=_YEAR_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


async def _body(request: Request) -> bytes:
    """What the form sends; nobody holds a connection with one that never ends."""
    body = b""
    try:
        async with asyncio.timeout(_MOST_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise HTTPException(413, "that is no token: it is too long", _CLOSE)
    except (TimeoutError, ClientDisconnect):
        said = f"the form did not come within {_MOST_S} s: send it again"
        raise HTTPException(408, said, _CLOSE) from None
    return body
