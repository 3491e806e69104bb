"""`--metrics-port`, and what archivers and scheduled replays tell there."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fastdata.archive.consumer import ArchiveProgress
    from fastdata.batch.schedule import ScheduledRun
    from fastdata.monitor import Monitor, Values
    from fastdata.settings import Settings

__all__ = ["ArchiveTelemetry", "ReplayTelemetry", "metrics_port", "with_port"]

_EVERY_S = 1.0

metrics_port = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    help="Answer /metrics (Prometheus), /health/live and /health/ready there. "
    "[default: FASTDATA_METRICS_PORT, which is off]",
)


def with_port(port: int | None) -> dict[str, object]:
    """What the option says, for `Settings.load`."""
    return {} if port is None else {"metrics_port": port}


class _Publishing:
    """Publishes once a second while it is entered; nothing while no port is set."""

    silence_s: float | None = 30.0

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._monitor: Monitor | None = None
        self._publishing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        """Listen.

        Raises:
            SettingsError: The port is taken.
        """
        if self._settings.metrics_port:
            from fastdata.monitor import Monitor

            self._monitor = Monitor(self.silence_s)
            self._monitor.start(self._settings.metrics_host, self._settings.metrics_port)
            self._publishing = asyncio.create_task(self._publish(self._monitor))

    async def __aexit__(self, *exc: object) -> None:
        """Listen no more."""
        if self._monitor is not None and self._publishing is not None:
            self._publishing.cancel()
            self._monitor.stop()

    async def _publish(self, monitor: "Monitor") -> None:
        while True:
            values, is_ready = self.read()
            monitor.publish(values, is_ready=is_ready)
            await asyncio.sleep(_EVERY_S)

    def read(self) -> "tuple[Values, bool]":
        """The values now, and whether the process is ready."""
        raise NotImplementedError


class ArchiveTelemetry(_Publishing):
    """What an archiver tells."""

    def __init__(self, settings: "Settings") -> None:
        super().__init__(settings)
        self._latest: dict[str, ArchiveProgress] = {}
        self._even_s: dict[tuple[str, str], float] = {}  # when all was durable
        self._stopped: dict[tuple[str, ...], float] = {}

    def note(self, progress: "ArchiveProgress") -> None:
        """Take note of one source's progress."""
        self._latest[progress.source] = progress
        self._stopped.setdefault((progress.source,), 0)

    def leave_out(self, source: str) -> None:
        """Tell that a source has failed alone."""
        self._latest.pop(source, None)
        self._stopped[source,] = 1

    def read(self) -> "tuple[Values, bool]":
        """See above; ready is who has read from each source that is archived."""
        now_s = time.monotonic()
        lags, ages = dict[tuple[str, ...], float](), dict[tuple[str, ...], float]()
        for name, progress in self._latest.items():
            for partition, durable in progress.durable.items():
                label = name, str(partition)
                lags[label] = max(0, progress.end.get(partition, durable) - durable)
                if not lags[label]:
                    self._even_s[label] = now_s
                ages[label] = now_s - self._even_s.setdefault(label, now_s)
        events: dict[tuple[str, ...], float] = {
            (name,): progress.records for name, progress in self._latest.items()
        }
        values: Values = {
            "source_stopped": self._stopped,
            "archived_events": events,
            "archive_lag_events": lags,
            "archive_lag_seconds": ages,
        }
        return values, bool(self._latest)


class ReplayTelemetry(_Publishing):
    """What a scheduled replay tells.

    Args:
        read_drift: The mean error of the speed layer by metric and measure, as stored; asked after
            each run.
        show: Called with each run.
    """

    silence_s = None  # a job may be counted in this process, and the loop waits for it

    def __init__(
        self,
        settings: "Settings",
        read_drift: "Callable[[], Awaitable[Mapping[tuple[str, ...], float]]]",
        show: "Callable[[ScheduledRun], None]",
    ) -> None:
        super().__init__(settings)
        self._show = show
        self._read_drift = read_drift
        self._covered_s = time.time()
        self._seconds = 0.0
        self._results = Counter[tuple[str, ...]]({("ok",): 0, ("failed",): 0})
        self._events = Counter[tuple[str, ...]]()
        self._drift: Mapping[tuple[str, ...], float] = {}
        self._reading: asyncio.Task[None] | None = None

    def note(self, run: "ScheduledRun") -> None:
        """Take note of a run."""
        self._results[("failed" if run.error else "ok",)] += 1
        for report in (run.resumed, run.report):
            for metric in report.metrics if report else ():
                self._events[(metric.metric,)] += metric.events
        if run.report is not None:
            self._covered_s, self._seconds = run.started / 1_000, run.report.seconds
            if self._monitor is not None:
                self._reading = asyncio.create_task(self._note_drift())
        self._show(run)

    async def _note_drift(self) -> None:
        from fastdata.errors import FastdataError

        with suppress(FastdataError):  # the next run asks again
            self._drift = await self._read_drift()

    def read(self) -> "tuple[Values, bool]":
        """See above."""
        values: Values = {
            "replays": self._results,
            "replay_seconds": {(): self._seconds},
            "replayed_events": self._events,
            "covered_age_seconds": {(): max(0.0, time.time() - self._covered_s)},
            "drift_ratio": self._drift,
        }
        return values, True
