"""What opens and closes an alert. Pure: from the verdicts on windows to states and events."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastdata.declare.alert import Alert
from fastdata.store.alert_states import (
    LOOK_BACK_MS,
    MOST_TRACKED,
    AlertEvent,
    AlertState,
    Kind,
    Tracked,
    event_id,
)

__all__ = ["Judged", "begin", "judge", "retract", "retractable"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the condition of an alert is in one window, for one combination of dimensions.

    Attributes:
        verdict: Whether it certainly holds, or certainly does not; None when neither.
        is_over: Whether what is open closes.
        measures: Value, lower and upper bound of each measure that it names.
    """

    verdict: bool | None
    is_over: bool
    measures: dict[str, list[int | float | None]]


def begin(alert: Alert, state: AlertState | None, now: int) -> AlertState:
    """The state to go on with; another definition closes what the one before has open."""
    if state is None:
        return AlertState(alert.definition)
    if state.definition == alert.definition:
        return state
    end = state.judged or 0
    openings, closed = {event.id: event for event in state.events}, list[AlertEvent]()
    for key, held in state.open.items():
        event = _event(alert, "closed", key, Judged(None, True, {}), held, end, now)
        event = replace(event, dimensions={})  # of what the values are, only the other one knows
        if old := openings.get(held.opened or ""):
            event = replace(event, metric=old.metric, when=old.when, dimensions=old.dimensions)
        closed.append(event)
    anew = AlertState(alert.definition, given_up=state.given_up, events=state.events)
    return anew.with_events(closed, now)


def judge(
    alert: Alert, state: AlertState, window: int, verdicts: Mapping[str, Judged], now: int
) -> tuple[AlertState, list[AlertEvent]]:
    """The state after one more window, and the events of it, which are not in the state yet.

    Args:
        state: After the window before; what is pending does not outlive a window between.
        window: Its start, ms UTC.
        verdicts: By dimension values as canonical JSON: of all that is tracked, and of others.
        now: ms UTC.
    """
    end = window + alert.every_ms
    tracked, events, left_out = dict(state.open), list[AlertEvent](), 0
    pending = state.tracked if state.judged == window else {}
    for key, judged in verdicts.items():
        held = tracked.get(key)
        if held is not None:
            if judged.is_over:
                del tracked[key]
                held = replace(held, since=window)
                events.append(_event(alert, "closed", key, judged, held, end, now))
        elif judged.verdict:
            held = pending.get(key, Tracked(window))
            if len(tracked) >= MOST_TRACKED:
                left_out += 1
                continue
            if end - held.since >= alert.windows * alert.every_ms:
                id = event_id(alert.name, alert.definition, "opened", key, end)
                held = replace(held, opened=id)
                events.append(_event(alert, "opened", key, judged, held, end, now))
            tracked[key] = held
    return replace(state, judged=end, tracked=tracked, left_out=left_out), events


def retractable(alert: Alert, state: AlertState) -> list[AlertEvent]:
    """The events that opened the alert and may still be taken back, the oldest first."""
    retracted = {event.opened for event in state.events if event.event == "retracted"}
    earliest = (state.judged or 0) - LOOK_BACK_MS
    return [
        event
        for event in state.events
        if event.event == "opened"
        and event.definition == alert.definition
        and event.id not in retracted
        and event.end > earliest
    ]


def retract(
    alert: Alert, state: AlertState, opened: AlertEvent, window: int, judged: Judged, now: int
) -> AlertState:
    """The state without what an event opened, as the condition did not hold in one of its windows.

    Args:
        window: The start of that window, ms UTC.
        judged: What batch has counted of it.
    """
    tracked = {key: held for key, held in state.tracked.items() if held.opened != opened.id}
    held = Tracked(window, opened.id)
    end = window + alert.every_ms
    event = _event(alert, "retracted", opened.key, judged, held, end, now)
    # There is one for each that opened, whatever the window.
    id = event_id(alert.name, alert.definition, "retracted", opened.key, opened.end)
    return replace(state, tracked=tracked).with_events([replace(event, id=id)], now)


def _event(
    alert: Alert, kind: Kind, key: str, judged: Judged, held: Tracked, end: int, now: int
) -> AlertEvent:
    return AlertEvent(
        id=event_id(alert.name, alert.definition, kind, key, end),
        event=kind,
        alert=alert.name,
        metric=alert.metric.name,
        when=alert.when,
        key=key,
        dimensions=alert.dimensions(key),
        opened=held.opened or "",
        start=held.since,
        end=end,
        at=now,
        measures=judged.measures,
        definition=alert.definition,
        is_sent=None if alert.to is None else False,
    )
