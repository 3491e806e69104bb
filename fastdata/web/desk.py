"""What all who ask share: the readers, and what is read once for all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastdata.declare.catalog import Catalog
from fastdata.kafka.connection import Broker
from fastdata.local.running import with_running
from fastdata.operate.status import Status
from fastdata.settings import Settings
from fastdata.web.answers import Answers
from fastdata.web.changes import Changes
from fastdata.web.charts import MetricView
from fastdata.web.history import History
from fastdata.web.looks import Looks
from fastdata.web.readers import Readers
from fastdata.web.recent import Recent
from fastdata.web.shared import Shared

if TYPE_CHECKING:
    from fastapi.responses import HTMLResponse

__all__ = ["Desk"]

_SMALL_READERS = 2
_VIEWS = 8


@dataclass(frozen=True, slots=True)
class Desk:
    """What answers requests.

    Attributes:
        readers: For what is small: a slow answer does not hold it up.
        looks: What is known of each metric.
        answers: Answers queries, in readers of their own.
        views: What pages show of a metric.
        pages: Those pages, while they are looked at.
        changes: Tells what is new.
        status: How far each layer is.
        health: Why the server cannot answer; empty when it can.
        history: How that was during the last hour; empty where nobody samples.
    """

    settings: Settings
    catalog: Catalog
    readers: Readers
    looks: Looks
    answers: Answers
    views: Shared[MetricView]
    pages: "Shared[HTMLResponse]"
    changes: Changes
    status: Recent[Status]
    health: Recent[list[str]]
    history: History

    @property
    def broker(self) -> Broker:
        """That of the settings, or of a `fastdata dev` that runs here at present."""
        return Broker.of(with_running(self.settings))

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, catalog: Catalog, *, samples: bool
    ) -> AsyncIterator["Desk"]:
        """A desk with open readers; the store is opened when it is first needed.

        Args:
            samples: Whether it looks again and again how far the layers are, for `history`.
        """
        small = Readers(settings.store, _SMALL_READERS)
        large = Readers(settings.store, settings.web_max_queries)
        async with small, large:
            looks = Looks(small, settings.web_timeout_s)
            history = History(catalog.sources.values(), small)
            sampling = asyncio.create_task(history.sample()) if samples else None
            try:
                yield cls(
                    settings=settings,
                    catalog=catalog,
                    readers=small,
                    looks=looks,
                    answers=Answers(large, looks, settings),
                    views=Shared(_VIEWS),
                    pages=Shared(_VIEWS),
                    changes=Changes(catalog.metrics.values(), looks),
                    status=Recent(),
                    health=Recent(),
                    history=history,
                )
            finally:
                if sampling is not None:
                    sampling.cancel()
