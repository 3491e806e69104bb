"""The application: which paths it has, and what stands before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from fastdata.declare.catalog import Catalog
from fastdata.settings import Settings
from fastdata.web import answering, docs, login, operations, overview, pages
from fastdata.web.clients import Clients
from fastdata.web.desk import Desk
from fastdata.web.models import ANY_PROBLEM
from fastdata.web.problems import take_problems
from fastdata.web.rendering import ASSETS, ASSETS_URL, Assets
from fastdata.web.security import Guard

__all__ = ["make_app"]


def make_app(settings: Settings, catalog: Catalog) -> FastAPI:
    """The ASGI application of `fastdata serve`; its state has the `desk` while it runs."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        async with Desk.open(settings, catalog, samples=True) as desk:
            app.state.desk = desk
            yield

    app = FastAPI(
        title="fastdata",
        version=version("fastdata-lambda"),
        summary="Answers of both layers, what changes in them, and how the layers are.",
        lifespan=running,
        responses=ANY_PROBLEM,
        # Their pages load scripts of others from the internet.
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    take_problems(app)
    for module in (answering, operations, docs, login, overview, pages):
        app.include_router(module.router)
    app.mount(ASSETS_URL, Assets(directory=ASSETS))
    app.add_middleware(Guard, token=settings.web_token.get_secret_value())
    app.add_middleware(Clients)
    return app
