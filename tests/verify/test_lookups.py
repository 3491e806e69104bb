"""What sketches answer about single items, and measures of one's own, are verified, too."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fastdata import Estimate, Frequency, Seen, Sum
from fastdata.declare.metric import Measure, Metric
from fastdata.events.fieldtypes import FieldType
from fastdata.measures import frequency, seen
from fastdata.store.memory import MemoryStore
from fastdata.verify.compare import ItemAnswer, could_be, look_up, refold
from fastdata.verify.plain import fits, recount
from fastdata.verify.reports import VerifiedMetric
from tests.verify.clicks import SEGMENT, Clicks

MORE = """
from fastdata import Frequency, Seen

lookups = Metric("lookups", clicks, measures={
    "clicks": Count(), "often": Frequency("user"), "met": Seen("user", capacity=1000),
})
"""
INT, TEXT = FieldType("int"), FieldType("string")
LOOKUPS: list[Measure] = [Frequency("x"), Seen("x"), Seen("x", capacity=100)]


def many(count: int) -> list[object]:
    """Numbers of which small ones are frequent."""
    rng = Random(7)
    return [int(rng.paretovariate(0.5)) for _ in range(count)]


def asked(measure: Measure, values: list[object], type_: FieldType = INT) -> list[ItemAnswer]:
    aggregate = measure.bind(type_)
    state = aggregate.zero()
    for value in values:
        state = aggregate.add(state, value)
    return list(look_up(measure, aggregate, state, values))


@pytest.mark.parametrize("measure", LOOKUPS, ids=repr)
@pytest.mark.parametrize("count", [0, 20, 5_000])
def test_what_is_answered_about_items_is_right(measure: Measure, count: int) -> None:
    values = many(count)
    lookups = asked(measure, values)
    assert all(each.fits(surely=False) for each in lookups)
    counts = Counter(values)
    expected = {each.item: each.expected for each in lookups}
    is_count = isinstance(measure, Frequency)
    assert expected == {item: counts[item] if is_count else item in counts for item in expected}
    frequent = {item for item, _ in counts.most_common(3)}
    assert frequent <= expected.keys()
    assert min(17, len(counts) + 1 if counts else 0) - 1 <= len(expected) <= 17


def test_texts_are_asked_about_with_one_that_was_never_there() -> None:
    lookups = asked(Frequency("x"), ["b", "", "b"], TEXT)
    assert [("b", 2), ("", 1), ("b?", 0)] == [(each.item, each.expected) for each in lookups]


def test_of_other_measures_nothing_is_asked() -> None:
    assert [] == asked(Sum("x"), [1, 2])


def test_a_count_may_be_too_large_by_chance_and_never_too_small() -> None:
    def fit(expected: int, *, surely: bool) -> bool:
        return ItemAnswer("x", Estimate(50, 40, 50, 0.99), expected).fits(surely=surely)

    assert [False, True, True, False] == [fit(n, surely=False) for n in (39, 40, 50, 51)]
    assert [True, True, True, False] == [fit(n, surely=True) for n in (39, 40, 50, 51)]


def test_what_was_seen_is_never_denied() -> None:
    perhaps, no = Estimate(True, False, True, 0.99), Estimate.exact(False)
    assert [True, True] == [ItemAnswer(7, perhaps, n).fits(surely=True) for n in (False, True)]
    assert [True, False] == [ItemAnswer(7, no, n).fits(surely=True) for n in (False, True)]


@pytest.mark.parametrize("count", [0, 100, 5_000])
def test_the_number_of_what_was_seen_is_recounted(count: int) -> None:
    values = many(count)
    aggregate = Seen("x").bind(INT)
    state = aggregate.zero()
    for value in values:
        state = aggregate.add(state, value)
    assert len(set(values)) == recount(Seen("x"), values)
    assert fits(Seen("x"), aggregate.present(state), values)
    assert not fits(Seen("x"), aggregate.present(state), [*values, *range(-count - 1, 0)])


def test_a_full_filter_fits_any_number() -> None:
    assert fits(Seen("x"), Estimate(None, None, None, 0.997), [1, 2])


Add = Callable[[Any, Any, Any], Any]


def astray(add: Add) -> Add:
    """Folds each 1 as another value that never comes."""
    return lambda self, state, value: add(self, state, -1 if value == 1 else value)


async def clicks_of(folder: Path, users: list[object]) -> Clicks:
    clicks = Clicks(folder, MemoryStore(), MORE)
    for user in users:
        clicks.send(0, user=user)
    await clicks.fold()
    clicks.loop.log.fill(SEGMENT)
    await clicks.loop.archive()
    # With the aggregates' own `add`, where mistakes are planted.
    await clicks.loop.replay(engine="rows")
    return clicks


async def verified(clicks: Clicks) -> VerifiedMetric:
    return (await clicks.verify()).metrics[1]


async def test_both_layers_are_asked_about_items(tmp_path: Path) -> None:
    report = await verified(await clicks_of(tmp_path, [*range(600), *many(300)]))

    assert () == report.refolded
    assert [] == [finding.as_dict() for finding in report.findings]
    assert report.sketches.compared > 0


@pytest.mark.parametrize("users", [[1, 2, 3] * 4, [*range(600), 1]], ids=["few", "many"])
async def test_an_item_that_was_counted_as_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: list[object]
) -> None:
    with monkeypatch.context() as mistaken:
        mistaken.setattr(
            frequency._FrequencyAggregate, "add", astray(frequency._FrequencyAggregate.add)
        )
        mistaken.setattr(seen._SeenAggregate, "add", astray(seen._SeenAggregate.add))
        clicks = await clicks_of(tmp_path, users)

    report = await verified(clicks)

    whole = [f for f in report.findings if f.layer == "batch" and f.place.endswith("item 1")]
    found = {f.measure: (f.answer, f.expected) for f in whole}
    assert {"often", "met"} == found.keys()
    assert (False, True) == found["met"]
    assert found["often"][0] < found["often"][1] == users.count(1)  # type: ignore[operator]
    assert "speed" in {finding.layer for finding in report.findings}


async def test_a_measure_of_ones_own_is_folded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = Clicks(tmp_path, MemoryStore(), OWN)
    for n in range(30):
        clicks.send(n % 3, user=n)
    await clicks.fold()
    await clicks.replay()
    metric: Metric = clicks.declared[1]

    right = await verified(clicks)
    assert (("together",), []) == (right.refolded, right.findings)
    assert {"none": 3} == right.errors()["together"]["causes"]

    monkeypatch.setattr(type(metric.aggregates[0]), "merge", lambda self, state, other: other)
    wrong = await verified(clicks)
    assert {"together"} == {finding.measure for finding in wrong.findings}
    assert {"batch", "speed"} == {finding.layer for finding in wrong.findings}


OWN = '''
import json
from dataclasses import dataclass

import pyarrow as pa

from fastdata import Estimate
from fastdata.measures.numbers import unbounded


@dataclass(frozen=True)
class Together:
    """The exclusive or of integers."""

    field: str
    code = 200
    kind = "int"

    @property
    def arguments(self):
        return (self.field,)

    def bind(self, type):
        return self

    def arrow_type(self):
        return pa.int64()

    def zero(self, exact=False):
        return 0

    def add(self, state, value):
        return state ^ value

    def merge(self, state, other):
        return state ^ other

    def present(self, state):
        return Estimate.exact(state)

    def widen(self, estimate, events):
        return unbounded(estimate) if events else estimate

    def dump(self, state):
        return json.dumps(state).encode()

    def load(self, data):
        return json.loads(data)


own = Metric("own", clicks, measures={"together": Together("user")})
'''


def test_nulls_are_not_folded_again() -> None:
    measure = Sum("x")
    assert Estimate.exact(3) == refold(measure, measure.bind(INT), [1, None, 2])


@pytest.mark.parametrize(
    ("estimate", "own", "is_likely"),
    [
        (Estimate.exact(4), Estimate.exact(4), True),
        (Estimate.exact(4), Estimate.exact(5), False),
        (Estimate.exact(4), Estimate(5, 4, 6, 0.9), False),
        (Estimate(4, 3, 6, 0.9), Estimate.exact(5), True),
        (Estimate(4, 3, 6, 0.9), Estimate.exact(7), False),
        (Estimate(4, 3, 6, 0.9), Estimate(9, 8, 10, 0.9), True),
        (Estimate(4, None, None), Estimate.exact(9), True),
        (Estimate((1, 2), (0, 1), (2, 3), 0.9), Estimate.exact((5,)), True),
    ],
)
def test_what_ones_own_aggregate_allows(estimate: Estimate, own: Estimate, is_likely: bool) -> None:
    assert is_likely is could_be(estimate, own)
