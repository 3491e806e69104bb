"""What is counted of open segments must be what a recount of their events says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastdata.coordinates.dimensions import is_tip
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Total
from fastdata.verify.reports import AGREES, UNEXPLAINED
from tests.verify.clicks import START, Clicks, found


@pytest.fixture
async def clicks(tmp_path: Path) -> Clicks:
    """Ten clicks of a closed segment and six of an open one, two of which are repeats."""
    made = Clicks(tmp_path, MemoryStore())
    for n in range(10):
        made.send(n)
    for n in range(4):
        made.send(n)
    for id in ("c3", "c11"):
        made.send(3 if id == "c3" else 1, id=id)
    await made.fold()
    await made.replay(close=False)
    return made


async def test_tips_are_compared_and_counted(clicks: Clicks) -> None:
    report = await clicks.verify()

    (metric,) = report.metrics
    assert (report.exit_code, []) == (AGREES, metric.findings)
    assert (10, 4) == (metric.total("events"), metric.total("tip_events"))
    assert (10, 4, 10) == tuple(map(metric.total, ("totals", "tips", "partials")))


async def test_tips_are_compared_when_their_segment_was_closed_since(clicks: Clicks) -> None:
    clicks.loop.log.fill(10)
    await clicks.loop.archive()

    (metric,) = (await clicks.verify()).metrics

    assert (4, []) == (metric.total("tips"), metric.findings)


Change = Callable[[Clicks, list[Total]], list[Total]]


def _doubled(clicks: Clicks, totals: list[Total]) -> list[Total]:
    (first, *others) = totals
    states = clicks.visits.load(first.state)
    clicks.visits.merge(states, clicks.visits.load(first.state))
    return [first._replace(state=clicks.visits.dump(states)), *others]


def _gone(_: Clicks, totals: list[Total]) -> list[Total]:
    return totals[1:]


def _made_up(_: Clicks, totals: list[Total]) -> list[Total]:
    return [*totals, totals[0]._replace(dims='["Rome"]@0')]


@pytest.mark.parametrize(
    ("change", "place", "answer", "expected"),
    [
        (_doubled, '00Z ["Oslo"]', 2, 1),
        (_gone, '00Z ["Oslo"]', "no tip", "1 event"),
        (_made_up, '00Z ["Rome"]', "a tip", "no events"),
    ],
)
async def test_a_tip_that_is_wrong_is_named(
    clicks: Clicks, change: Change, place: str, answer: object, expected: object
) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    ((key, totals),) = [item for item in store._totals.items() if item[0][1] == START]
    tips = [total for total in totals if is_tip(total.dims)]
    store._totals[key] = [t for t in totals if not is_tip(t.dims)] + change(clicks, tips)

    report = await clicks.verify()

    assert UNEXPLAINED == report.exit_code
    first = found(report.metrics[0])[0]
    where = f"2023-11-14T23:{place}, open segment of partition 0"
    assert ("batch", START, where) == first[:3]
    assert (answer, expected) == first[4:]


async def test_an_archive_that_closes_a_segment_meanwhile_is_read_again(clicks: Clicks) -> None:
    archive, get = clicks.loop.archived, clicks.loop.archived.get
    reads: list[str] = []

    async def closing_first(name: str) -> bytes | None:
        if name.startswith("tiles/") and name.endswith(".avro") and not reads:
            reads.append(name)
            clicks.loop.log.fill(10)
            await clicks.loop.archive()
        return await get(name)

    archive.get = closing_first  # type: ignore[method-assign]
    (metric,) = (await clicks.verify()).metrics

    assert reads
    assert (4, []) == (metric.total("tips"), metric.findings)
