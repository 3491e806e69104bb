"""Crashes and loads of an app, of two topics, and what is derived of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import fastdata
from fastdata import DerivedMetric, Metric
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, floor_to, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.protocol import Flip, Gap, Partial, Progress, ServingStore, Total

__all__ = ["NOON", "ONE", "TWO", "Apps"]

SCHEMA = {
    "type": "record",
    "name": "AppEvent",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "version", "type": "string"},
        {"name": "user", "type": "string"},
        {"name": "screen", "type": "string"},
        {"name": "country", "type": "string"},
    ],
}
DECLARATION = """
from fastdata import Count, DerivedMetric, Metric, Ratio, Source, Uniques

crash_events = Source("crashes", topic="crashes", schema="app.avsc", time="at", segment_size=100)
load_events = Source("loads", topic="loads", schema="app.avsc", time="at", segment_size=100)
crashes = Metric(
    "crashes", crash_events, by=["version", "screen"],
    measures={"crashes": Count(), "users": Uniques("user")},
)
loads = Metric(
    "loads", load_events, by=[("version",), ("version", "country")],
    measures={"loads": Count(), "users": Uniques("user"), "per_user": Ratio("loads", "users")},
)
stability = DerivedMetric(
    "stability", [crashes, loads],
    measures={"crashes_per_load": "crashes.crashes / loads.loads",
              "crash_free": "1 - crashes.users / loads.users"},
)
"""
NOON, ONE, TWO = (parse_instant(f"2024-02-29T{hour}:00Z") for hour in (12, 13, 14))


class Apps:
    """What layers have stored of both metrics, and what is asked of it."""

    def __init__(self, folder: Path, store: ServingStore) -> None:
        (folder / "agents").mkdir()
        (folder / "app.avsc").write_text(json.dumps(SCHEMA))
        declaration = DECLARATION.replace("app.avsc", str(folder / "app.avsc"))
        (folder / "agents" / "app.py").write_text(declaration)
        declared = fastdata.load(folder / "agents" / "app.py")
        self.crashes: Metric = declared.crashes
        self.loads: Metric = declared.loads
        self.stability: DerivedMetric = declared.stability
        self.store = store

    async def count(
        self, metric: Metric, hour: int, users: Mapping[str, str] | None = None
    ) -> None:
        """Batch counts an hour: an event of each user, of whom a letter stands for one."""
        totals = [
            Total(hour + MINUTE_MS, dump_dims(dims), self._state(metric, names, exact=True))
            for version, names in (users or {}).items()
            for dims in _stored(metric, version)
        ]
        await self.store.write_totals(metric.id, 1, {hour: totals})
        await self.store.publish(metric.id, [Flip(hour, None, 1, Coverage({0: 3}), len(totals))])

    async def fold(self, metric: Metric, window: int, version: str, users: str) -> None:
        """The speed layer folds events of these users, of a segment that batch has not counted."""
        partials = [
            Partial(metric.id, window, dump_dims(dims), 0, 3, 300 + len(users),
                    self._state(metric, users, exact=False))
            for dims in _stored(metric, version)
        ]  # fmt: skip
        await self.store.upsert(partials, [])

    async def leave_out(self, metric: Metric, window: int, events: int) -> None:
        """The speed layer leaves out events that come late."""
        system = unfolded_of(metric.source)
        states = system.zero()
        for _ in range(events):
            system.add(states, {"reason": "late"})
        hour, text = floor_to(window, HOUR_MS), dump_dims(["late"])
        await self.store.upsert(
            [Partial(system.id, hour, text, 0, 3, 300, system.dump(states))], []
        )

    async def lose(self, metric: Metric, events: int) -> None:
        """A worker skips so many events."""
        await self.store.record_gap(Gap(metric.source.topic, 0, 350, 350 + events))

    async def reach(self, metric: Metric, fresh: int) -> None:
        """How far a worker has come."""
        report = Progress(metric.source.topic, 0, 400, fresh, fresh, fresh)
        await self.store.upsert([], [report])

    async def rows(self, *names: str, **options: object) -> list[tuple[object, ...]]:
        """The values of these columns of the answer; windows as hours after noon."""
        table = await fastdata.query(self.stability, store=self.store, **options)  # type: ignore[arg-type]
        return [tuple(row[name] for name in names) for row in table.to_pylist()]

    def _state(self, metric: Metric, users: Sequence[str], *, exact: bool) -> bytes:
        states = metric.zero(exact)
        fields = dict.fromkeys(("version", "screen", "country"), "x")
        for user in users:
            metric.add(states, fields | {"user": user})
        return metric.dump(states)


def _stored(metric: Metric, version: str) -> list[tuple[Dimension, ...]]:
    """Under which dimensions a version is stored."""
    return [(version, "home")] if metric.name == "crashes" else [(0, version), (1, version, "NO")]
