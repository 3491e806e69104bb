"""Two samples beside each other: by how much they differ, and how sure that is.

Means: Welch's t for the difference, and for the lift Fieller's theorem with the same quantile, so
that both agree on whether there is a difference. Rates: for the difference Newcombe's hybrid of
Wilson's intervals (1998, method 10), for the lift the delta method on its logarithm (Katz 1978), as
`scipy.stats.contingency.relative_risk` has it; p by chi-square without correction. All of them take
values for independent of each other. NaN is what is not known.
"""

import math
from dataclasses import dataclass
from typing import Literal

from fastdata.errors import SettingsError
from fastdata.measures.estimates import Estimate
from fastdata.measures.variance import SampleMoments

try:
    from scipy.special import chdtrc, ndtri, stdtr, stdtrit
except ImportError as error:
    raise SettingsError(
        "scipy, which computes intervals, is not installed: pip install 'fastdata-lambda[lift]'"
    ) from error

__all__ = ["Effect", "mean_effect", "rate_effect", "share_p_value"]

_Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Effect:
    """By how much a measure of the left side differs from that of the right one.

    Attributes:
        measure: Its name.
        kind: Whether it is a mean of values, or a rate of events.
        values: It left and right; None of nothing, or where a value is not finite.
        counts: Of how many values or events it is.
        difference: Left less right, with the interval as bounds.
        lift: Left by right, less 1: 0.05 is 5 %. None unless right is above 0; without bounds where
            right cannot be told from 0.
        p_value: How often chance gives such a difference where there is none.
    """

    measure: str
    kind: Literal["mean", "rate"]
    values: tuple[float | None, float | None]
    counts: tuple[int, int]
    difference: Estimate
    lift: Estimate
    p_value: float | None


def mean_effect(measure: str, left: SampleMoments, right: SampleMoments, level: float) -> Effect:
    """How the means of two samples differ; `level` is the confidence of the intervals."""
    means, counts = (left.mean, right.mean), (left.count, right.count)
    errors = _by(left.variance, left.count), _by(right.variance, right.count)
    # Of the whole error, as squares of large or small numbers may leave the floats.
    parts = [_by(error, sum(errors)) ** 2 for error in errors]
    degrees = _by(1, _by(parts[0], left.count - 1) + _by(parts[1], right.count - 1))
    quantile, error = float(stdtrit(degrees, (1 + level) / 2)), math.sqrt(sum(errors))
    p_value = 2 * float(stdtr(degrees, -_by(abs(left.mean - right.mean), error)))
    margins = quantile * error, quantile * error
    ends = _fieller(*means, errors, quantile)
    return _effect(measure, "mean", means, counts, margins, ends, p_value, level)


def rate_effect(
    measure: str, hits: tuple[int, int], counts: tuple[int, int], level: float
) -> Effect:
    """How two rates differ: `hits` of `counts`, left and right; `level` as of means."""
    rates = left, right = _by(hits[0], counts[0]), _by(hits[1], counts[1])
    quantile = float(ndtri((1 + level) / 2))
    below, above = _wilson(left, counts[0], quantile)
    right_below, right_above = _wilson(right, counts[1], quantile)
    margins = math.hypot(below, right_above), math.hypot(above, right_below)
    spread = _by(1, hits[0]) - _by(1, counts[0]) + _by(1, hits[1]) - _by(1, counts[1])
    ratio, factor = _by(left, right), math.exp(quantile * math.sqrt(spread))
    pooled = _by(sum(hits), sum(counts))
    variance = pooled * (1 - pooled) * (_by(1, counts[0]) + _by(1, counts[1]))
    p_value = float(chdtrc(1, _by((left - right) ** 2, variance)))
    ends = ratio / factor, ratio * factor
    return _effect(measure, "rate", rates, counts, margins, ends, p_value, level)


def share_p_value(left: int, right: int, share: float) -> float | None:
    """How often chance gives `left` of all events, where a share of them is expected there."""
    expected = (left + right) * share
    return _known(float(chdtrc(1, _by((left - expected) ** 2, expected * (1 - share)))))


def _effect(
    measure: str,
    kind: Literal["mean", "rate"],
    values: _Pair,
    counts: tuple[int, int],
    margins: _Pair,
    ends: _Pair,
    p_value: float,
    level: float,
) -> Effect:
    """From the margins of the difference, and the ends of the ratio."""
    left, right = values
    apart, lift = left - right, left / right - 1 if right > 0 else math.nan
    low, high = apart - margins[0], apart + margins[1]
    difference = Estimate(_known(apart), _known(low), _known(high), level)
    of_right = Estimate(_known(lift), _known(ends[0] - 1), _known(ends[1] - 1), level)
    shown = _known(left), _known(right)
    return Effect(measure, kind, shown, counts, difference, of_right, _known(p_value))


def _fieller(left: float, right: float, errors: _Pair, quantile: float) -> _Pair:
    """The ends of left by right; NaN where right may be 0."""
    ratio = _by(left, right)
    ours, theirs = (_by(_by(error, right), right) for error in errors)
    doubt = quantile * quantile * theirs
    if not (right > 0 and doubt < 1):
        return math.nan, math.nan
    half = quantile * math.sqrt((1 - doubt) * ours + ratio * ratio * theirs)
    return (ratio - half) / (1 - doubt), (ratio + half) / (1 - doubt)


def _wilson(rate: float, count: int, quantile: float) -> _Pair:
    """How far the ends of the interval are below and above the rate."""
    weight = _by(quantile**2, count)
    shift = weight * (0.5 - rate) / (1 + weight)
    half = math.sqrt(rate * (1 - rate) * weight + weight**2 / 4) / (1 + weight)
    return half - shift, half + shift


def _by(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
