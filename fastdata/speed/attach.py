"""The ways into a Faust app."""

from collections.abc import Callable
from datetime import timedelta

import faust

from fastdata.coordinates.instants import parse_duration
from fastdata.declare.metric import Metric
from fastdata.declare.place import declaring_place
from fastdata.declare.source import Source
from fastdata.errors import DeclarationError
from fastdata.settings import Settings
from fastdata.speed.event_agent import EventFunction
from fastdata.speed.service import SpeedService

__all__ = ["agent", "attach"]


def attach(app: faust.App, *declared: Metric | Source, settings: Settings | None = None) -> None:
    """Fold metrics in a Faust app, beside its own agents. Call it before the app starts.

    Adds, per source, an agent and a table named `fastdata-<source>`. The app keeps its
    settings, except that its consumer reads committed records only. May be called again.

    ```python
    app = fastdata.make_app("shop")
    fastdata.attach(app, clicks_per_page, orders_per_country)
    ```

    Args:
        declared: Metrics, or sources whose dead letters alone matter.
        settings: From the environment and `fastdata.toml` when None.

    Raises:
        SettingsError: The app has started, uses `exactly_once`, or is not on `kafka://`.
        DeclarationError: Two metrics or two sources share a name, or two sources a topic.
    """
    SpeedService.of(app, settings).add(declared)


def agent(
    app: faust.App,
    source: Source,
    *,
    remember: str | timedelta = "0s",
    settings: Settings | None = None,
) -> Callable[[EventFunction], EventFunction]:
    """Decorator: a Faust agent that gets the decoded events of a source, one after another.

    What the map function drops is left out, what cannot be read goes to the dead letters. An event
    is done when the function asks for the next one, and only then committed: after a kill it comes
    again. What the function raises ends the process, before its event is committed.

    ```python
    @fastdata.agent(app, payments)
    async def score(events):
        async for payment in events:
            await decisions.send({"id": payment.id, "is_large": payment["amount"] > 1000})
    ```

    Nothing else of the app reads the topic: another agent, or metrics of it, are an app with an id
    of its own.

    `event.memory` is a dict of the function's own for the events of one partition. When a worker
    gets a partition that others had, it is empty; with `remember` the events of that time before
    come first, with `event.is_past`, for the function to remember without acting on them again:

    ```python
    @fastdata.agent(app, payments, remember="1m")
    async def count(events):
        async for payment in events:
            recent = payment.memory.setdefault(payment["card"], {})
            recent[payment.id] = payment.time
            if not payment.is_past and len(recent) > 5:
                await suspicions.send({"id": payment.id}, key=payment["card"])
    ```

    Args:
        remember: By the times at which records were written; it may be more.
        settings: From the environment and `fastdata.toml` when None.

    Raises:
        SettingsError: The app has started, uses `exactly_once`, or is not on `kafka://`.
        DeclarationError: Something else of the app reads the topic, or `remember` is no duration.
    """
    try:
        remember_ms = parse_duration(remember)
    except ValueError as error:
        raise DeclarationError(f"{declaring_place()}: remember: {error}") from None
    service = SpeedService.of(app, settings)

    def run(function: EventFunction) -> EventFunction:
        service.read(source, function, remember_ms)
        return function

    return run
