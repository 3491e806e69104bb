"""What a process tells of itself over HTTP: `/metrics` for Prometheus, and whether it is well."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

from fastdata.errors import SettingsError

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["SERIES", "Monitor", "Values"]

_SILENCE_S = 30.0

# Name, kind, what it is, labels.
SERIES = (
    ("events", "counter", "Events folded or left out", ("source",)),
    ("events_left_out", "counter", "Events left to batch, by reason", ("source", "reason")),
    ("events_sent_on", "counter", "Events sent on to another topic", ("source",)),
    ("dead_letters", "counter", "Events that could not be read", ("source", "reason")),
    ("lag_events", "gauge", "Events in the log and not folded", ("source", "partition")),
    ("lag_seconds", "gauge", "Since when not all is folded", ("source", "partition")),
    ("fold_seconds", "counter", "Time spent folding", ("source",)),
    ("metric_fold_seconds", "counter", "The same by metric, by samples", ("source", "metric")),
    ("flush_seconds", "summary", "Flushes and the time they took", ("source",)),
    ("state_cells", "gauge", "Cells in memory", ("source", "metric")),
    ("state_bytes", "gauge", "Their stored size, by samples", ("source", "metric")),
    ("source_stopped", "gauge", "1 when it needs a person, and others go on", ("source",)),
    ("rebalances", "counter", "Changes of the consumer group", ()),
    ("watchdog_age_seconds", "gauge", "Without progress; 0 when idle", ("sign",)),
    ("watchdog_limit_seconds", "gauge", "After which the worker ends itself", ("sign",)),
    ("archived_events", "counter", "Events read by the archiver", ("source",)),
    ("archive_lag_events", "gauge", "Events in the log, not durable", ("source", "partition")),
    ("archive_lag_seconds", "gauge", "Since when not all is durable", ("source", "partition")),
    ("replays", "counter", "Runs of the schedule", ("result",)),
    ("replay_seconds", "gauge", "How long the last good run took", ()),
    ("replayed_events", "counter", "Events counted", ("metric",)),
    ("covered_age_seconds", "gauge", "Since the last good run began; before it, the start", ()),
    ("drift_ratio", "gauge", "Mean error of the speed layer by verify", ("metric", "measure")),
)
"""All that any process tells, without the prefix `fastdata_` and without `_total` of counters."""

_FAMILIES: Mapping[str, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "summary": SummaryMetricFamily,
}

Values = Mapping[str, Mapping[tuple[str, ...], float | tuple[int, float]]]
"""By name of a series and labels: a number, or count and sum of a summary."""


class Monitor:
    """Answers on a port, from a thread of its own, with what was published last.

    Publishing replaces one mapping, so that neither side waits for the other.

    Args:
        silence_s: A process that has published nothing for so long is not alive; None: it is.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        silence_s: float | None = _SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._silence_s = silence_s
        self._clock = clock
        self._values: Values = {}
        self._is_ready = False
        self._published_s = clock()
        self._server: WSGIServer | None = None
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        self._metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)

    def publish(self, values: Values, *, is_ready: bool) -> None:
        """Let this be what is answered from now on."""
        self._values, self._is_ready = values, is_ready
        self._published_s = self._clock()

    def start(self, host: str, port: int) -> int:
        """Listen.

        Args:
            port: 0 for any that is free.

        Returns:
            The port.

        Raises:
            SettingsError: The port is taken, or the host is none of this machine.
        """
        try:
            server = make_server(host, port, self._answer, _Server, _SilentHandler)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"cannot listen on {host}:{port}: {error}; see FASTDATA_METRICS_PORT and "
                "FASTDATA_METRICS_HOST"
            ) from error
        self._server = server
        Thread(target=server.serve_forever, name="monitor", daemon=True).start()
        return int(server.server_port)

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def is_alive(self) -> bool:
        """Whether it has published something not long ago."""
        silence_s = self._clock() - self._published_s
        return self._silence_s is None or silence_s <= self._silence_s

    def collect(self) -> "Iterator[Metric]":
        """What was published, for Prometheus' client."""
        values = self._values
        for name, kind, text, labels in SERIES:
            if name not in values:
                continue
            family = _FAMILIES[kind](f"fastdata_{name}", text, labels=labels)
            for label, value in sorted(values[name].items()):
                if isinstance(value, tuple):
                    family.add_metric(label, count_value=value[0], sum_value=value[1])
                else:
                    family.add_metric(label, value)
            yield family

    def _answer(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return self._metrics(environ, respond)
        states = {"/health/live": self.is_alive, "/health/ready": self.is_alive and self._is_ready}
        if path not in states:
            respond("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics, /health/live, /health/ready\n"]
        respond(
            "200 OK" if states[path] else "503 Service Unavailable",
            [("Content-Type", "text/plain")],
        )
        return [b"yes\n" if states[path] else b"no\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # who asks and hangs holds up nobody

    def server_bind(self) -> None:
        # The base class asks for the host's name, which may take long.
        super(WSGIServer, self).server_bind()
        self.server_name, self.server_port = "", self.server_address[1]
        self.setup_environ()


class _SilentHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""
