"""The ways into a Faust app."""

from collections.abc import Callable

import faust

from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
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
    app: faust.App, source: Source, *, settings: Settings | None = None
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

    Args:
        settings: From the environment and `fastdata.toml` when None.

    Raises:
        SettingsError: The app has started, uses `exactly_once`, or is not on `kafka://`.
        DeclarationError: Something else of the app reads the topic.
    """
    service = SpeedService.of(app, settings)

    def run(function: EventFunction) -> EventFunction:
        service.read(source, function)
        return function

    return run
