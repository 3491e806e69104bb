"""Who is let in, and what a browser may do with what it gets."""

import secrets
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastdata.errors import SettingsError
from fastdata.web.problems import problem

__all__ = ["Guard", "check_address", "is_loopback"]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CLOSED = "/api/v1/"


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


class Guard:
    """Lets requests through that may pass, and adds the headers of a careful server.

    Without a token only requests to a name of this machine pass: else a page of anybody could read
    all by giving its own name this machine's address.

    Args:
        token: That clients have to send for all below `/api/v1/`; empty for none.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        app = self._refusal(scope) or self._app
        await app(scope, receive, send_careful)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if not self._token:
            host = headers.get("host", "")
            if is_loopback(host if host.endswith("]") else host.rpartition(":")[0] or host):
                return None
            return problem(
                421,
                f"this server answers to localhost only, not to {host!r}, as it has no token:"
                " set FASTDATA_WEB_TOKEN",
            )
        if not scope["path"].startswith(_CLOSED):
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Headers are read as Latin-1, whatever they hold.
        is_right = secrets.compare_digest(token.strip().encode("latin-1"), self._token.encode())
        if scheme.lower() == "bearer" and is_right:
            return None
        said = "the token is wrong" if token else "a token is needed"
        return problem(
            401,
            f"{said}: send the header 'Authorization: Bearer …' with that of FASTDATA_WEB_TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )
