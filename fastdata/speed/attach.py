"""The way into a Faust app."""

import faust

from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.settings import Settings
from fastdata.speed.service import SpeedService

__all__ = ["attach"]


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
