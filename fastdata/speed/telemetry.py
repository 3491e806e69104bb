"""What a worker tells machines of itself: read once a second from what it counts anyway."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import faust

from fastdata.coordinates.instants import now_ms
from fastdata.declare.metric import Metric
from fastdata.errors import BadEventError
from fastdata.events.decoder import Decoder, Event
from fastdata.settings import Settings
from fastdata.speed.agent import SourceAgent
from fastdata.speed.layer import SpeedLayer
from fastdata.speed.watchdog import Watchdog
from fastdata.store.protocol import NEVER

if TYPE_CHECKING:
    from fastdata.monitor import Monitor, Values

__all__ = ["Telemetry"]

_CELLS_EVERY_S = 30.0
_SAMPLES = 20
_FORGETTING = 0.1


class Telemetry:
    """Publishes what the agents of a worker count; does nothing while no port is set."""

    def __init__(self, settings: Settings, watchdog: Watchdog) -> None:
        self._settings = settings
        self._watchdog = watchdog
        self._monitor: Monitor | None = None
        self._costs: dict[str, _Costs] = {}
        self._values: dict[str, dict[tuple[str, ...], float | tuple[int, float]]] = {}

    def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: The port is taken.
        """
        if self._settings.metrics_port:
            from fastdata.monitor import Monitor  # which takes some time to load

            self._monitor = Monitor()
            self._monitor.start(self._settings.metrics_host, self._settings.metrics_port)

    def stop(self) -> None:
        """Listen no more."""
        if self._monitor is not None:
            self._monitor.stop()

    def report(self, app: faust.App, agents: Iterable[SourceAgent], has_joined: bool) -> None:
        """Publish what is so now. To be called in the event loop, about once a second.

        Args:
            has_joined: Whether the worker has got partitions, or been told that there are none.
        """
        if self._monitor is None:
            return
        self._values = {"rebalances": {(): app.rebalancing_count}}
        for name, age_s, limit_s in self._watchdog.ages():
            self._put("watchdog_age_seconds", age_s, name)
            self._put("watchdog_limit_seconds", limit_s, name)
        for agent in agents:
            self._report_of(agent)
        is_ready = has_joined and not app.rebalancing and not app.should_stop
        self._monitor.publish(cast("Values", self._values), is_ready=is_ready)

    def _put(self, series: str, value: float | tuple[int, float], *labels: str) -> None:
        self._values.setdefault(series, {})[labels] = value

    def _report_of(self, agent: SourceAgent) -> None:
        name, effort, layer = agent.source.name, agent.effort, agent.layer
        self._put("source_stopped", int(agent.failure is not None), name)
        self._put("events", effort.events, name)
        self._put("fold_seconds", effort.fold_s, name)
        self._put("flush_seconds", (effort.flushed, effort.flush_s), name)
        if layer is None:
            return
        if layer.outlet is not None:
            self._put("events_sent_on", layer.sent_on, name)
        for reason, count in layer.intake.left_out.items():
            kind, _, cause = reason.rpartition(":")
            self._put("dead_letters" if kind else "events_left_out", count, name, cause)
        now = now_ms()
        for partition in agent.live:
            if (owned := layer.partitions.get(agent.epoch.number(partition))) is not None:
                label = name, str(partition)
                self._put("lag_events", max(0, owned.log_end - owned.position), *label)
                if owned.read_until > NEVER:
                    self._put("lag_seconds", max(0, now - owned.read_until) / 1_000, *label)
        costs = self._costs.setdefault(name, _Costs(layer))
        costs.look(effort.fold_s)
        for metric, (seconds, cells, size) in costs.by_metric.items():
            self._put("metric_fold_seconds", seconds, name, metric)
            self._put("state_cells", cells, name, metric)
            self._put("state_bytes", size, name, metric)


class _Costs:
    """What each metric of a source costs: measured of one event a look, and of some cells.

    The next event that is decoded is folded once more into empty states, metric by metric, and the
    time that all folding took is shared out in these proportions.

    Attributes:
        by_metric: Seconds of folding since the start, cells in memory, and bytes of their states.
    """

    def __init__(self, layer: SpeedLayer) -> None:
        self._layer = layer
        self._metrics: list[Metric] = list(layer.metrics[:-1])  # the last one is ours
        self.by_metric = {metric.name: (0.0, 0, 0.0) for metric in self._metrics}
        self._weights = dict.fromkeys(self.by_metric, 0.0)
        self._fold_s = 0.0
        self._cells_s = 0.0

    def look(self, fold_s: float) -> None:
        """Share out what folding took since the last look, and have an event measured.

        Args:
            fold_s: The time of all folding so far.
        """
        spent_s, self._fold_s = fold_s - self._fold_s, fold_s
        if total := sum(self._weights.values()):
            for name, weight in self._weights.items():
                seconds, cells, size = self.by_metric[name]
                self.by_metric[name] = (seconds + spent_s * weight / total, cells, size)
        if not isinstance(self._layer.intake.decoder, _Tap):
            self._layer.intake.decoder = cast(Decoder, _Tap(self._layer, self))
        if time.monotonic() - self._cells_s > _CELLS_EVERY_S:
            self._cells_s = time.monotonic()
            self._count_cells()

    def measure(self, fields: Mapping[str, object], event_time: int) -> None:
        """Fold an event into empty states."""
        for metric in self._metrics:
            began_s = time.perf_counter()
            try:
                for _, entries in metric.rows(fields, event_time):
                    states = metric.zero()
                    for values in entries:
                        metric.add_values(states, values)
            except BadEventError:
                continue  # which folding it will find, too
            weight = time.perf_counter() - began_s
            before = self._weights[metric.name]
            self._weights[metric.name] = (
                before + _FORGETTING * (weight - before) if before else weight
            )

    def _count_cells(self) -> None:
        counts, samples = dict[int, int](), dict[int, list[Any]]()
        for owned in self._layer.partitions.values():
            for index, cell in owned.cells.walk():
                counts[index] = counts.get(index, 0) + 1
                if counts[index] <= _SAMPLES:
                    samples.setdefault(index, []).append(cell.states)
        for index, metric in enumerate(self._metrics):
            sizes = [len(metric.dump(states)) for states in samples.get(index, ())]
            mean = sum(sizes) / len(sizes) if sizes else 0.0
            seconds, *_ = self.by_metric[metric.name]
            count = counts.get(index, 0)
            self.by_metric[metric.name] = seconds, count, count * mean


class _Tap:
    """A decoder that shows one event to somebody, and then takes itself away."""

    def __init__(self, layer: SpeedLayer, costs: _Costs) -> None:
        self._layer, self._costs, self._decoder = layer, costs, layer.intake.decoder

    @property
    def has_ordinary(self) -> bool:
        return False  # the event is to come to `decode`

    def decode(self, value: bytes | None, timestamp: int) -> Event:
        self._layer.intake.decoder = self._decoder
        event = self._decoder.decode(value, timestamp)
        if event.fields is not None:
            self._costs.measure(event.fields, event.time)
        return event
