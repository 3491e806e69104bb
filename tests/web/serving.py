"""A server over a store with two hours of trips, and a client of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from fastapi import FastAPI

from fastdata import Metric, Settings
from fastdata.coordinates.segments import Coverage
from fastdata.declare.catalog import catalog_of
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip
from fastdata.web.app import make_app
from fastdata.web.serve import serve
from tests.answer.trips import MINUTE, NOON, ONE, TWO, declare, partial, progress, total

__all__ = ["QUERY", "Served", "fill", "fold", "serving", "serving_only"]

QUERY = "/api/v1/metrics/rides/query"


class Served:
    """A running server.

    Attributes:
        store: The URL of its store.
        stop: Ends it.
        task: That it runs in.
    """

    def __init__(
        self, app: FastAPI, metric: Metric, store: str, client: httpx2.AsyncClient
    ) -> None:
        self.app = app
        self.metric = metric
        self.store = store
        self.client = client
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None]

    async def get(self, path: str, **more: str) -> httpx2.Response:
        return await self.client.get(path, headers=more)

    async def rows(self, **words: str) -> list[dict[str, object]]:
        response = await self.client.get(QUERY, params=words)
        assert 200 == response.status_code, response.text
        rows: list[dict[str, object]] = response.json()["rows"]
        return rows

    async def problem(self, path: str, **words: str) -> tuple[int, str]:
        """Status and detail of a refusal."""
        response = await self.client.get(path, params=words or None)
        assert "application/problem+json" == response.headers["content-type"]
        problem = response.json()
        assert response.status_code == problem["status"]
        return problem["status"], problem["detail"]


async def fill(metric: Metric, url: str) -> None:
    """Batch counted two hours; then the speed layer folded one more trip of the second."""
    async with open_store(url) as store:
        oslo = total(metric, NOON, ["Oslo", 1], [(5, "anna"), (1_207, "ben")])
        nowhere = total(metric, ONE + MINUTE, [None, 2], [(None, None)])
        await store.write_totals(metric.id, 1, {NOON: [oslo], ONE: [nowhere]})
        flips = [Flip(span, None, 1, Coverage({0: 3}), 1) for span in (NOON, ONE)]
        await store.publish(metric.id, flips)
        await store.upsert([partial(metric, ONE, ["", 1], [(2, "anna")])], [progress(TWO)])


async def fold(served: Served, window: int, trips: int, until: int = TWO) -> None:
    """The speed layer folds so many trips more."""
    made = partial(served.metric, window, ["Rome", 1], [(1, None)] * trips)
    async with open_store(served.store) as store:
        await store.upsert([made], [progress(until)])


@asynccontextmanager
async def serving(folder: Path, **settings: object) -> AsyncIterator[Served]:
    """A server on a free port, until the end."""
    metric = declare(folder)
    url = f"sqlite:///{folder}/store.db"
    await fill(metric, url)
    async with serving_only(metric, url, **settings) as served:
        yield served


@asynccontextmanager
async def serving_only(
    metric: Metric, url: str, *more: object, **settings: object
) -> AsyncIterator[Served]:
    """The same over whatever store there is, and with more that is declared."""
    app = make_app(Settings.load(store=url, **settings), catalog_of([metric, *more]))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with httpx2.AsyncClient(timeout=60) as client:
        served = Served(app, metric, url, client)
        running = serve(app, "127.0.0.1", 0, served.stop, ready.set_result)
        served.task = asyncio.create_task(running)
        client.base_url = await ready
        try:
            yield served
        finally:
            served.stop.set()
            await served.task
