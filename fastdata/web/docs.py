"""A page about the API, made of its OpenAPI description; it needs no script and no internet."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff }
h2 { font: 600 1.1rem ui-monospace, monospace; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; width: 100% }
td { padding: .2rem .6rem .2rem 0; vertical-align: top }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem }
pre { white-space: pre-wrap }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } a { color: #8bf } }
"""


@router.get("/api/docs")
async def show_docs(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse("".join(_page(request.app.openapi())))


@router.get("/api/docs.css")
async def show_style() -> Response:
    """Its style sheet: the page may have none of its own inside."""
    return Response(_STYLE, media_type="text/css")


def _page(api: Mapping[str, Any]) -> Iterator[str]:
    title = f"{escape(api['info']['title'])} {escape(api['info']['version'])}: HTTP API"
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width"><link rel="stylesheet"'
    yield f' href="docs.css"><h1>{title}</h1><p>{escape(api["info"]["summary"])} For machines:'
    yield ' <a href="openapi.json">openapi.json</a>. Where a token is set, send it as'
    yield " <code>Authorization: Bearer …</code>.</p>"
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            yield f"<h2>{method.upper()} {escape(path)}</h2>"
            yield f"<pre>{escape(operation.get('description', ''))}</pre>"
            yield from _words(operation.get("parameters", ()))
            yield from _answers(operation["responses"])
    yield "<h1>What they hold</h1>"
    for name, schema in api["components"]["schemas"].items():
        if "properties" in schema:
            yield f'<h2 id="{escape(name)}">{escape(name)}</h2>'
            yield f"<pre>{escape(schema.get('description', ''))}</pre><table>"
            for field, about in schema["properties"].items():
                yield _line(field, _type(about), about.get("description", ""))
            yield "</table>"


def _words(parameters: Any) -> Iterator[str]:
    yield "<table>"
    for word in parameters:
        yield _line(word["name"], word["in"], word.get("description", ""))
    yield "</table>"


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    yield "<p>"
    for code, response in responses.items():
        media = ", ".join(
            f"{escape(media_type)} {_type(body.get('schema', {}))}"
            for media_type, body in response.get("content", {}).items()
        )
        yield f"<code>{code}</code> {escape(response['description'])} <code>{media}</code><br>"
    yield "</p>"


def _line(name: str, kind: str, text: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{escape(text)}</td></tr>"


def _type(schema: Mapping[str, Any]) -> str:
    """What a value is, with a link to what it holds."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "anyOf" in schema:
        return " or ".join(_type(kind) for kind in schema["anyOf"])
    return escape(str(schema.get("type", "")))
