"""Measures made of others: what they answer, how sure they are, and what they refuse."""

import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Count, Max, Mean, Metric, Source, Sum
from fastdata.declare.metric import Measure
from fastdata.errors import DeclarationError
from fastdata.measures.estimates import Estimate
from fastdata.measures.ratios import Derived, Rate, Ratio

FIELDS = [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "status", "type": "string"},
    {"name": "error", "type": ["null", "string"]},
    {"name": "bytes", "type": "int"},
]
MINUTE = 60_000
exact = Estimate.exact


def ratio(numerator: Estimate, denominator: Estimate) -> Estimate:
    return Ratio("n", "d").derive([numerator, denominator], MINUTE)


@pytest.fixture
def requests(tmp_path: Path) -> Source:
    path = tmp_path / "request.avsc"
    path.write_text(json.dumps({"type": "record", "name": "Request", "fields": FIELDS}))
    return Source("requests", topic="requests", schema=str(path), time="at")


def test_a_metric_answers_derived_measures_in_the_order_of_the_declaration(
    requests: Source,
) -> None:
    metric = Metric(
        "m",
        requests,
        measures={
            "failing": Ratio("errors", "n"),
            "errors": Count("error"),
            "speed": Rate("bytes"),
            "n": Count(),
            "bytes": Sum("bytes"),
        },
    )
    states = metric.zero()
    for error, size in [(None, 100), ("timeout", 20), (None, 0), (None, 30)]:
        metric.add(states, {"error": error, "bytes": size})
    folded = [a.present(s) for a, s in zip(metric.aggregates, states, strict=True)]

    assert [exact(1), exact(4), exact(150)] == folded
    answers = metric.answers(folded, MINUTE)
    assert (exact(0.25), exact(1), exact(2.5), exact(4), exact(150)) == answers
    assert list(metric.measures) == list(metric.columns)
    assert ["errors", "n", "bytes"] == list(metric.folded)
    assert metric.columns["failing"].arrow_type() == pa.float64()


def test_derived_measures_change_nothing_that_is_stored(requests: Source) -> None:
    plain: dict[str, Measure | Derived] = {"n": Count(), "bytes": Sum("bytes")}
    derived = {"size": Ratio("bytes", "n"), **plain, "speed": Rate("n")}

    assert Metric("m", requests, measures=plain).id == Metric("m", requests, measures=derived).id


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (Ratio("errors", "n"), "there is no measure 'errors'; there are: n, worst, mean, when"),
        (Ratio("n", "speed"), "the measure 'speed' is derived, too"),
        (Ratio("n", "x"), "the measure 'x' is derived, too"),
        (Ratio("worst", "n"), "the measure 'worst' is of kind string; what fits is: int, float"),
        (Ratio("n", "when"), "the measure 'when' is of kind timestamp"),
        (Rate("nowhere"), "there is no measure 'nowhere'"),
        (Rate("mean"), "Rate(measure='mean') is of Mean(field='bytes'); what fits is: Count, Sum"),
        (Rate("worst"), "the measure 'worst' is of kind string"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(
    requests: Source, measure: Derived, message: str
) -> None:
    measures: dict[str, Measure | Derived] = {
        "n": Count(),
        "worst": Max("status"),
        "mean": Mean("bytes"),
        "when": Max("at"),
        "speed": Rate("n"),
        "x": measure,
    }
    with pytest.raises(DeclarationError) as caught:
        Metric("m", requests, measures=measures)

    assert message in str(caught.value)
    assert "metric 'm': measure 'x'" in str(caught.value)
    assert f"{Path(__file__).name}:" in str(caught.value)


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (1, 3, 1 / 3),
        (-7, 2, -3.5),
        (2**70 + 1, 2**70, 1.0),
        (Decimal("0.30"), 3, 0.1),
        (Decimal("1e-30"), Decimal("1e30"), 1e-60),
        (0.1, 0.3, float(Fraction(0.1) / Fraction(0.3))),
        (10**400, 1, math.inf),
        (10**400, 10**399, 10.0),
        (1e308, 1e-308, math.inf),
        (10**400, math.inf, 0.0),
        (-math.inf, 10**400, -math.inf),
        (-math.inf, -2, math.inf),
    ],
)
def test_a_ratio_is_rounded_once(
    numerator: float | Decimal, denominator: float | Decimal, expected: float
) -> None:
    assert exact(expected) == ratio(exact(numerator), exact(denominator))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_ratio_of_what_is_no_number_is_none(value: float) -> None:
    answer = ratio(exact(value), exact(value))

    assert "nan" == repr(answer.value)
    assert answer.is_exact


def test_a_ratio_by_nothing_is_null_for_certain() -> None:
    assert exact(None) == ratio(exact(5), exact(0)) == ratio(exact(0), exact(Decimal("0.00")))
    assert exact(None) == ratio(exact(None), exact(3)) == ratio(exact(3), exact(None))


def test_a_ratio_by_what_may_be_nothing_promises_nothing() -> None:
    open_ = Estimate(None, None, None, 0.0)

    assert open_ == ratio(exact(5), Estimate(0, 0, 2))
    assert open_ == ratio(Estimate(None, None, 9, 0.0), exact(2))
    assert Estimate(2.5, None, None) == ratio(exact(5), Estimate(2, 0, 4))


@pytest.mark.parametrize(
    ("numerator", "denominator", "bounds"),
    [
        (Estimate(3, 2, 4), exact(2), (1.0, 2.0)),
        (exact(4), Estimate(2, 1, 8), (0.5, 4.0)),
        (Estimate(3, 2, 6), Estimate(5, 4, 8), (0.25, 1.5)),
        (Estimate(-3, -6, -2), Estimate(5, 4, 8), (-1.5, -0.25)),
        (Estimate(1, -2, 6), Estimate(5, 4, 8), (-0.5, 1.5)),
        (Estimate(3, 2, 6), Estimate(-5, -8, -4), (-1.5, -0.25)),
        (Estimate(3, 2, None), Estimate(5, 4, 8), (0.25, None)),
        (Estimate(3, None, 6), Estimate(5, 4, 8), (None, 1.5)),
        (Estimate(3, 2, 6), Estimate(5, 4, None), (0.0, 1.5)),
        (Estimate(-3, -6, -2), Estimate(5, 4, None), (-1.5, 0.0)),
        (Estimate(3, 2, 6), Estimate(-5, None, -4), (-1.5, 0.0)),
        (Estimate(3, 2, 6), Estimate(5, None, 8), (None, None)),
        (Estimate(3, 2, 6), Estimate(5, 0, 8), (None, None)),
        (Estimate(3, 2, 6), Estimate(5, -1, 8), (None, None)),
        (Estimate(3, 2, math.inf), exact(2), (None, None)),
    ],
)
def test_the_bounds_of_a_ratio_are_those_of_its_parts(
    numerator: Estimate, denominator: Estimate, bounds: tuple[float | None, float | None]
) -> None:
    answer = ratio(numerator, denominator)

    assert bounds == (answer.lower, answer.upper)
    assert not answer.is_exact


@settings(max_examples=300, deadline=None, database=None)
@given(st.tuples(*[st.integers(-20, 20)] * 3), st.tuples(*[st.integers(-20, 20)] * 3))
def test_no_ratio_of_what_is_possible_lies_outside_of_the_bounds(
    numerators: tuple[int, ...], denominators: tuple[int, ...]
) -> None:
    n, d = sorted(numerators), sorted(denominators)
    answer = ratio(Estimate(n[1], n[0], n[2]), Estimate(d[1], d[0], d[2], 0.99))

    for left in range(n[0], n[2] + 1):
        for right in range(d[0], d[2] + 1):
            if right:
                assert answer.lower is None or answer.lower <= left / right  # type: ignore[operator]
                assert answer.upper is None or answer.upper >= left / right  # type: ignore[operator]


def test_the_confidence_of_a_ratio_is_what_its_parts_leave() -> None:
    sketch = Estimate(50, 45, 55, 0.997)

    assert (
        0.997 == ratio(sketch, exact(2)).confidence == ratio(Estimate(9, 8, 10), sketch).confidence
    )
    assert 0.994 == pytest.approx(ratio(sketch, sketch).confidence)


def test_a_rate_is_per_second_of_the_interval() -> None:
    rate = Rate("n")

    assert exact(0.5) == rate.derive([exact(30)], MINUTE)
    assert exact(1 / 86.4) == rate.derive([exact(1_000)], 86_400_000)
    assert exact(0.1) == rate.derive([exact(Decimal("6.00"))], MINUTE)
    assert exact(0.0) == rate.derive([exact(0)], MINUTE)
    assert Estimate(1.0, 0.5, 1.5) == rate.derive([Estimate(60, 30, 90)], MINUTE)
    assert Estimate(1.0, None, None) == rate.derive([Estimate(60, None, None)], MINUTE)
