"""When an alert opens and closes, by the verdicts on its windows."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from fastdata import Alert, Estimate, Metric
from fastdata.alerts.judging import begin, judge, retract, retractable
from fastdata.coordinates.instants import DAY_MS
from fastdata.store.alert_states import (
    LOOK_BACK_MS,
    MOST_EVENTS,
    MOST_TRACKED,
    MOST_UNSENT,
    AlertEvent,
    AlertState,
)
from tests.alerts.shop import MINUTE_MS, NOON, TOTAL, judged, measured


def alert_of(metric: Metric, for_: str = "3m", **more: object) -> Alert:
    options: dict[str, object] = {"when": "orders > 5", "every": "1m", "for_": for_}
    return Alert("many orders", metric, **options | more)  # type: ignore[arg-type]


def judged_all(
    alert: Alert, verdicts: Iterable[bool | None], state: AlertState | None = None
) -> AlertState:
    """The state after windows of the total, one after another."""
    state = state or begin(alert, None, NOON)
    for verdict in verdicts:
        window = NOON if state.judged is None else state.judged
        end = window + alert.every_ms
        state, events = judge(alert, state, window, {TOTAL: judged(verdict)}, end)
        state = state.with_events(events, end)
    return state


@pytest.mark.parametrize(
    ("verdicts", "events"),
    [
        ([True, True], []),
        ([True, True, True], [("opened", 0, 3)]),
        ([False, True, True, True, True], [("opened", 1, 4)]),
        ([True, True, False, True, True], []),
        ([True, True, None, True, True], []),
        ([True, True, True, None, True, True, True], [("opened", 0, 3)]),
        ([True] * 3 + [None] * 9 + [False], [("opened", 0, 3), ("closed", 12, 13)]),
        ([True] * 3 + [False] * 3, [("opened", 0, 3), ("closed", 3, 4)]),
        ([True] * 3 + [False] + [True] * 2, [("opened", 0, 3), ("closed", 3, 4)]),
        ([None] * 5 + [False] * 5, []),
    ],
)
def test_it_opens_after_windows_that_are_certain_and_closes_by_one(
    metric: Metric, verdicts: Sequence[bool | None], events: list[tuple[str, int, int]]
) -> None:
    assert events == measured(judged_all(alert_of(metric), verdicts))


def test_without_for_one_window_opens_it(metric: Metric) -> None:
    alert = Alert("x", metric, when="orders > 5", every="5m")

    assert [("opened", 0, 5)] == measured(judged_all(alert, [True]))


def test_windows_with_one_between_that_was_not_judged_do_not_count_together(
    metric: Metric,
) -> None:
    alert = alert_of(metric)
    state = judged_all(alert, [True, True])

    state, events = judge(alert, state, NOON + 5 * MINUTE_MS, {TOTAL: judged(True)}, NOON)

    assert (NOON + 5 * MINUTE_MS, []) == (state.tracked[TOTAL].since, events)


def test_each_combination_of_dimensions_is_for_itself(metric: Metric) -> None:
    alert = alert_of(metric, "2m", by="shop")
    rounds: list[dict[str, bool | None]] = [
        {"north": True, "south": True}, {"north": True, "south": None}, {"north": False},
    ]  # fmt: skip
    state, events = begin(alert, None, NOON), list[AlertEvent]()

    for number, verdicts in enumerate(rounds):
        found = {f'["{shop}"]': judged(v) for shop, v in verdicts.items()}
        state, new = judge(alert, state, NOON + number * MINUTE_MS, found, NOON)
        events += new

    assert [("opened", {"shop": "north"}), ("closed", {"shop": "north"})] == [
        (event.event, event.dimensions) for event in events
    ]
    assert events[0].id == events[1].opened


def test_more_combinations_than_can_be_kept_are_counted_and_what_is_open_stays(
    metric: Metric,
) -> None:
    alert = alert_of(metric, "1m", by="shop")
    first = {f"[{number}]": judged(True) for number in range(MOST_TRACKED)}
    more = {f"[{number}]": judged(True) for number in range(-5, MOST_TRACKED)}

    state, _ = judge(alert, begin(alert, None, NOON), NOON, first, NOON)
    state, events = judge(alert, state, NOON + MINUTE_MS, more, NOON)

    assert (5, set(first), []) == (state.left_out, set(state.tracked), events)


def test_an_event_has_the_same_id_when_it_is_made_again(metric: Metric) -> None:
    alert = alert_of(metric)
    once, again = (judged_all(alert, [True] * 3 + [False] + [True] * 3) for _ in range(2))

    ids = [event.id for event in once.events]
    assert ids == [event.id for event in again.events]
    assert 3 == len(set(ids))


def test_what_another_definition_has_open_is_closed(metric: Metric) -> None:
    state = judged_all(alert_of(metric), [True] * 3)
    other = alert_of(metric, when="orders > 7")

    state = begin(other, state, NOON)

    assert ({}, None) == (dict(state.tracked), state.judged)
    assert [("opened", 0, 3), ("closed", 0, 3)] == measured(state)
    assert [] == retractable(other, state)


def test_what_is_closed_for_another_definition_is_told_as_it_was_opened(metric: Metric) -> None:
    alert = alert_of(metric, "1m", by="shop")
    state, opened = judge(alert, begin(alert, None, NOON), NOON, {'["north"]': judged(True)}, NOON)

    other = alert_of(metric, when="orders > 7")
    state = begin(other, state.with_events(opened, NOON), NOON)

    told = [(event.when, event.dimensions) for event in state.events]
    assert [(alert.when, {"shop": "north"})] * 2 == told


def test_an_opening_is_taken_back_once(metric: Metric) -> None:
    alert = alert_of(metric)
    state = judged_all(alert, [True] * 4)
    (opened,) = retractable(alert, state)

    state = retract(alert, state, opened, NOON + MINUTE_MS, judged(False), NOON)

    assert [("opened", 0, 3), ("retracted", 1, 2)] == measured(state)
    assert opened.id == state.events[1].opened
    assert ({}, []) == (dict(state.tracked), retractable(alert, state))


def test_what_opened_longer_ago_than_batch_may_take_back_stands(metric: Metric) -> None:
    alert = alert_of(metric)
    state = judged_all(alert, [True] * 3 + [False])
    (opened,) = retractable(alert, state)

    assert [] == retractable(alert, replace(state, judged=opened.end + LOOK_BACK_MS))


def test_a_hundred_events_are_kept_and_those_that_wait_besides(metric: Metric) -> None:
    alert = alert_of(metric, "1m", to="https://hooks.example/x")
    state = judged_all(alert, [True, False] * 70)
    state = state.without([event.id for event in state.events[10:]])

    state = judged_all(alert, [True, False] * 5, state)

    assert MOST_EVENTS + 10 == len(state.events)
    assert (20, 0) == (len(state.unsent), state.given_up)


def test_what_waits_too_long_or_is_too_much_is_given_up_and_counted(metric: Metric) -> None:
    alert = alert_of(metric, "1m", to="https://hooks.example/x")
    state = judged_all(alert, [True, False] * (MOST_UNSENT // 2 + 5))
    assert (MOST_UNSENT, 10) == (len(state.unsent), state.given_up)

    state = state.with_events([], NOON + LOOK_BACK_MS + DAY_MS)

    assert (0, MOST_UNSENT + 10) == (len(state.unsent), state.given_up)


def test_a_thousand_days_around_the_threshold_give_no_false_alarm_and_each_real_one_once(
    metric: Metric,
) -> None:
    """Buyers of a quarter of an hour, by a sketch that is 5 % off at most in 99.7 % of answers.

    By day there are as many as the condition allows, or a little less, at night half of them. On
    each tenth day there are twice as many for an hour.
    """
    alert = Alert("crowd", metric, when="buyers > 10000", every="15m")
    rng = random.Random(7)
    state, opened = begin(alert, None, NOON), Counter[int]()
    outside = 0
    for number in range(1_000 * 96):
        day, quarter = divmod(number, 96)
        is_real = day % 10 == 5 and 40 <= quarter < 44
        truth = 20_000 if is_real else 5_000 if quarter < 32 else rng.randint(9_950, 10_000)
        value = truth * rng.gauss(1, 0.05 / 3)
        sketched = Estimate(value, value / 1.05, value / 0.95, 0.997)
        outside += truth < value / 1.05
        verdict = alert.verdict({"buyers": sketched})
        window = NOON + number * alert.every_ms
        state, events = judge(alert, state, window, {TOTAL: judged(verdict)}, window)
        opened.update(day for event in events if event.event == "opened")

    assert dict.fromkeys(range(5, 1_000, 10), 1) == opened
    assert outside > 50  # so often a sketch's own bound would have told a falsehood
