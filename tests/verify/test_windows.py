"""Ready windows must be what the events of their hours make."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastdata.coordinates.instants import DAY_MS
from fastdata.measures.presented import NO_ESTIMATES
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
MANY = 1_200  # users of a day, with which its states are large


@pytest.fixture
async def clicks(tmp_path: Path) -> Clicks:
    """Four days of a click each half an hour, of two places; days begin at half past in UTC.

    On the third day there are many in both of them.
    """
    made = Clicks(tmp_path, MemoryStore(), ROLLED, segment=200)
    for n in range(2 * 24 * 4):
        made.send(30 * n, place="Rome" if n % 3 else "Oslo", user=n)
        for user in range(2 * MANY if n == 2 * 24 * 2 else 0):
            made.send(30 * n, place="Rome" if user % 2 else "Oslo", user=user)
    await made.fold()
    await made.replay()
    return made


async def rolled(clicks: Clicks, **options: object) -> VerifiedMetric:
    return (await clicks.verify(**options)).metrics[1]


def stored(clicks: Clicks, grain: str) -> tuple[tuple[str, int, int], list[Total]]:
    """The key and the totals of the last window of a grain, as its id has it, that has some."""
    store = clicks.store
    assert isinstance(store, MemoryStore)
    return max((key, t) for key, t in store._totals.items() if f"@{grain}@" in key[0] and t)


async def test_all_ready_windows_are_compared(clicks: Clicks) -> None:
    metric = await rolled(clicks)

    assert [] == metric.findings
    store = clicks.store
    assert isinstance(store, MemoryStore)
    id = clicks.declared[1].id
    # A day is one window, though it is kept in two parts.
    windows = {
        (kept.replace("@day-@", "@day@"), span)
        for kept, span in store._heads
        if kept.startswith(f"{id}@")
    }
    assert len(windows) > 10
    assert (len(windows), 0) == (metric.windows, metric.windows_left)
    rows = {kept: totals for (kept, span, _), totals in store._totals.items() if totals}
    assert len({kept for kept in rows if kept.startswith(f"{id}@")}) == 4


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
    key, totals = stored(clicks, "3d=" if grain == "3d" else grain)
    store = clicks.store
    assert isinstance(store, MemoryStore)
    by_dims = {total.dims: total for total in totals}
    assert {"[]", '["Oslo"]', '["Rome"]'} == by_dims.keys()
    # What is of both places, as if it were of one.
    wrong = by_dims["[]"]._replace(dims='["Oslo"]')
    store._totals[key] = [wrong, by_dims["[]"], wrong._replace(dims='["Bern"]')]

    report = await clicks.verify()

    assert UNEXPLAINED == report.exit_code
    findings = report.metrics[1].findings
    assert all(f.place.startswith(f"{grain} ") and f.span == key[1] for f in findings)
    said = {(f.place.rsplit(" ", 1)[1], f.measure, f.answer) for f in findings}
    assert ('["Bern"]', None, "a ready total") in said
    assert ('["Rome"]', None, "no ready total") in said
    assert {"clicks", "amount", "users"} == {m for place, m, _ in said if place == '["Oslo"]'}


async def test_a_row_of_a_day_is_in_one_of_its_parts(clicks: Clicks) -> None:
    (id, span, version), totals = stored(clicks, "day-")
    store = clicks.store
    assert isinstance(store, MemoryStore)
    others = id.replace("@day-@", "@day@"), span, version
    assert not store._totals.get(others)

    store._totals[others] = totals[:1]
    twice = await rolled(clicks)
    # Once small states had no place of their own; then they got one beside it.
    store._totals[others] = totals
    before = await rolled(clicks)
    store._totals[others] = []
    store._totals[id, span, version] = totals[1:]
    gone = await rolled(clicks)

    said = [
        [(finding.place.rsplit(" ", 1)[1], finding.answer) for finding in metric.findings]
        for metric in (twice, before, gone)
    ]
    (dims, _), _, _ = [(total.dims, total.state) for total in totals]
    assert [[(dims, "a ready total, twice")], [], [(dims, "no ready total")]] == said


async def test_what_cannot_be_read_is_named(clicks: Clicks) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    for grain in ("day-", "week", "3d="):
        key, totals = stored(clicks, grain)
        store._totals[key] = [totals[0]._replace(state=b"?"), *totals[1:]]

        (finding,) = (await rolled(clicks)).findings

        assert "a state that cannot be read" == finding.answer
        store._totals[key] = totals


async def test_estimates_that_cannot_be_stored_are_not_missed(clicks: Clicks) -> None:
    key, totals = stored(clicks, "3d=")
    store = clicks.store
    assert isinstance(store, MemoryStore)
    store._totals[key] = [total._replace(state=NO_ESTIMATES) for total in totals]

    assert [] == (await rolled(clicks)).findings


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
