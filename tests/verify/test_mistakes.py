"""Mistakes that are planted in either layer are found, and named with their place."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fastdata.measures import sums, uniques
from fastdata.measures.aggregate import CALL
from fastdata.store.memory import MemoryStore
from fastdata.verify.reports import UNEXPLAINED
from tests.verify.clicks import MINUTE, START, Clicks, dims, found


@pytest.fixture
async def clicks(tmp_path: Path) -> Clicks:
    """Thirty clicks of one place and ten of another, folded and replayed."""
    made = Clicks(tmp_path, MemoryStore())
    for n in range(40):
        made.send(n // 5, place="Rome" if n % 4 == 0 else "Oslo")
    await made.fold()
    await made.replay()
    return made


def at(minute: int, *values: object) -> str:
    return f"2023-11-14T23:{minute:02}Z {dims(*values)}"


async def test_an_altered_total_is_named(clicks: Clicks) -> None:
    await clicks.alter_total(START + 3 * MINUTE, [(1, 7)])

    report = await clicks.verify()

    assert report.exit_code == UNEXPLAINED
    expected = sum(10 + n for n in range(15, 20) if n % 4)
    rome = 10 + 16
    assert [
        ("batch", START, at(3, "Oslo"), "amount", expected + 7, expected),
        ("batch", START, at(3, "Rome"), "amount", rome + 7, rome),
    ] == found(report.metrics[0])


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_total_that_is_gone_or_made_up_is_named(clicks: Clicks, is_gone: bool) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    ((key, totals),) = [item for item in store._totals.items() if item[0][1] == START]
    one = totals[0]
    store._totals[key] = totals[1:] if is_gone else [*totals, one._replace(dims='["Paris"]')]

    ((layer, span, place, *_),) = found(await clicks.verified())

    named = (one.window - START) // MINUTE, json.loads(one.dims)[0] if is_gone else "Paris"
    assert ("batch", START, at(*named)) == (layer, span, place)


async def test_a_total_that_cannot_be_read_is_named(clicks: Clicks) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    ((key, totals),) = [item for item in store._totals.items() if item[0][1] == START]
    store._totals[key] = [totals[0]._replace(state=b"broken"), *totals[1:]]

    (finding,) = (await clicks.verified()).findings

    assert "a state that cannot be read" == finding.answer


async def test_an_altered_partial_is_named(clicks: Clicks) -> None:
    store, metric = clicks.store, clicks.visits
    (partial, *_) = [
        p for p in await store.partials(metric.id, START, START + MINUTE) if p.dims == '["Oslo"]'
    ]
    states = metric.load(partial.state)
    states[4] = metric.aggregates[4].add(states[4], 99)
    forged = partial._replace(stamp=partial.stamp + 1, state=metric.dump(states))
    await store.upsert([forged], [])

    ((layer, _, place, measure, value, expected),) = found(await clicks.verified())

    assert ("speed", "largest", 99, 13) == (layer, measure, value, expected)
    assert f"{at(0, 'Oslo')}, partition 0, segment 0" == place


async def test_a_partial_that_is_gone_is_unexplained(clicks: Clicks) -> None:
    store = clicks.store
    assert isinstance(store, MemoryStore)
    key = next(k for k in store._partials if k[0] == clicks.visits.id and k[2] == '["Oslo"]')
    del store._partials[key]

    metric = await clicks.verified()

    (finding,) = metric.findings
    assert f"{at(0, 'Oslo')}, partition 0, segment 0" == finding.place
    assert ("no partial", "3 events") == (finding.answer, finding.expected)
    assert finding.detail.startswith("a worker has folded them, as its progress says")
    assert 3 == sum(span.unexplained for span in metric.spans)


async def test_more_events_missing_than_were_left_out_are_unexplained(tmp_path: Path) -> None:
    store = MemoryStore()
    clicks = Clicks(tmp_path, store)
    clicks.send(200)
    for n in range(3):
        clicks.send(190, place=f"p{n}")
    clicks.send(1)
    clicks.send(190, came=START + 200 * MINUTE)
    clicks.send(10)
    await clicks.fold()
    await clicks.replay()
    assert {"late": 2} == +(await clicks.verified()).causes
    for key in [k for k in store._partials if k[2] in ('["p0"]', '["p1"]')]:
        del store._partials[key]

    metric = await clicks.verified()

    assert 2 == sum(span.unexplained for span in metric.spans)
    assert metric.findings


async def test_a_merge_that_loses_what_it_is_given_is_found_in_both_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    for n in range(40):
        clicks.send(n // 8)
    await clicks.fold()
    await clicks.replay()
    monkeypatch.setattr(sums._WholeSum, "merge", lambda self, state, other: max(state, other))

    wrong = found(await clicks.verified())

    assert {"amount"} == {measure for *_, measure, _, _ in wrong}
    assert {"batch", "speed"} == {layer for layer, *_ in wrong}
    assert ("batch", f"the hour, {dims('Oslo')}", sum(range(10, 50))) in [
        (layer, place, expected) for layer, _, place, *_, expected in wrong
    ]
    assert {("speed", at(1, "Oslo")), ("speed", at(2, "Oslo")), ("speed", at(3, "Oslo"))} == {
        (layer, place) for layer, _, place, *_ in wrong if layer == "speed"
    }


async def test_an_aggregate_that_adds_wrongly_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = sums._WholeSum.add
    monkeypatch.setattr(sums._WholeSum, "add", lambda self, s, value: add(self, s, value) + 1)
    monkeypatch.setattr(sums._WholeSum, "add_code", CALL)
    clicks = Clicks(tmp_path, MemoryStore())
    for n in range(10):
        clicks.send(n)
    await clicks.fold()
    await clicks.replay()

    wrong = found(await clicks.verified())

    # Batch adds by columns, and so without this mistake.
    assert {"speed"} == {layer for layer, *_ in wrong}
    assert {("amount", 1)} == {(measure, v - e) for *_, measure, v, e in wrong}  # type: ignore[operator]


async def test_a_sketch_that_is_off_by_more_than_it_says_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    for n in range(2_000):
        clicks.send(0, user=n)
    await clicks.fold()
    await clicks.replay()
    assert [] == (await clicks.verified()).findings
    present = uniques._UniquesAggregate.present

    def wrong(self: uniques._UniquesAggregate, state: object) -> object:
        right = present(self, state)  # type: ignore[arg-type]
        if right.is_exact:
            return right
        value, lower, upper = right.value, right.lower, right.upper
        assert isinstance(value, int)
        assert isinstance(lower, int)
        assert isinstance(upper, int)
        return replace(right, value=value + 200, lower=lower + 200, upper=upper + 200)

    monkeypatch.setattr(uniques._UniquesAggregate, "present", wrong)

    assert {"users"} == {finding.measure for finding in (await clicks.verified()).findings}
