"""What batch takes back is told, once, and however late batch changes its mind."""

from collections.abc import Sequence

import pytest

from fastdata import Metric
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import SpanConflictError, StoreUnavailableError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip
from tests.alerts.shop import HOOK, NOON, Shop, measured, shop, state_of
from tests.answer.watched import Watched


async def opened_and_counted(here: Shop, failed: int) -> None:
    """It opens by two minutes, and batch counts the first of them anew."""
    await here.minute(10, 5)
    await here.minute(10, 5)
    await here.count(10, failed, NOON)
    await here.pass_(1)


async def test_what_batch_takes_back_is_said_once_and_no_more_open(metric: Metric) -> None:
    here = shop(metric, to=HOOK)
    await opened_and_counted(here, failed=0)

    for _ in range(2):
        await here.watch.turn(here.store)

    state = await state_of(here.store, here.alert)
    assert [("opened", 0, 2), ("retracted", 0, 1)] == measured(state)
    assert {} == state.open
    assert ["opened", "retracted"] == here.inbox.kinds
    assert here.inbox.events[0].id == here.inbox.events[1].opened


async def test_what_batch_takes_back_after_it_has_closed_is_said_too(metric: Metric) -> None:
    here = shop(metric)
    for failed in (5, 5, 0):
        await here.minute(10, failed)
    await here.count(10, 0, NOON)

    await here.watch.turn(here.store)

    events = measured(await state_of(here.store, here.alert))
    assert [("opened", 0, 2), ("closed", 2, 3), ("retracted", 0, 1)] == events


async def test_what_batch_confirms_stands(metric: Metric) -> None:
    here = shop(metric)
    await opened_and_counted(here, failed=9)

    await here.watch.turn(here.store)

    assert [("opened", 0, 2)] == measured(await state_of(here.store, here.alert))


async def test_batch_is_believed_however_late_it_changes_its_mind(metric: Metric) -> None:
    here = shop(metric)
    await opened_and_counted(here, failed=9)
    await here.watch.turn(here.store)
    await here.count(10, 0, NOON, version=2)

    await here.watch.turn(here.store)

    assert ("retracted", 0, 1) in measured(await state_of(here.store, here.alert))


async def test_what_batch_has_not_counted_is_no_reason_to_take_it_back(metric: Metric) -> None:
    here = shop(metric, "orders < 3", every="1h", for_="2h")
    await here.fold(1)
    await here.pass_(120)
    await here.watch.turn(here.store)
    assert [("opened", 0, 120)] == measured(await state_of(here.store, here.alert))
    now, here.now = here.now, NOON + HOUR_MS
    await here.fold(9)  # late, in the second hour
    here.now = now
    await here.count(1, 0, NOON)

    await here.watch.turn(here.store)

    assert [("opened", 0, 120)] == measured(await state_of(here.store, here.alert))


async def test_what_has_not_changed_is_not_read_again(metric: Metric) -> None:
    here = shop(metric)
    store = here.store = Watched()
    await opened_and_counted(here, failed=9)
    await here.watch.turn(store)
    before = len(store.totals)

    await here.watch.turn(store)

    assert before == len(store.totals)


class Failing(MemoryStore):
    """A store in which the next writes of an alert fail."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        if metric.startswith("alert:") and self.errors:
            raise self.errors.pop()
        await super().publish(metric, flips)


@pytest.mark.parametrize("error", [SpanConflictError("moved"), StoreUnavailableError("away")])
async def test_what_batch_takes_back_is_not_forgotten_when_it_cannot_be_kept(
    metric: Metric, error: Exception
) -> None:
    here = shop(metric)
    store = here.store = Failing()
    await opened_and_counted(here, failed=0)
    store.errors.append(error)

    for _ in range(2):
        await here.watch.turn(here.store)

    assert [("opened", 0, 2), ("retracted", 0, 1)] == measured(await state_of(store, here.alert))


async def test_events_of_a_window_that_batch_found_empty_are_taken_back(metric: Metric) -> None:
    here = shop(metric, when="orders >= 3")
    await here.minute(3)
    await here.minute(3)
    await here.count(0, 0, NOON)

    await here.watch.turn(here.store)

    assert ("retracted", 0, 1) in measured(await state_of(here.store, here.alert))
