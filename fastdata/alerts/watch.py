"""Judges alerts again and again, keeps what came of it, and delivers it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastdata import failpoints
from fastdata.alerts.delivery import Send, post
from fastdata.alerts.judging import begin, judge, retract, retractable
from fastdata.alerts.reading import read_windows
from fastdata.coordinates.instants import ceil_to, floor_to, now_ms
from fastdata.declare.alert import Alert
from fastdata.errors import DeliveryError, FastdataError
from fastdata.store.alert_states import (
    LOOK_BACK_MS,
    AlertEvent,
    AlertState,
    change_alert,
    read_alert,
)
from fastdata.store.protocol import Head, ServingStore
from fastdata.store.rules import living, span_of

__all__ = ["AlertTurn", "AlertWatch"]

_Hour = tuple[str, int]  # the id of a metric, and the start of the hour
_LookedAt = Mapping[str, Mapping[_Hour, Head]]  # heads by the id of an event
_MOST_WINDOWS = 100  # that are judged by one answer
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 5_000, 60_000
_LONGEST_SENDING_MS = 10_000


@dataclass(slots=True)
class AlertTurn:
    """What came of looking at one alert.

    Attributes:
        events: New ones; they are kept, whether they were sent or not.
        errors: What went wrong; all of it is tried again.
    """

    events: list[AlertEvent] = field(default_factory=list)
    errors: list[FastdataError] = field(default_factory=list)


class AlertWatch:
    """Looks after one alert. Not for concurrent use.

    Two processes that look after the same alert judge it once, and may deliver its events twice.

    Args:
        clock: ms UTC.
        send: Delivers an event.
    """

    def __init__(
        self, alert: Alert, *, clock: Callable[[], int] = now_ms, send: Send = post
    ) -> None:
        self._alert = alert
        self._clock = clock
        self._send = send
        self._looked_at: _LookedAt = {}
        self._pause_ms = 0
        self._due = 0

    async def turn(self, store: ServingStore) -> AlertTurn:
        """Judge what is new, keep it, and deliver what has not been delivered.

        The state with its events is durable before anything is delivered, and each delivery is
        struck off after it: at least once, in order but for what is refused. Nothing is raised;
        what failed is done by the next turn.
        """
        turn = AlertTurn()
        for step in (self._judge, self._deliver):
            try:
                await step(store, turn)
            except FastdataError as error:
                turn.errors.append(error)
        return turn

    async def _judge(self, store: ServingStore, turn: AlertTurn) -> None:
        """Judge the windows that are over, some at a time."""
        alert, events, is_behind = self._alert, list[AlertEvent](), True
        looked_at: _LookedAt = {}

        async def next_state(before: AlertState | None) -> AlertState:
            nonlocal events, looked_at, is_behind
            now = self._clock()
            state, looked_at = await self._retracted(begin(alert, before, now), store, now)
            former = {event.id for event in before.events} if before else set[str]()
            events = [event for event in state.events if event.id not in former]
            # Of very many the state does not keep all.
            state, new, is_behind = await self._judged(state, store, now)
            events += new
            failpoints.reach("alerts.before_state")
            return state

        while is_behind:
            await change_alert(store, alert.name, next_state)
            failpoints.reach("alerts.after_state")
            turn.events += events
            self._looked_at = looked_at

    async def _judged(
        self, state: AlertState, store: ServingStore, now: int
    ) -> tuple[AlertState, list[AlertEvent], bool]:
        """The state after the next windows that are over, events of them, and whether more are."""
        alert = self._alert
        until = [await _fresh_until(topic, store) for topic in alert.topics]
        over = floor_to(min(*until, now) - alert.wait_ms, alert.every_ms)
        start = over - alert.windows * alert.every_ms if state.judged is None else state.judged
        start = max(start, over - floor_to(LOOK_BACK_MS, alert.every_ms))
        end = min(over, start + _MOST_WINDOWS * alert.every_ms)
        if start >= end or start < 0 or not await _is_folded(alert, store):
            return state, [], False
        verdicts = await read_windows(alert, start, end, state.tracked, store)
        if not verdicts.is_known:
            return state, [], False
        events = list[AlertEvent]()
        for window in range(start, end, alert.every_ms):
            of_window = verdicts.of(window, state.tracked)
            state, new = judge(alert, state, window, of_window, now)
            events += new
        return state.with_events(events, now), events, end < over

    async def _retracted(
        self, state: AlertState, store: ServingStore, now: int
    ) -> tuple[AlertState, _LookedAt]:
        """The state without what would not have opened by what batch has counted meanwhile."""
        alert = self._alert
        if not (openings := retractable(alert, state)):
            return state, {}
        first, last = min(event.start for event in openings), max(event.end for event in openings)
        heads = dict[_Hour, Head]()
        for metric in alert.metrics:
            of_metric = await store.heads(metric.id, span_of(first), ceil_to(last, metric.span_ms))
            heads |= {(metric.id, span): head for span, head in of_metric.items()}
        looked_at = {event.id: _of_windows(event, heads) for event in openings}
        changed = [e for e in openings if looked_at[e.id] != self._looked_at.get(e.id, {})]
        for start, end in sorted({(event.start, event.end) for event in changed}):
            events = [event for event in changed if (event.start, event.end) == (start, end)]
            keys = [event.key for event in events]
            verdicts = await read_windows(alert, start, end, keys, store)
            windows = [w for w in range(start, end, alert.every_ms) if verdicts.is_replayed(w)]
            for event in events:
                judged = [(w, verdicts.of(w, [event.key])[event.key]) for w in windows]
                for window, other in [pair for pair in judged if pair[1].verdict is False][:1]:
                    state = retract(alert, state, event, window, other, now)
        return state, looked_at

    async def _deliver(self, store: ServingStore, turn: AlertTurn) -> None:
        """Send what is due, and strike it off."""
        state, began = await read_alert(store, self._alert.name), self._clock()
        if state is None or self._alert.to is None or began < self._due:
            return
        sent, errors = set[str](), list[DeliveryError]()
        for event in state.unsent:
            try:
                await self._send(self._alert.to, event)
                sent.add(event.id)
            except DeliveryError as error:
                errors.append(error)
            # What is refused holds up no other one, and judging is not to wait for long.
            is_away = errors and not errors[-1].is_refused
            if is_away or self._clock() - began > _LONGEST_SENDING_MS:
                break
        turn.errors += errors
        longer_ms = min(2 * self._pause_ms or _FIRST_PAUSE_MS, _LONGEST_PAUSE_MS)
        self._pause_ms = longer_ms if errors else 0
        self._due = self._clock() + longer_ms if errors else 0
        failpoints.reach("alerts.after_delivery")

        async def struck_off(before: AlertState | None) -> AlertState:
            return (before or state).without(sent)

        if sent:
            await change_alert(store, self._alert.name, struck_off)


def _of_windows(event: AlertEvent, heads: Mapping[_Hour, Head]) -> dict[_Hour, Head]:
    """The heads of the hours that the windows of an event touch."""
    first, end = span_of(event.start), event.end
    return {hour: head for hour, head in heads.items() if first <= hour[1] < end}


async def _fresh_until(topic: str, store: ServingStore) -> int:
    """How far workers are, ms UTC; 0 where none has been."""
    return min([report.fresh_until for report in living(await store.progress(topic))], default=0)


async def _is_folded(alert: Alert, store: ServingStore) -> bool:
    """Whether either layer has anything of each metric: how far workers are is told of topics."""
    for metric in alert.metrics:
        if not await store.has_partials(metric.id) and await store.last_run(metric.id) is None:
            return False
    return True
