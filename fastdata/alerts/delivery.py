"""How an event of an alert reaches whoever wants to know: a POST of JSON."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from fastdata.errors import DeliveryError
from fastdata.store.alert_states import AlertEvent

__all__ = ["Send", "post"]

Send = Callable[[str, AlertEvent], Awaitable[None]]
"""Delivers an event to an address, or raises `DeliveryError`."""

_TIMEOUT_S = 10.0
_REFUSED_FOR_NOW = (408, 425, 429)


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would become a GET without the event."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_opener = build_opener(_NoRedirects)


async def post(url: str, event: AlertEvent) -> None:
    """Post an event as JSON, and wait for an answer 2xx. At least once.

    Args:
        url: http or https; no message shows more of it than the host.

    Raises:
        DeliveryError: There was none within 10 s; the event may have come all the same.
    """
    await asyncio.to_thread(_post, url, event)


def _post(url: str, event: AlertEvent) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "fastdata"}
    request = Request(url, json.dumps(event.as_dict()).encode(), headers)  # noqa: S310
    host = urlsplit(url).hostname
    try:
        _opener.open(request, timeout=_TIMEOUT_S).close()
    except HTTPError as error:
        with error:
            is_refused = 400 <= error.code < 500 and error.code not in _REFUSED_FOR_NOW
            message = f"{host} answered {error.code} to an event of alert {event.alert!r}"
            raise DeliveryError(message, is_refused=is_refused) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        message = f"{host} took no event of alert {event.alert!r}: {reason}"
        raise DeliveryError(message) from None
