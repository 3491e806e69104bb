"""How the declared alerts are: what is open, up to when they are judged, and what they told."""

from collections.abc import Iterable
from dataclasses import dataclass

from fastdata.coordinates.dimensions import printable
from fastdata.coordinates.instants import MINUTE_MS, to_iso
from fastdata.declare.alert import Alert
from fastdata.store.alert_states import AlertState, read_alert
from fastdata.store.protocol import ServingStore

__all__ = ["AlertStatus", "read_alerts"]


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """One alert.

    Attributes:
        kept: What is kept of it; of a definition before, the events alone.
    """

    alert: Alert
    kept: AlertState

    @property
    def state(self) -> str:
        """In a word: open, pending, quiet or unjudged."""
        if self.kept.open:
            return "open"
        if self.kept.judged is None:
            return "unjudged"
        return "pending" if self.kept.tracked else "quiet"

    def tracked(self, *, is_open: bool) -> list[dict[str, object]]:
        """What is open, or has held not long enough yet; for JSON."""
        return [
            {
                "dimensions": self.alert.dimensions(key),
                "since": to_iso(item.since),
                "opened": item.opened,
            }
            for key, item in self.kept.tracked.items()
            if (item.opened is not None) == is_open
        ]

    @property
    def text(self) -> str:
        """How it is, in a line."""
        names = [", ".join(map(str, self.alert.dimensions(key).values())) for key in self.kept.open]
        shown = ", ".join(f"({name})" for name in names if name)
        judged = self.kept.judged
        until = "" if judged is None else f", judged until {to_iso(judged, 'seconds')}"
        counts = {
            "left out": self.kept.left_out,
            "events not sent yet": len(self.kept.unsent),
            "events never sent": self.kept.given_up,
        }
        others = "".join(f", {count:,} {text}" for text, count in counts.items() if count)
        return printable(f"{self.alert.name}: {self.state}{shown and ' ' + shown}{until}{others}")

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        alert, kept = self.alert, self.kept
        return {
            "alert": alert.name,
            "metric": alert.metric.name,
            "when": alert.when,
            "until": alert.until,
            "every": f"{alert.every_ms // MINUTE_MS}m",
            "for": f"{alert.windows * alert.every_ms // MINUTE_MS}m",
            "by": list(alert.by),
            "where": alert.where,
            "to": alert.host,
            "state": self.state,
            "open": self.tracked(is_open=True),
            "pending": self.tracked(is_open=False),
            "judged_until": None if kept.judged is None else to_iso(kept.judged),
            "left_out": kept.left_out,
            "unsent": len(kept.unsent),
            "given_up": kept.given_up,
            "events": [event.as_dict() for event in reversed(kept.events)],
        }


async def read_alerts(store: ServingStore, alerts: Iterable[Alert]) -> list[AlertStatus]:
    """How each alert is.

    Raises:
        CorruptStateError: The state of one does not verify.
        StoreError: The store failed.
    """
    states = [(alert, await read_alert(store, alert.name)) for alert in alerts]
    return [AlertStatus(alert, _of(alert, state)) for alert, state in states]


def _of(alert: Alert, state: AlertState | None) -> AlertState:
    if state is None or state.definition == alert.definition:
        return state or AlertState(alert.definition)
    return AlertState(alert.definition, given_up=state.given_up, events=state.events)
