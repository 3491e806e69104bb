"""Totals of whole hours must be what a recount of the events of their minutes says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Total
from fastdata.verify.reports import AGREES, UNEXPLAINED
from tests.verify.clicks import START, Clicks, found


@pytest.fixture
async def clicks(tmp_path: Path) -> Clicks:
    """A click in each of 50 minutes, two of them again, in closed segments."""
    made = Clicks(tmp_path, MemoryStore())
    for n in range(50):
        made.send(n)
    for n in (3, 5):
        made.send(n, id=f"c{n}")
    await made.fold()
    await made.replay()
    return made


async def test_hours_are_compared_and_counted(clicks: Clicks) -> None:
    report = await clicks.verify()

    (metric,) = report.metrics
    assert (report.exit_code, []) == (AGREES, metric.findings)
    assert (50, 1) == (metric.total("totals"), metric.total("hours"))


async def test_minutes_without_hours_are_no_finding(clicks: Clicks) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    store._hours = {key: [] for key in store._hours}

    (metric,) = (await clicks.verify()).metrics

    assert (50, 0, []) == (metric.total("totals"), metric.total("hours"), metric.findings)


Change = Callable[[Clicks, list[Total]], list[Total]]


def _doubled(clicks: Clicks, totals: list[Total]) -> list[Total]:
    (hour,) = totals
    states = clicks.visits.load(hour.state)
    clicks.visits.merge(states, clicks.visits.load(hour.state))
    return [hour._replace(state=clicks.visits.dump(states))]


def _made_up(_: Clicks, totals: list[Total]) -> list[Total]:
    return [*totals, totals[0]._replace(dims='["Rome"]')]


def _gone(_: Clicks, totals: list[Total]) -> list[Total]:
    return [totals[0]._replace(dims='["Rome"]')]


@pytest.mark.parametrize(
    ("change", "place", "answer", "expected"),
    [
        (_doubled, '["Oslo"]', 100, 50),
        (_made_up, '["Rome"]', "a total of the hour", "no events"),
        (_gone, '["Oslo"]', "no total of the hour", "50 events"),
    ],
)
async def test_an_hour_that_is_wrong_is_named(
    clicks: Clicks, change: Change, place: str, answer: object, expected: object
) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    ((key, totals),) = [item for item in store._hours.items() if item[0][1] == START]
    store._hours[key] = change(clicks, totals)

    report = await clicks.verify()

    assert UNEXPLAINED == report.exit_code
    where = f"2023-11-14T23:00Z {place} (the hour)"
    assert ("batch", START, where, answer, expected) in [
        (layer, span, text, value, right)
        for layer, span, text, _, value, right in found(report.metrics[0])
    ]
