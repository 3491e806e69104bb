"""Templates and assets: pages as HTML, and what they load, with a digest in its address."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from fastdata.coordinates.instants import to_datetime

__all__ = ["ASSETS", "ASSETS_URL", "Assets", "render", "show_age"]

ASSETS = Path(__file__).parent / "assets"
_PAGES = {
    "Metrics": "/",
    "Alerts": "/alerts",
    "Pipeline": "/pipeline",
    "Replays": "/replays",
    "Quality": "/quality",
    "Dead letters": "/dead-letters",
}


def _digest() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(ASSETS.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


ASSETS_URL = f"/assets/{_digest()}"


class Assets(StaticFiles):
    """What never changes at its address."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for a year."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


_env = Environment(
    loader=PackageLoader("fastdata.web"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def show_age(seconds: float | None) -> str:
    """A length of time, as people say it."""
    if seconds is None:
        return "?"
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"


def _show_offset(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _show_member(member: Mapping[str, str] | None) -> str:
    return "-" if member is None else f"{member['client_id']}"


def _show_second(ms: int | None) -> str:
    return "-" if ms is None else f"{to_datetime(ms):%Y-%m-%d %H:%M:%S}"


def _show_percent(share: float | str | None) -> str:
    if share is None:
        return "-"
    return share if isinstance(share, str) else f"{share:,.3%}"


_env.filters |= {"age": show_age, "offset": _show_offset, "member": _show_member}
_env.filters |= {"percent": _show_percent, "second": _show_second}
_env.globals |= {
    "assets": ASSETS_URL,
    "pages": _PAGES,
    "follows": "",
    "every_ms": 0,
}


def render(
    template: str,
    context: Mapping[str, object],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A page.

    Args:
        template: A file of `templates/`.
    """
    text = _env.get_template(template).render(context)
    return HTMLResponse(text, status, {"Cache-Control": "private, no-cache", **(headers or {})})
