"""An alert over a metric of orders, and verdicts and partials for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastdata import Alert, Count, Last, Metric, Ratio, Source, Sum, Uniques
from fastdata.alerts.judging import Judged
from fastdata.alerts.watch import AlertWatch
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import MINUTE_MS, parse_instant
from fastdata.coordinates.segments import Coverage
from fastdata.errors import DeliveryError
from fastdata.store.alert_states import AlertEvent, AlertState, read_alert
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Partial, Progress, ServingStore

__all__ = [
    "HOOK", "MINUTE_MS", "NOON", "TOTAL", "Inbox", "Shop", "declare", "judged", "measured", "shop",
    "state_of",
]  # fmt: skip

SCHEMA = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "shop", "type": "string"},
        {"name": "failed", "type": "int"},
        {"name": "buyer", "type": "string"},
    ],
}
NOON = parse_instant("2024-02-29T12:00Z")
TOTAL = "[]"


def declare(folder: Path, name: str = "orders") -> Metric:
    """Orders by shop, or something like them."""
    (folder / "order.avsc").write_text(json.dumps(SCHEMA))
    source = Source(name, topic=name, schema=str(folder / "order.avsc"), time="at")
    return Metric(
        name,
        source,
        by=["shop"],
        measures={
            "orders": Count(),
            "failed": Sum("failed"),
            "share": Ratio("failed", "orders"),
            "buyers": Uniques("buyer"),
            "name": Last("shop"),
        },
    )


def judged(verdict: bool | None) -> Judged:
    """A verdict of which nobody asks why."""
    return Judged(verdict, verdict is False, {})


def measured(state: AlertState) -> list[tuple[str, int, int]]:
    """The events, and the minutes after noon that they are about."""
    return [
        (e.event, (e.start - NOON) // MINUTE_MS, (e.end - NOON) // MINUTE_MS) for e in state.events
    ]


async def state_of(store: ServingStore, alert: Alert) -> AlertState:
    state = await read_alert(store, alert.name)
    assert state is not None
    return state


HOOK = "https://hooks.example/secret"


class Inbox:
    """A receiver that may be away, or refuse what it is told to."""

    def __init__(self) -> None:
        self.events: list[AlertEvent] = []
        self.is_away = False
        self.refuses = ""
        self.calls = 0

    async def send(self, _url: str, event: AlertEvent) -> None:
        self.calls += 1
        if self.is_away:
            raise DeliveryError("hooks.example took no event: it is away")
        if event.event == self.refuses:
            raise DeliveryError("hooks.example answered 400", is_refused=True)
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.event for event in self.events]


class Shop:
    """What layers write of the metric, a minute after another."""

    def __init__(self, metric: Metric, store: ServingStore, alert: Alert) -> None:
        self.metric, self.store, self.alert = metric, store, alert
        self.now = NOON
        self.offset = 0
        self.inbox = Inbox()
        self.watch = self.begin()

    def begin(self, send: Callable[..., Any] | None = None) -> AlertWatch:
        """A process that looks after the alert."""
        clock: Callable[[], int] = lambda: self.now  # noqa: E731
        self.watch = AlertWatch(self.alert, clock=clock, send=send or self.inbox.send)
        return self.watch

    async def minute(self, orders: int, failed: int = 0, shop: str = "north") -> None:
        """A minute with so many orders is over, and judged."""
        await self.fold(orders, failed, shop)
        await self.pass_(1)
        await self.watch.turn(self.store)

    async def fold(self, orders: int, failed: int = 0, shop: str = "north") -> None:
        """The speed layer folds so many orders of the minute that begins now."""
        if not orders:
            return
        states = self.metric.zero()
        for number in range(orders):
            fields = {"shop": shop, "failed": int(number < failed), "buyer": f"b{number}"}
            self.metric.add(states, fields, self.now)
        self.offset += orders
        dims, blob = dump_dims([shop]), self.metric.dump(states)
        partial = Partial(self.metric.id, self.now, dims, 0, 0, self.offset - 1, blob)
        await self.store.upsert([partial], [])

    async def pass_(self, minutes: int) -> None:
        """So many minutes pass, and workers have read all of them."""
        self.now += minutes * MINUTE_MS
        topic = self.metric.source.topic
        report = Progress(topic, 0, self.offset, self.now, self.now, self.now, is_at_end=True)
        await self.store.upsert([], [report])

    async def count(self, orders: int, failed: int, window: int, version: int = 1) -> None:
        """Batch counts the hour at noon: orders of one minute, and no others."""
        states = self.metric.zero(exact=True)
        for number in range(orders):
            fields = {"shop": "north", "failed": int(number < failed), "buyer": f"b{number}"}
            self.metric.add(states, fields, window)
        row = (window, dump_dims(["north"]), self.metric.dump(states))
        rows = await self.store.write_totals(self.metric.id, version, {NOON: [row][:orders]})
        head = (await self.store.heads(self.metric.id, NOON, NOON + 1)).get(NOON)
        expected = (head.version, head.coverage) if head else None
        flip = Flip(NOON, expected, version, Coverage({0: 1}), rows[NOON])
        await self.store.publish(self.metric.id, [flip])


def shop(metric: Metric, when: str = "failed / orders > 0.2", **more: object) -> Shop:
    options: dict[str, object] = {"every": "1m", "for_": "2m", "wait": "0s"}
    alert = Alert("failures", metric, when=when, **options | more)  # type: ignore[arg-type]
    return Shop(metric, MemoryStore(), alert)
