"""Ready windows must be what the events of their hours make."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastdata.coordinates.instants import DAY_MS
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Total
from fastdata.verify.reports import UNEXPLAINED, VerifiedMetric
from tests.verify.clicks import HOUR, START, Clicks

ROLLED = """
rolled = Metric(
    "rolled", clicks, by=["place"], zone="Asia/Kolkata", rollups=["day", "week", "3d"],
    measures={"clicks": Count(), "amount": Sum("amount"), "users": Uniques("user")},
)
"""


@pytest.fixture
async def clicks(tmp_path: Path) -> Clicks:
    """Four days of a click each half an hour, of two places; days begin at half past in UTC."""
    made = Clicks(tmp_path, MemoryStore(), ROLLED)
    for n in range(2 * 24 * 4):
        made.send(30 * n, place="Rome" if n % 3 else "Oslo", user=n)
    await made.fold()
    await made.replay()
    return made


async def rolled(clicks: Clicks, **options: object) -> VerifiedMetric:
    return (await clicks.verify(**options)).metrics[1]


def stored(clicks: Clicks, grain: str) -> tuple[tuple[str, int, int], list[Total]]:
    """The key and the totals of the last ready window of a grain."""
    store = clicks.store
    assert isinstance(store, MemoryStore)
    return max((key, t) for key, t in store._totals.items() if f"@{grain}@" in key[0] and t)


async def test_all_ready_windows_are_compared(clicks: Clicks) -> None:
    metric = await rolled(clicks)

    assert [] == metric.findings
    store = clicks.store
    assert isinstance(store, MemoryStore)
    windows = [id for id, _ in store._heads if id.startswith(f"{clicks.declared[1].id}@")]
    assert len(windows) > 10
    assert (len(windows), 0) == (metric.windows, metric.windows_left)


async def test_those_with_hours_that_are_not_verified_are_left(clicks: Clicks) -> None:
    metric = await rolled(clicks, start=START, end=START + DAY_MS + 12 * HOUR)

    assert metric.windows_left > 0
    assert [] == metric.findings
    sampled = await rolled(clicks, sample=3)
    assert (0, []) == (sampled.windows, sampled.findings)
    assert sampled.windows_left > 0


@pytest.mark.parametrize("grain", ["day", "week", "3d"])
async def test_a_window_that_is_not_what_its_hours_make_is_named(
    clicks: Clicks, grain: str
) -> None:
    key, totals = stored(clicks, grain)
    metric, store = clicks.declared[1], clicks.store
    assert isinstance(store, MemoryStore)
    by_dims = {total.dims: total for total in totals}
    assert {"[]", '["Oslo"]', '["Rome"]'} == by_dims.keys()
    oslo = metric.load(by_dims['["Oslo"]'].state)
    metric.merge(oslo, metric.load(by_dims['["Rome"]'].state))
    wrong = replace(by_dims['["Oslo"]'], state=metric.dump(oslo))
    store._totals[key] = [wrong, by_dims["[]"], replace(wrong, dims='["Bern"]')]

    report = await clicks.verify()

    assert UNEXPLAINED == report.exit_code
    findings = report.metrics[1].findings
    assert all(f.place.startswith(f"{grain} ") and f.span == key[1] for f in findings)
    said = {(f.place.rsplit(" ", 1)[1], f.measure, f.answer) for f in findings}
    assert ('["Bern"]', None, "a ready total") in said
    assert ('["Rome"]', None, "no ready total") in said
    assert {"clicks", "amount", "users"} == {m for place, m, _ in said if place == '["Oslo"]'}


async def test_a_window_that_readers_do_not_use_is_not_compared(clicks: Clicks) -> None:
    before = (await rolled(clicks)).windows
    # The hour moves on without its windows: these are merged by readers until they are ready again.
    for n in range(20):
        clicks.send(1, place="Oslo", user=n)
    await clicks.fold()
    clicks.loop.metrics, declared = clicks.declared[:1], clicks.loop.metrics
    await clicks.replay()
    clicks.loop.metrics = declared
    store, id = clicks.store, clicks.declared[1].id
    assert isinstance(store, MemoryStore)
    head = store._heads[id, START]
    store._totals[id, START, 999] = store._totals[id, START, head.version]
    store._heads[id, START] = replace(head, version=999)

    metric = await rolled(clicks)

    assert metric.windows < before
    assert [] == metric.findings
