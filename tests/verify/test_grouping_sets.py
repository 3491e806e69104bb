"""A metric with grouping sets: each event is in every set, and is a difference once."""

from pathlib import Path

import pytest

from fastdata.store.memory import MemoryStore
from fastdata.verify.reports import AGREES, UNEXPLAINED
from tests.verify.clicks import MINUTE, START, Clicks, found

SETS = """
by_sets = Metric(
    "by_sets", clicks, by=[("place", "user"), (), ("place",)],
    measures={"clicks": Count(), "amount": Sum("amount")},
)
big = Metric(
    "big", clicks, where="amount >= 20", by={"city": "upper(place)"}, grouping_sets=[("city",), ()],
)
"""


@pytest.fixture
async def clicks(tmp_path: Path) -> Clicks:
    """Twenty-six clicks of two places, six of them late, and one that is a repeat in time."""
    made = Clicks(tmp_path, MemoryStore(), SETS)
    for n in range(20):
        made.send(300 + n, place="Rome" if n % 4 == 0 else "Oslo")
    for n in range(6):
        made.send(n, came=START + 320 * MINUTE, amount=17 + n)
    made.send(301, id="c1", came=START + 320 * MINUTE)
    await made.fold()
    await made.replay()
    return made


async def test_a_cause_is_counted_once_for_all_sets(clicks: Clicks) -> None:
    report = await clicks.verify()
    visits, by_sets, big = report.metrics

    assert report.exit_code == AGREES
    assert [] == by_sets.findings == big.findings
    assert {"late": 6} == +visits.causes == +by_sets.causes
    assert {"late": 3} == +big.causes
    assert visits.errors()["clicks"]["rows"] == 26
    assert by_sets.errors()["clicks"]["rows"] == 3 * 26


async def test_a_mistake_in_one_set_is_named_there(clicks: Clicks) -> None:
    store, metric = clicks.store, clicks.declared[1]
    (partial,) = [
        p
        for p in await store.partials(metric.id, START, START + 400 * MINUTE)
        if p.dims == "[1]" and p.window == START + 307 * MINUTE
    ]
    states = metric.zero()
    metric.add_values(states, [None, 5])
    metric.add_values(states, [None, 6])
    forged = partial._replace(stamp=partial.stamp + 1, state=metric.dump(states))
    await store.upsert([forged], [])

    report = await clicks.verify()

    assert report.exit_code == UNEXPLAINED
    assert 1 == sum(span.unexplained for span in report.metrics[1].spans)
    place = "2023-11-15T04:07Z [1], partition 0, segment 0"
    assert {(place, "clicks", 2, 1), (place, "amount", 11, 17)} == {
        named[2:] for named in found(report.metrics[1])
    }


async def test_a_total_that_is_gone_is_named_with_its_set(clicks: Clicks) -> None:
    store, metric = clicks.store, clicks.declared[1]
    assert isinstance(store, MemoryStore)
    for key, totals in store._totals.items():
        if key[0] == metric.id:
            store._totals[key] = [t for t in totals if t.dims != '[2,"Rome"]']

    findings = found((await clicks.verify()).metrics[1])

    assert 5 == len(findings)
    assert {("batch", "no total", '[2, "Rome"]')} == {
        (layer, seen, str(place).partition(" ")[2]) for layer, _, place, _, seen, _ in findings
    }
