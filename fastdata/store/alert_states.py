"""What is known of an alert from one process to the next, kept beside totals.

Which windows were judged, what is open or may open, and the events of it. An event that has not
reached its receiver yet is kept until it has, so one write makes both durable.
"""

import hashlib
import json
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from fastdata.coordinates.dimensions import printable
from fastdata.coordinates.instants import DAY_MS, to_datetime, to_iso
from fastdata.errors import CorruptStateError
from fastdata.store.kept import change_kept, read_kept
from fastdata.store.protocol import ServingStore

__all__ = [
    "LOOK_BACK_MS", "MOST_EVENTS", "MOST_TRACKED", "MOST_UNSENT", "AlertEvent", "AlertState",
    "Kind", "Tracked", "change_alert", "event_id", "read_alert",
]  # fmt: skip

MOST_EVENTS = 100
"""So many are kept of an alert, besides those that have not been sent."""
MOST_UNSENT = 200
"""So many wait for their receiver; of more the oldest are given up."""
MOST_TRACKED = 200
"""So many combinations of dimensions of an alert are open or may open; more are left out."""
LOOK_BACK_MS = 3 * DAY_MS
"""How long an event waits for its receiver, batch may take one back, and a window may be judged."""

Kind = Literal["opened", "closed", "retracted"]


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """That an alert opened or closed, or that it would not have opened by what batch has counted.

    Attributes:
        id: The same however often it is made and sent.
        key: The dimension values as canonical JSON.
        opened: The id of the event that opened it.
        start: Of the windows that say so, ms UTC.
        end: Exclusive.
        at: When it was noticed, ms UTC.
        measures: Of the last of these windows: value, lower and upper bound; null for none.
        definition: That of the alert which judged them.
        is_sent: None when there is nobody to send it to.
    """

    id: str
    event: Kind
    alert: str
    metric: str
    when: str
    key: str
    dimensions: dict[str, object]
    opened: str
    start: int
    end: int
    at: int
    measures: dict[str, list[int | float | None]]
    definition: str
    is_sent: bool | None = None

    @property
    def text(self) -> str:
        """The event in a line, for people."""
        dimensions = "".join(f", {name} {value}" for name, value in self.dimensions.items())
        start, end = (f"{to_datetime(ms):%Y-%m-%d %H:%M}" for ms in (self.start, self.end))
        shown = "".join(f"; {name} {_shown(*ends)}" for name, ends in self.measures.items())
        windows = f"{self.event}, {start} to {end} UTC"
        return printable(f"{self.alert}{dimensions}: {windows} ({self.when}{shown})")

    def as_dict(self) -> dict[str, object]:
        """For JSON, as receivers get it; instants as ISO text."""
        moments = {name: to_iso(getattr(self, name)) for name in ("start", "end", "at")}
        names = ("value", "lower", "upper")
        measures = {m: dict(zip(names, ends, strict=True)) for m, ends in self.measures.items()}
        rest = {n: v for n, v in asdict(self).items() if n not in ("key", "definition", "is_sent")}
        return rest | moments | {"measures": measures, "text": self.text}


@dataclass(frozen=True, slots=True)
class Tracked:
    """A combination of dimensions that is open, or may open.

    Attributes:
        since: The start of the first of the windows in which the condition held, ms UTC.
        opened: The id of the event that opened it; None while it is pending.
    """

    since: int
    opened: str | None = None


@dataclass(frozen=True, slots=True)
class AlertState:
    """What is known of an alert.

    Attributes:
        definition: Of the alert that it is about.
        judged: The end of the last window that was judged, ms UTC; None before the first.
        tracked: What is open or pending, by its dimension values as canonical JSON.
        left_out: In the last window that was judged, combinations more than can be tracked.
        given_up: Events that were never sent, since it took too long or there were too many.
        events: The oldest first.
    """

    definition: str
    judged: int | None = None
    tracked: Mapping[str, Tracked] = field(default_factory=dict)
    left_out: int = 0
    given_up: int = 0
    events: tuple[AlertEvent, ...] = ()

    @property
    def open(self) -> dict[str, Tracked]:
        """What is open of what is tracked."""
        return {key: held for key, held in self.tracked.items() if held.opened is not None}

    @property
    def unsent(self) -> list[AlertEvent]:
        """The events that have not reached their receiver, the oldest first."""
        return [event for event in self.events if event.is_sent is False]

    def with_events(self, events: Iterable[AlertEvent], now: int) -> Self:
        """The state with more events, without those that need not be kept.

        Args:
            now: ms UTC; what was noticed long before is given up.
        """
        every = (*self.events, *events)
        unsent = [e for e in every if e.is_sent is False]
        waiting = {e.id for e in unsent[-MOST_UNSENT:] if e.at >= now - LOOK_BACK_MS}
        newest = {e.id for e in every[-MOST_EVENTS:]}
        kept = [
            replace(e, is_sent=None) if e.is_sent is False and e.id not in waiting else e
            for e in every
            if e.id in waiting or e.id in newest
        ]
        given_up = self.given_up + len(unsent) - len(waiting)
        return replace(self, events=tuple(kept), given_up=given_up)

    def without(self, sent: Collection[str]) -> Self:
        """The state in which the events with these ids have reached their receiver."""
        events = [replace(e, is_sent=True) if e.id in sent else e for e in self.events]
        return replace(self, events=tuple(events))


def event_id(alert: str, definition: str, kind: Kind, key: str, end: int) -> str:
    """What tells an event from all others: the same when it is made again after a crash.

    Args:
        key: The dimension values as canonical JSON.
        end: Of the windows that say so, ms UTC.
    """
    parts = json.dumps([alert, definition, kind, key, end])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


async def read_alert(store: ServingStore, alert: str) -> AlertState | None:
    """What is kept of an alert of that name; None when nothing is.

    Raises:
        CorruptStateError: It does not verify.
        StoreError: The store failed.
    """
    text = await read_kept(store, _id(alert))
    return None if text is None else _load(text)


async def change_alert(
    store: ServingStore, alert: str, change: Callable[[AlertState | None], Awaitable[AlertState]]
) -> None:
    """Replace what is kept of an alert of that name. Atomic.

    Args:
        change: Makes of the state that is there, or of None where none can be read, the one that
            shall be; it is called again when another process has changed it meanwhile.

    Raises:
        SpanConflictError: Others kept changing it; nothing was changed.
        StoreError: The store failed.
    """

    async def changed(text: bytes | None) -> bytes | None:
        try:
            before = None if text is None else _load(text)
        except CorruptStateError:
            before = None
        state = await change(before)
        return None if state == before else zlib.compress(json.dumps(asdict(state)).encode())

    await change_kept(store, _id(alert), changed)


def _id(alert: str) -> str:
    return f"alert:{alert}"


def _load(text: bytes) -> AlertState:
    try:
        plain: dict[str, Any] = json.loads(zlib.decompress(text))
        tracked = {key: Tracked(**item) for key, item in plain.pop("tracked").items()}
        events = tuple([AlertEvent(**event) for event in plain.pop("events")])
        return AlertState(**plain, tracked=tracked, events=events)
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise CorruptStateError(f"the stored state of an alert cannot be read: {error}") from error


def _shown(value: float | None, lower: float | None, upper: float | None) -> str:
    if value is None:
        return "none"
    if value == lower == upper:
        return f"{value:,}"
    ends = ("?" if end is None else f"{end:,}" for end in (lower, upper))
    return f"{value:,} [{', '.join(ends)}]"
