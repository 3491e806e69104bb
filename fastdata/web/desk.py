"""What all paths of the server share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from fastdata.declare.catalog import Catalog
from fastdata.settings import Settings
from fastdata.web.answers import Answers
from fastdata.web.changes import Changes
from fastdata.web.history import History
from fastdata.web.looks import Looks
from fastdata.web.readers import Readers
from fastdata.web.recent import Recent

__all__ = ["Desk", "TheDesk"]

_SMALL_READERS = 2


@dataclass(frozen=True, slots=True)
class Desk:
    """What answers requests.

    Attributes:
        readers: For what is small: a slow answer does not hold it up.
        looks: What is known of each metric.
        answers: Answers queries, in readers of their own.
        changes: Tells what is new.
        status: How far each layer is.
        history: How that was during the last hour.
    """

    settings: Settings
    catalog: Catalog
    readers: Readers
    looks: Looks
    answers: Answers
    changes: Changes
    status: Recent[dict[str, Any]]
    history: History

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, catalog: Catalog) -> AsyncIterator["Desk"]:
        """A desk with open readers; the store is opened when it is first needed."""
        small = Readers(settings.store, _SMALL_READERS)
        large = Readers(settings.store, settings.web_max_queries)
        async with small, large:
            looks = Looks(small, settings.web_timeout_s)
            history = History(catalog.sources.values(), small)
            sampling = asyncio.create_task(history.sample())
            try:
                yield cls(
                    settings=settings,
                    catalog=catalog,
                    readers=small,
                    looks=looks,
                    answers=Answers(large, looks, settings),
                    changes=Changes(catalog.metrics.values(), looks),
                    status=Recent(),
                    history=history,
                )
            finally:
                sampling.cancel()


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(_desk)]
"""A parameter of a path: the desk of its application."""
