"""Who is let in, and what a browser may do with what it gets."""

import hmac
import logging
import secrets
from ipaddress import ip_address
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastdata.errors import SettingsError
from fastdata.web.problems import problem

__all__ = ["Guard", "check_address", "cookie_name", "is_loopback", "session_of"]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OPEN = ("/health/", "/assets/", "/login", "/api/docs", "/api/openapi.json")
_A_BUG = "something is wrong with fastdata itself: the server's log has the details"
_log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(host: str, token: str) -> None:
    """See that nothing is open to a network by mistake.

    Raises:
        SettingsError: Others than this machine could read everything, without any token.
    """
    if not token and not is_loopback(host):
        raise SettingsError(
            f"--host {host} lets other machines read all metrics, and no token is set: set"
            " FASTDATA_WEB_TOKEN to a long random text that clients send as"
            " 'Authorization: Bearer …', or leave --host out"
        )


def cookie_name(scope: Scope) -> str:
    """What the session's cookie is called: cookies know no port, and servers of one host do."""
    return f"fastdata_session_{scope['server'][1]}"


def session_of(token: str) -> str:
    """What a browser has as a cookie once the token was typed in; another token makes it void."""
    return hmac.new(token.encode(), b"fastdata pages", "sha256").hexdigest()


class Guard:
    """Lets requests through that may pass, and adds the headers of a careful server.

    Without a token only requests to a name of this machine pass: else a page of anybody could read
    all by giving its own name this machine's address.

    Args:
        token: That clients have to send, and people to type in once; empty for none.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_begun = False

        async def send_careful(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            app = self._refusal(scope) or self._app
            await app(scope, receive, send_careful)
        except Exception:  # a request ends here
            if is_begun:
                raise
            _log.exception("%s %s", scope["method"], scope["path"])
            await problem(scope, 500, _A_BUG)(scope, receive, send_careful)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not self._token:
            host = headers.get("host", "")
            if is_loopback(host if host.endswith("]") else host.rpartition(":")[0] or host):
                return None
            return problem(
                scope,
                421,
                f"this server answers to localhost only, not to {host!r}, as it has no token:"
                " set FASTDATA_WEB_TOKEN",
            )
        if scope["path"].startswith(_OPEN) or self._is_known(scope, headers):
            return None
        if not scope["path"].startswith("/api/") and scope["method"] == "GET":
            return RedirectResponse(f"/login?{urlencode({'next': _target(scope)})}", 303)
        said = "the token is wrong" if "authorization" in headers else "a token is needed"
        return problem(
            scope,
            401,
            f"{said}: send the header 'Authorization: Bearer …' with that of FASTDATA_WEB_TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )

    def _is_known(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _is_equal(token.strip(), self._token):
            return True
        cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(scope), "")
        return _is_equal(cookie, session_of(self._token))


def _is_equal(text: str, secret: str) -> bool:
    # Headers are read as Latin-1, whatever they hold.
    return secrets.compare_digest(text.encode("latin-1"), secret.encode())


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    path: str = scope["path"]
    return f"{path}?{query}" if query else path
