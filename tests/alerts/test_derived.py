"""An alert over metrics of two topics, by what is computed from both."""

from pathlib import Path

import pytest

from fastdata import Alert, DerivedMetric
from fastdata.alerts.watch import AlertTurn
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Gap
from tests.alerts.shop import NOON, Shop, declare, measured, state_of


class Two:
    """Orders by one topic, and returns by another."""

    def __init__(self, folder: Path, **more: str) -> None:
        orders, returns = declare(folder), declare(folder, "returns")
        self.store = MemoryStore()
        self.derived = DerivedMetric(
            "quality",
            [orders, returns, declare(folder, "visits")],
            measures={"share": "returns.orders / orders.orders", "visits": "visits.orders * 1.0"},
        )
        options = {"when": "share > 0.2", "every": "1m", "for_": "2m", "wait": "0s"}
        self.alert = Alert("returns", self.derived, **options | more)
        self.orders = Shop(orders, self.store, self.alert)
        self.returns = Shop(returns, self.store, self.alert)

    async def minute(self, orders: int, returns: int, shop: str = "north") -> AlertTurn:
        """A minute is over in both topics, and judged."""
        await self.orders.fold(orders, shop=shop)
        await self.returns.fold(returns, shop=shop)
        for side in (self.orders, self.returns):
            await side.pass_(1)
        return await self.orders.watch.turn(self.store)

    async def events(self) -> list[tuple[str, int, int]]:
        return measured(await state_of(self.store, self.alert))


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)


async def test_it_opens_and_closes_by_the_numbers_of_both(two: Two) -> None:
    for returns in (1, 3, 3, 2):
        await two.minute(10, returns)

    assert [("opened", 1, 3), ("closed", 3, 4)] == await two.events()
    opened, _ = (await state_of(two.store, two.alert)).events
    assert ("quality", {"share": [0.3, 0.3, 0.3]}) == (opened.metric, opened.measures)


async def test_where_one_has_no_events_it_has_none_and_by_none_nothing_is_divided(
    two: Two,
) -> None:
    await two.minute(10, 3)
    await two.minute(10, 3)
    await two.minute(0, 0)
    assert [("opened", 0, 2)] == await two.events()

    await two.minute(10, 0)
    assert [("opened", 0, 2), ("closed", 3, 4)] == await two.events()


async def test_each_combination_of_common_dimensions_is_for_itself(tmp_path: Path) -> None:
    two = Two(tmp_path, by="shop", where="shop <> 'west'")
    for _ in range(2):
        for shop in ("south", "west"):
            await two.orders.fold(10, shop=shop)
        await two.returns.fold(9, shop="west")
        await two.minute(10, 5)

    events = (await state_of(two.store, two.alert)).events
    assert [("opened", {"shop": "north"})] == [(e.event, e.dimensions) for e in events]


async def test_while_one_topic_is_behind_nothing_is_judged(two: Two) -> None:
    await two.minute(10, 5)
    for _ in range(3):
        await two.orders.fold(10)
        await two.orders.pass_(1)
        await two.orders.watch.turn(two.store)

    assert two.orders.now - NOON == 4 * 60_000
    assert [] == await two.events()


async def test_before_both_are_counted_nothing_is_judged(two: Two) -> None:
    for _ in range(3):
        assert [] == (await two.minute(10, 0)).errors

    assert (await state_of(two.store, two.alert)).judged is None


async def test_a_gap_of_one_topic_leaves_an_empty_minute_open(tmp_path: Path) -> None:
    two = Two(tmp_path, when="share < 0.2", for_="1m")
    await two.store.record_gap(Gap("returns", 0, 0, 5))
    await two.minute(10, 5)
    await two.minute(10, 0)

    assert [] == await two.events()


async def test_batch_takes_it_back_when_it_has_counted_both(two: Two) -> None:
    await two.minute(10, 5)
    await two.minute(10, 5)
    await two.orders.count(10, 0, NOON)
    await two.minute(10, 5)
    assert [("opened", 0, 2)] == await two.events()

    await two.returns.count(1, 0, NOON)
    await two.minute(10, 5)
    assert [("opened", 0, 2), ("retracted", 0, 1)] == (await two.events())[:2]
