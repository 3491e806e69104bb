"""A page about the API, made of its OpenAPI description; it needs no script and no internet."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from fastdata.web.rendering import render

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/api/docs")
async def show_docs(request: Request) -> HTMLResponse:
    """The page."""
    return render("docs.html", {"page": "", "api": request.app.openapi(), "type_of": _type})


def _type(schema: Mapping[str, Any]) -> Markup:
    """What a value is, with a link to what it holds."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "items" in schema:
        return Markup("list of {}").format(_type(schema["items"]))
    if "anyOf" in schema:
        return Markup(" or ").join(_type(kind) for kind in schema["anyOf"])
    return Markup("{}").format(schema.get("type", ""))
