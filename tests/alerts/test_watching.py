"""An alert over the answers of a store: windows that are over, empty, in doubt, or taken back."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fastdata import Metric
from fastdata.coordinates.segments import Coverage
from fastdata.errors import StoreUnavailableError
from fastdata.operate.alerts import read_alerts
from fastdata.store.alert_states import LOOK_BACK_MS, MOST_EVENTS
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Flip, Gap, Reading
from tests.alerts.shop import MINUTE_MS, NOON, TOTAL, Shop, measured, shop, state_of


async def test_it_opens_and_closes_by_what_workers_have_folded(metric: Metric) -> None:
    here = shop(metric)
    for failed in (1, 3, 3, 3, 2):
        await here.minute(10, failed)

    state = await state_of(here.store, here.alert)

    assert [("opened", 1, 3), ("closed", 4, 5)] == measured(state)
    opened, closed = state.events
    assert {"failed": [3, 3, 3], "orders": [10, 10, 10]} == opened.measures
    assert {"failed": [2, 2, 2], "orders": [10, 10, 10]} == closed.measures


@pytest.mark.parametrize(
    ("until", "closes"), [(None, 3), ("failed / orders < 0.1", 5), ("orders > 0", 3)]
)
async def test_it_closes_by_a_condition_of_its_own(
    metric: Metric, until: str | None, closes: int
) -> None:
    here = shop(metric, until=until)
    for failed in (3, 3, 3, 1, 2, 0):
        await here.minute(10, failed)

    events = measured(await state_of(here.store, here.alert))
    assert [("opened", 0, 2), ("closed", closes, closes + 1)] == events


async def test_what_bounds_leave_open_closes_nothing(metric: Metric) -> None:
    here = shop(metric, when="orders > 4", until="orders < 2", for_="1m")
    await here.minute(5)
    await here.store.record_gap(Gap(metric.source.topic, 0, 5, 9))
    await here.minute(0)

    assert [("opened", 0, 1)] == measured(await state_of(here.store, here.alert))


async def test_a_window_is_judged_when_workers_are_past_its_end_and_the_wait(
    metric: Metric,
) -> None:
    here = shop(metric, every="5m", for_=None, wait="1m")
    judged = []
    for _ in range(7):
        await here.minute(10, 5)
        judged.append((await state_of(here.store, here.alert)).judged)

    assert [NOON, NOON + 5 * MINUTE_MS] == judged[4:6]
    assert ("opened", 0, 5) in measured(await state_of(here.store, here.alert))


async def test_while_a_partition_is_behind_nothing_is_judged(metric: Metric) -> None:
    here = shop(metric)
    await here.fold(10, 5)
    await here.pass_(1)
    topic = metric.source.topic
    (report,) = await here.store.progress(topic)
    behind = replace(report, partition=1, watermark=NOON, is_at_end=False)
    await here.store.upsert([], [behind])

    await here.watch.turn(here.store)

    judged = (await state_of(here.store, here.alert)).judged
    assert judged is not None
    assert judged <= NOON


@pytest.mark.parametrize("by", ["", "shop"])
async def test_windows_that_went_by_unseen_are_judged_later(metric: Metric, by: str) -> None:
    here = shop(metric, by=by or ())
    await here.minute(10)
    for minute in range(10):
        await here.fold(10, 5 if 2 <= minute < 5 else 0)
        await here.pass_(1)

    turn = await here.watch.turn(here.store)

    assert [("opened", 3, 5), ("closed", 6, 7)] == measured(await state_of(here.store, here.alert))
    assert ["opened", "closed"] == [event.event for event in turn.events]


async def test_of_a_longer_absence_the_last_days_are_judged(metric: Metric) -> None:
    here = shop(metric, every="1h", for_="2h")
    await here.minute(1)
    await here.pass_(10 * 24 * 60)

    await here.watch.turn(here.store)

    state = await state_of(here.store, here.alert)
    assert here.now - LOOK_BACK_MS < (state.judged or 0) <= here.now


async def test_a_window_without_events_is_what_measures_say_of_none(metric: Metric) -> None:
    here = shop(metric, when="orders < 3")
    for orders in (5, 0, 0, 4):
        await here.minute(orders)

    assert [("opened", 1, 3), ("closed", 3, 4)] == measured(await state_of(here.store, here.alert))


async def test_a_quotient_by_zero_leaves_what_is_open_as_it_is(metric: Metric) -> None:
    here = shop(metric)
    for orders, failed in ((10, 5), (10, 5), (0, 0), (0, 0), (10, 0)):
        await here.minute(orders, failed)

    assert [("opened", 0, 2), ("closed", 4, 5)] == measured(await state_of(here.store, here.alert))


async def test_in_a_gap_an_empty_window_says_nothing(metric: Metric) -> None:
    here = shop(metric, when="orders < 3")
    await here.store.record_gap(Gap(metric.source.topic, 0, 0, 5))
    for _ in range(4):
        await here.minute(0)

    assert [] == measured(await state_of(here.store, here.alert))


async def test_events_that_may_be_missing_keep_a_row_in_doubt(metric: Metric) -> None:
    here = shop(metric, when="orders < 3")
    await here.store.record_gap(Gap(metric.source.topic, 0, 0, 5))
    for _ in range(4):
        await here.minute(1)

    assert [] == measured(await state_of(here.store, here.alert))


async def test_by_dimensions_what_has_no_events_any_more_closes(metric: Metric) -> None:
    here = shop(metric, when="orders >= 3", by="shop", where="shop <> 'south'")
    for orders in (3, 3, 0):
        await here.fold(9, shop="south")
        await here.minute(orders)

    events = (await state_of(here.store, here.alert)).events
    north = {"shop": "north"}
    assert [("opened", north), ("closed", north)] == [(e.event, e.dimensions) for e in events]
    assert {"orders": [0, 0, 0]} == events[1].measures


async def test_a_sketch_whose_bounds_reach_past_the_threshold_fires_nothing(
    metric: Metric,
) -> None:
    here = shop(metric, when="buyers > 1950", for_=None)
    await here.minute(2_000)
    assert [] == measured(await state_of(here.store, here.alert))

    await here.minute(2_400)
    assert [("opened", 1, 2)] == measured(await state_of(here.store, here.alert))


async def test_after_the_rule_has_changed_it_begins_anew(metric: Metric) -> None:
    here = shop(metric)
    await here.minute(10, 5)
    await here.minute(10, 5)
    here.alert = shop(metric, when="failed > 1").alert
    here.begin()
    await here.minute(10, 5)

    state = await state_of(here.store, here.alert)
    assert [("opened", 0, 2), ("closed", 0, 2), ("opened", 1, 3)] == measured(state)


async def test_a_rule_that_comes_back_is_kept_also_while_no_worker_runs(metric: Metric) -> None:
    here = shop(metric)
    other = shop(metric, when="failed > 1").alert
    for alert in (here.alert, other, here.alert, other):
        here.alert = alert
        assert [] == (await here.begin().turn(here.store)).errors
        assert alert.definition == (await state_of(here.store, alert)).definition


async def test_two_processes_tell_each_event_once(metric: Metric) -> None:
    here = shop(metric)
    first, second = here.watch, here.begin()
    await here.fold(10, 5)
    await here.pass_(1)
    for watch in (first, second):
        await watch.turn(here.store)
    await here.fold(10, 5)
    await here.pass_(1)

    events = [event for w in (first, second) for event in (await w.turn(here.store)).events]

    assert ["opened"] == [event.event for event in events]


class Meanwhile(MemoryStore):
    """Another process judges the same alert while this one does."""

    def __init__(self) -> None:
        super().__init__()
        self.other: Shop | None = None

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        if self.other is not None:
            other, self.other = self.other, None
            await other.watch.turn(self)
        await super().publish(metric, flips)


async def test_who_is_overtaken_takes_what_the_other_has_judged(metric: Metric) -> None:
    here = shop(metric, for_=None)
    store = here.store = Meanwhile()
    await here.fold(10, 5)
    await here.pass_(1)
    store.other = Shop(metric, store, here.alert)
    store.other.now = here.now + 1

    turn = await here.watch.turn(store)

    assert ([], []) == (turn.events, turn.errors)
    assert [("opened", 0, 1)] == measured(await state_of(store, here.alert))


class Away(MemoryStore):
    """A store that does not answer while it is away."""

    is_away = False

    async def read(self, *arguments: object, **more: object) -> Reading:
        if self.is_away:
            raise StoreUnavailableError("the store is away")
        return await super().read(*arguments, **more)  # type: ignore[arg-type]


async def test_a_store_that_is_away_is_said_and_judged_when_it_is_back(metric: Metric) -> None:
    here = shop(metric, for_=None)
    store = here.store = Away()
    await here.fold(10, 5)
    await here.pass_(1)
    store.is_away = True
    turn = await here.watch.turn(store)
    assert {"the store is away"} == {str(error) for error in turn.errors}

    store.is_away = False
    turn = await here.watch.turn(store)

    assert ["opened"] == [event.event for event in turn.events]


async def test_a_state_that_does_not_verify_is_begun_anew(metric: Metric) -> None:
    here = shop(metric, for_=None)
    id = f"alert:{here.alert.name}"
    rows = await here.store.write_totals(id, 1, {0: [(0, TOTAL, b"\x01\0\0\0\0x")]})
    await here.store.publish(id, [Flip(0, None, 1, Coverage(), rows[0])])

    await here.minute(10, 5)

    assert [("opened", 0, 1)] == measured(await state_of(here.store, here.alert))


async def test_of_very_many_combinations_each_event_is_told_on_one_line(metric: Metric) -> None:
    here = shop(metric, "orders > 0", for_=None, by="shop")
    for number in range(MOST_EVENTS + 50):
        await here.fold(1, shop=f"\x1b[2J\n{number}")
    await here.pass_(1)

    events = (await here.watch.turn(here.store)).events

    assert MOST_EVENTS + 50 == len({event.key for event in events})
    assert all(event.text.isprintable() for event in events)
    (status,) = await read_alerts(here.store, [here.alert])
    assert status.text.isprintable()


async def test_nothing_is_judged_while_workers_fold_another_definition(metric: Metric) -> None:
    here = shop(metric, when="orders < 5", for_=None)
    await here.pass_(3)
    await here.watch.turn(here.store)
    before = (await state_of(here.store, here.alert)).judged
    await here.minute(9)

    assert before is None
    assert NOON + 4 * MINUTE_MS == (await state_of(here.store, here.alert)).judged
