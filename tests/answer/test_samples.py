"""Intervals of two samples: those of scipy over the raw values, and right as often as they say."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats.contingency import relative_risk

from fastdata import StdDev
from fastdata.answer.samples import Effect, mean_effect, rate_effect, share_p_value
from fastdata.events.fieldtypes import FieldType
from fastdata.measures.estimates import Estimate
from fastdata.measures.variance import SampleMoments

FLOATS, INTS = FieldType("float"), FieldType("int")
DECIMALS = FieldType("decimal", scale=2, precision=9)
EXPERIMENTS = 1_000


def sampled(values: Sequence[Any], type: FieldType = FLOATS) -> SampleMoments:
    """What a store has of the values: the states of three parts, merged."""
    aggregate: Any = StdDev("x").bind(type)
    state = aggregate.zero()
    for part in (values[::3], values[1::3], values[2::3]):
        folded = aggregate.zero()
        for value in part:
            folded = aggregate.add(folded, value)
        state = aggregate.merge(state, aggregate.load(aggregate.dump(folded)))
    moments: SampleMoments = aggregate.moments(state)
    return moments


def bounds(estimate: Estimate) -> tuple[float, float]:
    assert isinstance(estimate.lower, float)
    assert isinstance(estimate.upper, float)
    return estimate.lower, estimate.upper


def skewed(seed: int, mean: float, size: int) -> list[float]:
    """Amounts, which are far from normal."""
    values: list[float] = np.random.default_rng(seed).exponential(mean, size).tolist()
    return values


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy's, of values that are all equal
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("left", "right", "type"),
    [
        pytest.param(skewed(1, 10, 300), skewed(2, 12, 2_000), FLOATS, id="skewed"),
        pytest.param(skewed(3, 1e-9, 5), skewed(4, 1e-9, 3), FLOATS, id="small"),
        pytest.param([1e9, 1e9 + 1, 1e9 + 2], [1e9 + 1, 1e9 + 7], FLOATS, id="near"),
        pytest.param([1, 5, 9, 4], [2, 2, 7], INTS, id="integers"),
        pytest.param([4, 4, 4], [2, 2, 7], INTS, id="equal values left"),
        pytest.param(
            [Decimal("1.25"), Decimal("7.50")],
            [Decimal("3.10"), Decimal("3.10"), Decimal("4.00")],
            DECIMALS,
            id="decimals",
        ),
    ],
)  # fmt: skip
def test_means_differ_as_by_scipy(
    left: list[Any], right: list[Any], type: FieldType, level: float
) -> None:
    effect = mean_effect("amount", sampled(left, type), sampled(right, type), level)

    ours, theirs = (np.array(values, float) for values in (left, right))
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    assert bounds(effect.difference) == pytest.approx(tuple(welch.confidence_interval(level)))
    assert effect.difference.value == pytest.approx(ours.mean() - theirs.mean())
    assert effect.lift.value == pytest.approx(ours.mean() / theirs.mean() - 1)
    assert effect.p_value == pytest.approx(welch.pvalue)
    assert effect.values == pytest.approx((ours.mean(), theirs.mean()))
    assert effect.counts == (len(left), len(right))
    assert effect.difference.confidence == effect.lift.confidence == level


def test_numbers_whose_squares_are_no_floats_have_no_wrong_interval() -> None:
    effect = mean_effect("x", sampled([1e200, 3e200]), sampled([1e200, 2e200]), 0.95)

    assert effect.difference == Estimate(5e199, None, None, 0.95)
    assert (effect.lift.lower, effect.lift.upper, effect.p_value) == (None, None, None)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("hits", "counts"), [((120, 100), (1_010, 8_900)), ((3, 9), (10, 11)), ((1, 1), (1, 5))]
)
def test_rates_differ_as_by_scipy(
    hits: tuple[int, int], counts: tuple[int, int], level: float
) -> None:
    effect = rate_effect("approved", hits, counts, level)

    risk = relative_risk(hits[0], counts[0], hits[1], counts[1])
    assert effect.lift.value == pytest.approx(risk.relative_risk - 1)
    lift = [end - 1 for end in risk.confidence_interval(level)]
    assert bounds(effect.lift) == pytest.approx(tuple(lift))
    table = [hits, [count - hit for hit, count in zip(hits, counts, strict=True)]]
    assert effect.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    ours, theirs = (hit / count for hit, count in zip(hits, counts, strict=True))
    (low, high), (their_low, their_high) = (
        stats.binomtest(hit, count).proportion_ci(level, "wilson")
        for hit, count in zip(hits, counts, strict=True)
    )
    apart = ours - theirs
    lower = apart - math.sqrt((ours - low) ** 2 + (their_high - theirs) ** 2)
    upper = apart + math.sqrt((high - ours) ** 2 + (theirs - their_low) ** 2)
    assert bounds(effect.difference) == pytest.approx((lower, upper))


def test_newcombe_s_own_example() -> None:
    # Newcombe 1998, table II, column (a): 56/70 - 48/80 by method 10.
    effect = rate_effect("x", (56, 48), (70, 80), 0.95)

    assert bounds(effect.difference) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("effect", "values", "difference", "lift"),
    [
        pytest.param(
            mean_effect("x", sampled([]), sampled([1.0, 2.0]), 0.95),
            (None, 1.5), (None, None, None), (None, None, None), id="nothing left",
        ),
        pytest.param(
            mean_effect("x", sampled([3.0]), sampled([1.0, 2.0]), 0.95),
            (3.0, 1.5), (1.5, None, None), (1.0, None, None), id="one value",
        ),
        pytest.param(
            mean_effect("x", sampled([3.0, 3.0]), sampled([2.0, 2.0]), 0.95),
            (3.0, 2.0), (1.0, None, None), (0.5, None, None), id="no spread",
        ),
        pytest.param(
            mean_effect("x", sampled([math.nan, 3.0]), sampled([1.0, 2.0]), 0.95),
            (None, 1.5), (None, None, None), (None, None, None), id="not finite",
        ),
        pytest.param(
            mean_effect("x", sampled([1.0, 2.0]), sampled([0.0, 0.0]), 0.95),
            (1.5, 0.0), (1.5, -4.853, 7.853), (None, None, None), id="right is 0",
        ),
        pytest.param(
            mean_effect("x", sampled([1.0, 2.0]), sampled([-1.0, 2.0]), 0.95),
            (1.5, 0.5), (1.0, -12.272, 14.272), (2.0, None, None), id="right may be 0",
        ),
        pytest.param(
            rate_effect("x", (0, 0), (0, 9), 0.95),
            (None, 0.0), (None, None, None), (None, None, None), id="no events left",
        ),
        pytest.param(
            rate_effect("x", (0, 3), (9, 9), 0.95),
            (0.0, 1 / 3), (-0.333, -0.646, 0.034), (-1.0, None, None), id="no hits left",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_said(
    effect: Effect, values: Any, difference: Any, lift: Any
) -> None:
    def rounded(estimate: Estimate) -> tuple[float | None, ...]:
        ends: list[Any] = [estimate.value, estimate.lower, estimate.upper]
        return tuple([None if end is None else round(end, 3) for end in ends])

    assert effect.values == values
    assert rounded(effect.difference) == difference
    assert rounded(effect.lift) == lift


AMOUNTS = st.lists(st.integers(-50, 200), min_size=2, max_size=12)


@given(left=AMOUNTS, right=AMOUNTS)
def test_difference_and_lift_of_means_agree_on_whether_there_is_one(
    left: list[int], right: list[int]
) -> None:
    effect = mean_effect("x", sampled(left, INTS), sampled(right, INTS), 0.95)
    if effect.lift.lower is None:
        return

    (low, high), (lift_low, lift_high) = bounds(effect.difference), bounds(effect.lift)
    assert lift_low <= lift_high
    if min(abs(end) for end in (low, high, lift_low, lift_high)) > 1e-9:
        assert [low > 0, high < 0] == [lift_low > 0, lift_high < 0]
        assert effect.p_value is not None
        assert (low > 0 or high < 0) is (effect.p_value < 0.05)


def holds(estimate: Estimate, truth: float) -> bool:
    low, high = bounds(estimate)
    return low <= truth <= high


def assert_as_often_as_stated(hits: int) -> None:
    least, most = stats.binom.interval(0.999, EXPERIMENTS, 0.95)
    assert least <= hits <= most


def test_intervals_of_means_hold_in_95_percent_of_1000_experiments() -> None:
    rng = np.random.default_rng(11)
    effects = [
        mean_effect(
            "amount",
            sampled(rng.gamma(4, 3.0, 60).tolist()),
            sampled(rng.gamma(4, 2.5, 240).tolist()),
            0.95,
        )
        for _ in range(EXPERIMENTS)
    ]

    assert_as_often_as_stated(sum(holds(effect.difference, 2.0) for effect in effects))
    assert_as_often_as_stated(sum(holds(effect.lift, 0.2) for effect in effects))


@pytest.mark.parametrize(("left", "right"), [(0.12, 0.1), (0.5, 0.5), (0.04, 0.03)])
def test_intervals_of_rates_hold_in_95_percent_of_1000_experiments(
    left: float, right: float
) -> None:
    rng = np.random.default_rng(12)
    counts = (400, 3_600)
    effects = [
        rate_effect("approved", (int(hits), int(others)), counts, 0.95)
        for hits, others in rng.binomial(counts, (left, right), (EXPERIMENTS, 2))
    ]

    assert_as_often_as_stated(sum(holds(effect.difference, left - right) for effect in effects))
    assert_as_often_as_stated(sum(holds(effect.lift, left / right - 1) for effect in effects))


@pytest.mark.parametrize(("left", "right"), [(1_000, 9_000), (1_100, 8_900), (0, 40)])
def test_a_share_is_judged_as_by_scipy(left: int, right: int) -> None:
    expected = [(left + right) * share for share in (0.1, 0.9)]

    assert share_p_value(left, right, 0.1) == pytest.approx(
        stats.chisquare([left, right], expected).pvalue
    )


def test_a_share_of_nothing_is_not_judged() -> None:
    assert share_p_value(0, 0, 0.1) is None
