"""Sketches past their exact range: right ones fit a plain count, and wrong ones do not."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import pytest

from fastdata import Frequency, Quantiles, Sets, TopK
from fastdata.declare.metric import Measure
from fastdata.events.fieldtypes import FieldType
from fastdata.measures import topk
from fastdata.measures.estimates import Estimate
from fastdata.store.memory import MemoryStore
from fastdata.verify.plain import fits, recount
from tests.verify.clicks import Clicks

MORE = """
from fastdata import Frequency, Quantiles, Sets, TopK

sketches = Metric("sketches", clicks, by=["place"], measures={
    "clicks": Count(), "top": TopK("user", k=3), "spent": TopK("user", weight="amount", k=3),
    "shares": Quantiles("seconds"), "set": Sets("user"), "often": Frequency("user"),
})
"""
INT, FLOAT = FieldType("int"), FieldType("float")


def fold(measure: Measure, values: list[object], *types: FieldType) -> Estimate:
    aggregate = measure.bind(*types)
    state = aggregate.zero()
    for value in values:
        state = aggregate.add(state, value)
    return aggregate.present(state)


def many(count: int = 20_000) -> list[object]:
    """Numbers of which small ones are frequent."""
    rng = Random(7)
    return [int(rng.paretovariate(0.5)) for _ in range(count)]


@pytest.mark.parametrize("measure", [TopK("x", k=5), Sets("x"), Frequency("x")], ids=repr)
@pytest.mark.parametrize("count", [0, 300, 20_000])
def test_items_are_as_a_sketch_says(measure: Measure, count: int) -> None:
    values = many(count)
    assert fits(measure, fold(measure, values, INT), values)


@pytest.mark.parametrize("count", [0, 300, 20_000])
def test_quantiles_are_as_a_sketch_says(count: int) -> None:
    rng = Random(3)
    values: list[object] = [rng.gauss(0, 1) for _ in range(count)]
    assert fits(Quantiles("x"), fold(Quantiles("x"), values, FLOAT), values)


def test_few_values_must_be_told_exactly() -> None:
    assert ((7, 2, 2, 2), (1, 1, 1, 1)) == recount(TopK("x", k=2), [3, 1, 7, 7])
    assert (2.0, 4.0) == recount(Quantiles("x", at=(0.5, 1)), [4, 1, 2, 3])
    assert ((1, 5, 5, 5),) == recount(TopK("x", weight="w", k=1), [(1, 5), (2, 4), (2, -9)])
    wrong = Estimate.exact(((7, 2, 2, 2), (3, 1, 1, 1)))
    assert not fits(TopK("x", k=2), wrong, [3, 1, 7, 7])


def test_a_top_with_wrong_bounds_or_without_an_item_does_not_fit() -> None:
    values, measure = many(), TopK("x", k=5)
    right = fold(measure, values, INT)
    assert not right.is_exact
    first, *rest = cast("list[tuple[int, int, int, int]]", right.value)
    item, number, _, high = first
    too_high = replace(right, value=((item, number + 99, high + 1, high + 99), *rest))
    forgotten = replace(right, value=(*rest, (-1, 0, 0, 0)))
    assert not fits(measure, too_high, values)
    assert not fits(measure, forgotten, values)


@pytest.mark.parametrize("weight", [None, "w"])
def test_nulls_are_in_no_top(weight: str | None) -> None:
    measure = TopK("x", k=5, weight=weight)
    values: list[object] = [value if weight is None else (value, 2) for value in many()]
    estimate = fold(measure, values, *[INT] * len(measure.arguments))
    assert not estimate.is_exact
    assert fits(measure, estimate, [None, *values] + 20_000 * [None])


def test_quantiles_outside_of_their_bounds_do_not_fit() -> None:
    rng = Random(3)
    values: list[object] = [rng.gauss(0, 1) for _ in range(20_000)]
    right = fold(Quantiles("x"), values, FLOAT)
    assert not right.is_exact
    away = [v + 0.5 for v in values if isinstance(v, float)]
    assert not fits(Quantiles("x"), right, away)


async def test_all_are_verified_through_both_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = Clicks(tmp_path, MemoryStore(), MORE)
    rng = Random(5)
    for number, n in enumerate(many(3_000)):
        assert isinstance(n, int)
        user = n if n < 50 else 1_000 + number
        clicks.send(0, user=user, seconds=rng.random(), amount=1 + number % 7)
    await clicks.fold()
    await clicks.replay()

    _, sketches = (await clicks.verify()).metrics

    assert [] == [finding.as_dict() for finding in sketches.findings]
    assert () == sketches.refolded
    errors = sketches.errors()
    assert {"none": 1} == errors["often"]["causes"] == errors["clicks"]["causes"]
    assert {"sketch": 1} == errors["shares"]["causes"]

    monkeypatch.setattr(topk._TopKAggregate, "merge", lambda self, state, other: state)
    _, sketches = (await clicks.verify()).metrics
    assert {"top", "spent"} == {finding.measure for finding in sketches.findings}
