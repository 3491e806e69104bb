"""Every aggregate keeps the laws, and the laws notice those that do not."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.count import Count
from fastdata.measures.estimates import Estimate
from fastdata.measures.extremes import Max, Min
from fastdata.measures.histogram import Histogram
from fastdata.measures.presented import dump_estimates, load_estimates
from fastdata.measures.sequences import Funnel, Sequences
from fastdata.measures.sessions import Sessions
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.uniques import Uniques
from fastdata.measures.variance import StdDev, Variance
from fastdata.testing import laws

Values = Sequence[object]

INTS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=12)
FLOATS = st.lists(st.floats(), max_size=12)
FINITE = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=12)
STRINGS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=12)
DECIMALS = st.lists(
    st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(f"{n}E-4")), max_size=12
)
# Around the places where a sketch turns from a list into a set (8) and into registers (384).
MANY = st.builds(
    lambda start, size: list(range(start, start + size)),
    st.integers(0, 600),
    st.sampled_from([0, 1, 7, 8, 9, 190, 380, 384, 385, 390, 1200]),
)
TIMES = st.integers(0, 10).map(lambda n: 1_700_000_000_000 + 15_000 * n)
VISITS = st.lists(st.tuples(st.sampled_from(["ada", "bob of a long name"]), TIMES), max_size=12)
STEPS = st.lists(
    st.tuples(st.tuples(st.sampled_from("abcd"), st.integers(-1, 1)), TIMES), max_size=12
)

INT, FLOAT, STRING = FieldType("int"), FieldType("float"), FieldType("string")
DECIMAL = FieldType("decimal", scale=4)

CASES: dict[str, tuple[Aggregate, st.SearchStrategy[list[Any]]]] = {
    "count": (Count().bind(), st.lists(st.none(), max_size=12)),
    "count of a field": (Count("x").bind(STRING), STRINGS),
    "sum of ints": (Sum("x").bind(INT), INTS),
    "sum of decimals": (Sum("x").bind(DECIMAL), DECIMALS),
    "sum of floats": (Sum("x").bind(FLOAT), FLOATS),
    "sum of finite floats": (Sum("x").bind(FLOAT), FINITE),
    "mean of ints": (Mean("x").bind(INT), INTS),
    "mean of decimals": (Mean("x").bind(DECIMAL), DECIMALS),
    "mean of floats": (Mean("x").bind(FLOAT), FINITE),
    "min of ints": (Min("x").bind(INT), INTS),
    "max of ints": (Max("x").bind(INT), INTS),
    "min of floats": (Min("x").bind(FLOAT), FLOATS),
    "max of floats": (Max("x").bind(FLOAT), FLOATS),
    "min of decimals": (Min("x").bind(DECIMAL), DECIMALS),
    "max of strings": (Max("x").bind(STRING), STRINGS),
    "min of strings": (Min("x").bind(STRING), STRINGS),
    "max of timestamps": (Max("x").bind(FieldType("timestamp")), INTS),
    "variance of ints": (Variance("x").bind(INT), INTS),
    "variance of decimals": (Variance("x", population=True).bind(DECIMAL), DECIMALS),
    "variance of floats": (Variance("x").bind(FLOAT), FLOATS),
    "deviation of finite floats": (StdDev("x").bind(FLOAT), FINITE),
    "deviation of ints": (StdDev("x", population=True).bind(INT), INTS),
    "histogram of ints": (Histogram("x", edges=[-5, 0, 2**40]).bind(INT), INTS),
    "histogram of floats": (Histogram("x", edges=[0.0, 1.5]).bind(FLOAT), FLOATS),
    "histogram of decimals": (Histogram("x", edges=[0, Decimal("0.5")]).bind(DECIMAL), DECIMALS),
    "uniques of strings": (Uniques("x").bind(STRING), STRINGS),
    "uniques of ints": (Uniques("x").bind(INT), INTS),
    "uniques of many": (Uniques("x").bind(INT), MANY),
    "uniques of many, small sketch": (Uniques("x", lg_k=7).bind(INT), MANY),
    "sessions": (Sessions("x", gap="30s").bind(STRING), VISITS),
    "seconds of sessions": (Sessions("x", gap="30s", answer="seconds").bind(STRING), VISITS),
    "sequences": (Sequences("x", [*"aab"], by="k", within="60s").bind(STRING, INT), STEPS),
    "funnel": (Funnel("x", [*"abc"], by="k", within="60s").bind(STRING, INT), STEPS),
}

every_aggregate = pytest.mark.parametrize("case", CASES)
exactness = st.booleans()
quick = settings(max_examples=25, deadline=None, database=None)


@every_aggregate
@quick
@given(st.data(), exactness)
def test_merging_is_associative(case: str, data: st.DataObject, exact: bool) -> None:
    aggregate, values = CASES[case]
    laws.merge_is_associative(
        aggregate, data.draw(values), data.draw(values), data.draw(values), exact
    )


@every_aggregate
@quick
@given(st.data(), exactness)
def test_merging_is_commutative(case: str, data: st.DataObject, exact: bool) -> None:
    aggregate, values = CASES[case]
    laws.merge_is_commutative(aggregate, data.draw(values), data.draw(values), exact)


@every_aggregate
@quick
@given(st.data(), exactness)
def test_zero_is_neutral(case: str, data: st.DataObject, exact: bool) -> None:
    aggregate, values = CASES[case]
    laws.zero_is_neutral(aggregate, data.draw(values), exact)


@every_aggregate
@quick
@given(st.data(), exactness, st.randoms(use_true_random=False))
def test_no_split_shows(case: str, data: st.DataObject, exact: bool, chance: random.Random) -> None:
    aggregate, values = CASES[case]
    drawn = data.draw(values)
    parts = [chance.randrange(4) for _ in drawn]
    laws.any_split_presents_the_same(aggregate, drawn, parts, exact)


@every_aggregate
@quick
@given(st.data(), exactness)
def test_dump_and_load_change_nothing(case: str, data: st.DataObject, exact: bool) -> None:
    aggregate, values = CASES[case]
    laws.dump_and_load_change_nothing(aggregate, data.draw(values), data.draw(values), exact)


@every_aggregate
@quick
@given(st.data())
def test_a_whole_state_merges_as_before(case: str, data: st.DataObject) -> None:
    aggregate, values = CASES[case]
    laws.a_whole_state_merges_as_before(aggregate, data.draw(values), data.draw(values))


@every_aggregate
@quick
@given(st.data(), exactness)
def test_stored_estimates_are_the_same(case: str, data: st.DataObject, exact: bool) -> None:
    aggregate, values = CASES[case]
    estimate = aggregate.present(laws.fold(aggregate, data.draw(values), exact))

    (stored,) = load_estimates(dump_estimates([estimate]))

    assert laws.same(estimate, stored)


@every_aggregate
@quick
@given(st.data())
def test_missing_values_stay_in_bounds(case: str, data: st.DataObject) -> None:
    aggregate, values = CASES[case]
    laws.missing_values_stay_in_bounds(aggregate, data.draw(values), data.draw(values))


@pytest.mark.parametrize("lg_k", [7, 12])
def test_uniques_lie_within_their_bounds_as_often_as_stated(lg_k: int) -> None:
    sizes = (5, 100, 384, 385, 500, 1_000, 3_000, 12_000)

    def draw(seed: int) -> tuple[list[object], int]:
        size = sizes[seed % len(sizes)]
        return [f"{seed} {number}" for number in range(size)], size

    laws.bounds_hold_as_often_as_stated(Uniques("x", lg_k).bind(STRING), draw, runs=800, risk=1e-6)


class Newest:
    """Keeps the value that came last: no monoid that may be merged in any order."""

    code = 99
    field = "x"
    kind: Kind = "int"

    def arrow_type(self) -> None:
        """Never asked for."""

    def zero(self, exact: bool = False) -> list[object]:
        return []

    def add(self, state: list[object], value: object) -> list[object]:
        return [value]

    def merge(self, state: list[object], other: list[object]) -> list[object]:
        return other or state

    def present(self, state: list[Any]) -> Estimate:
        return Estimate.exact(state[0] if state else None)

    def widen(self, estimate: Estimate, events: int) -> Estimate:
        return estimate

    def dump(self, state: list[Any]) -> bytes:
        return bytes(state)

    def load(self, data: bytes) -> list[object]:
        return list(data)


class MeanOfMeans(Newest):
    def merge(self, state: list[Any], other: list[Any]) -> list[object]:
        return [(state[0] + other[0]) // 2] if state and other else state or other


class StartsAtOne(Newest):
    def zero(self, exact: bool = False) -> list[object]:
        return [1]

    def add(self, state: list[Any], value: Any) -> list[object]:
        return [state[0] + value]

    def merge(self, state: list[Any], other: list[Any]) -> list[object]:
        return [state[0] + other[0]]


class Empties(Newest):
    def merge(self, state: list[Any], other: list[Any]) -> list[object]:
        merged = [max([*state, *other])]
        other.clear()
        return list(merged)


class Forgets(Newest):
    def load(self, data: bytes) -> list[object]:
        return []


class KeepsHalf(Newest):
    def dump_whole(self, state: list[Any]) -> bytes:
        return bytes([value // 2 for value in state])


class MergesHalf(Newest):
    def merge(self, state: list[Any], other: list[Any]) -> list[object]:
        return [other[0] // len(state)] if state and other else state or other

    def load(self, data: bytes) -> list[object]:
        return [*data, *data]

    def present(self, state: list[Any]) -> Estimate:
        return Estimate.exact(state[0] if state else None)

    def dump_whole(self, state: list[Any]) -> bytes:
        return bytes(state[:1])


@dataclass
class Sure(Newest):
    """Says that it is certain within 1 of the number of values, and is wrong by `off`."""

    off: int

    def add(self, state: list[Any], value: object) -> list[object]:
        return [(state[0] if state else 0) + 1]

    def present(self, state: list[Any]) -> Estimate:
        value = state[0] + self.off
        return Estimate(value, value - 1, value + 1, 0.99)


def test_a_merge_that_minds_the_order_is_noticed() -> None:
    with pytest.raises(AssertionError, match="not commutative"):
        laws.merge_is_commutative(Newest(), [1], [2])


def test_a_merge_that_minds_the_grouping_is_noticed() -> None:
    with pytest.raises(AssertionError, match="not associative"):
        laws.merge_is_associative(MeanOfMeans(), [0], [0], [8])


def test_a_merge_that_changes_its_argument_is_noticed() -> None:
    with pytest.raises(AssertionError, match="second argument"):
        laws.merge_is_commutative(Empties(), [1], [2])


def test_a_zero_that_counts_is_noticed() -> None:
    with pytest.raises(AssertionError, match="zero"):
        laws.zero_is_neutral(StartsAtOne(), [1])


def test_a_split_that_shows_is_noticed() -> None:
    with pytest.raises(AssertionError, match="split"):
        laws.any_split_presents_the_same(MeanOfMeans(), [0, 8], [0, 1])


def test_a_load_that_forgets_is_noticed() -> None:
    with pytest.raises(AssertionError, match="dump and load"):
        laws.dump_and_load_change_nothing(Forgets(), [1])


def test_a_state_that_is_not_kept_whole_is_noticed() -> None:
    with pytest.raises(AssertionError, match="what is kept of a state is another"):
        laws.a_whole_state_merges_as_before(KeepsHalf(), [8])
    with pytest.raises(AssertionError, match="what is kept of a state merges differently"):
        laws.a_whole_state_merges_as_before(MergesHalf(), [8], [8])


def test_bounds_that_are_not_widened_are_noticed() -> None:
    with pytest.raises(AssertionError, match="'b' is outside of Estimate"):
        laws.missing_values_stay_in_bounds(Newest(), ["a"], ["b"])


def test_bounds_that_lie_are_noticed() -> None:
    with pytest.raises(AssertionError, match="0 of 50 runs"):
        laws.bounds_hold_as_often_as_stated(Sure(2), lambda seed: ([7], 1), runs=50)


def test_bounds_that_hold_pass() -> None:
    laws.bounds_hold_as_often_as_stated(Sure(1), lambda seed: ([7], 1), runs=50)


@dataclass
class Lists(Newest):
    """Says that each of two numbers is within 1, and may be wrong about the second."""

    second: int

    def present(self, state: list[Any]) -> Estimate:
        return Estimate((5, self.second), (4, self.second - 1), (6, self.second + 1))


@pytest.mark.parametrize("truth", [(5, 9), (5,), (5, 8, 1), None])
def test_bounds_of_lists_that_lie_are_noticed(truth: tuple[int, ...] | None) -> None:
    with pytest.raises(AssertionError, match="0 of 50 runs"):
        laws.bounds_hold_as_often_as_stated(Lists(7), lambda seed: ([], truth), runs=50)


def test_bounds_of_lists_hold_when_those_of_each_element_do() -> None:
    laws.bounds_hold_as_often_as_stated(Lists(7), lambda seed: ([], (5, 8)), runs=50)
