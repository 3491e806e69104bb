"""Events reach their receiver at least once, through crashes, restarts and its own absence."""

from itertools import pairwise

import pytest

from fastdata import Metric, failpoints
from fastdata.failpoints import FailpointError
from tests.alerts.shop import HOOK, measured, shop, state_of


@pytest.mark.parametrize(
    "place",
    [
        "alerts.before_state", "store.after_totals", "store.before_flip", "store.after_flip",
        "alerts.after_state", "alerts.after_delivery",
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_after_a_crash_anywhere_each_event_comes_at_least_once_and_none_is_another(
    metric: Metric, place: str, at: int
) -> None:
    here = shop(metric, for_=None, to=HOOK)
    failpoints.set_action(place, "raise", at)
    crashes = 0
    for failed in (5, 5, 0, 5):
        await here.fold(10, failed)
        await here.pass_(1)
        try:
            await here.watch.turn(here.store)
        except FailpointError:
            crashes += 1
            here.begin()
            await here.watch.turn(here.store)
    failpoints.clear(place)

    state = await state_of(here.store, here.alert)
    assert [("opened", 0, 1), ("closed", 2, 3), ("opened", 3, 4)] == measured(state)
    assert crashes == 1 or place == "alerts.after_delivery"
    assert [event.id for event in state.events] == list(
        dict.fromkeys(event.id for event in here.inbox.events)
    )
    assert 3 <= len(here.inbox.events) <= 4
    assert [] == state.unsent


async def test_a_receiver_that_was_away_gets_all_in_order_also_from_another_process(
    metric: Metric,
) -> None:
    here = shop(metric, for_=None, to=HOOK)
    here.inbox.is_away = True
    for failed in (5, 0, 5):
        await here.fold(10, failed)
        await here.pass_(1)
        await here.watch.turn(here.store)
    assert 3 == here.inbox.calls  # one a turn, as the first in order waits

    here.inbox.is_away = False
    here.begin()
    await here.watch.turn(here.store)

    assert ["opened", "closed", "opened"] == here.inbox.kinds
    assert [] == (await state_of(here.store, here.alert)).unsent


async def test_a_receiver_that_is_away_is_asked_less_and_less_often(metric: Metric) -> None:
    here = shop(metric, for_=None, to=HOOK)
    here.inbox.is_away = True
    await here.minute(10, 5)
    asked = [here.now]
    for _ in range(300):
        here.now += 1_000
        before = here.inbox.calls
        await here.watch.turn(here.store)
        asked += [here.now] * (here.inbox.calls - before)

    pauses = [(b - a) // 1_000 for a, b in pairwise(asked)]
    assert [5, 10, 20, 40, 60, 60, 60] == pauses


async def test_an_event_that_is_refused_holds_up_no_other(metric: Metric) -> None:
    here = shop(metric, for_=None, to=HOOK)
    here.inbox.refuses = "opened"
    for failed in (5, 0):
        await here.fold(10, failed)
        await here.pass_(1)
        await here.watch.turn(here.store)

    state = await state_of(here.store, here.alert)
    assert ["closed"] == here.inbox.kinds
    assert ["opened"] == [event.event for event in state.unsent]
