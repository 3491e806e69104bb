"""What a measure of a list of values must be, by the plainest means there are."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any, TypeGuard, cast

from fastdata.coordinates.instants import parse_duration
from fastdata.declare.metric import Measure
from fastdata.measures.count import Count
from fastdata.measures.estimates import Estimate
from fastdata.measures.extremes import Max, Min
from fastdata.measures.first_last import First, Last
from fastdata.measures.frequency import Frequency
from fastdata.measures.histogram import Histogram
from fastdata.measures.quantiles import Quantiles
from fastdata.measures.seen import Seen
from fastdata.measures.sequences import Funnel, Sequences
from fastdata.measures.sessions import Sessions
from fastdata.measures.sets import Sets
from fastdata.measures.sums import Mean, Sum
from fastdata.measures.topk import TopK
from fastdata.measures.uniques import Uniques
from fastdata.measures.variance import StdDev, Variance

__all__ = [
    "NOT_RECOUNTED",
    "deviation",
    "fits",
    "has_numbers",
    "is_known",
    "is_same",
    "is_within",
    "recount",
    "recounter",
]

NOT_RECOUNTED = object()
_Plain = Callable[[Any, Sequence[Any]], object]  # of a measure and its values


def recount(measure: Measure, values: Sequence[object]) -> object:
    """The measure of the values; `NOT_RECOUNTED` when there is no plain way to say it.

    Args:
        values: As `Metric.rows` gives them for the measure; None is skipped.
    """
    return recounter(measure)(values)


def recounter(measure: Measure) -> Callable[[Sequence[object]], object]:
    """What `recount` says of the measure, for many lists of values."""
    plain = _PLAIN.get(type(measure))
    if plain is None:
        return lambda _: NOT_RECOUNTED
    if not measure.arguments:
        return partial(plain, measure)
    return lambda values: plain(measure, _counted(measure, values))


def _counted(measure: Measure, values: Sequence[object]) -> Sequence[object]:
    if not measure.arguments or None not in values:
        return values
    return [value for value in values if value is not None]


def is_known(measure: Measure) -> bool:
    """Whether `recount` knows the measure."""
    return type(measure) in _PLAIN


def fits(measure: Measure, estimate: Estimate, values: Sequence[object], stretch: int = 1) -> bool:
    """Whether an estimate can be of the values: exactly, or as a sketch within its bounds.

    Args:
        values: As for `recount`.
        stretch: How many times as wide the bounds are taken.
    """
    expected = recount(measure, values)
    if expected is NOT_RECOUNTED or is_same(estimate.value, expected):
        return True
    if isinstance(measure, TopK):
        return not estimate.is_exact and _is_top(measure, estimate, _counted(measure, values))
    if estimate.confidence < 1 and estimate.value is None:
        return True  # A filter in which every bit is set knows no number.
    return estimate.confidence < 1 and is_within(estimate, expected, stretch)


def is_same(left: object, right: object) -> bool:
    """Whether two values are the same, whatever types their numbers have; NaN is NaN."""
    if type(left) is type(right) and left == right:
        return True
    if isinstance(left, tuple | list) and isinstance(right, tuple | list):
        return len(left) == len(right) and all(map(is_same, left, right))
    if _is_nan(left) or _is_nan(right):
        return _is_nan(left) and _is_nan(right)
    return _comparable(left) == _comparable(right)


def is_within(estimate: Estimate, value: object, stretch: int = 1) -> bool:
    """Whether an estimate's bounds hold the value.

    Args:
        stretch: How many times as wide the bounds are taken. Of a list, whose bounds are values
            themselves, more than once is any width.
    """
    if isinstance(value, tuple) and isinstance(estimate.value, tuple):
        bounds = zip(estimate.lower or (), value, estimate.upper or (), strict=True)  # type: ignore[arg-type]
        return stretch > 1 or all(low <= number <= high for low, number, high in bounds)
    lower, upper = _number(estimate.lower), _number(estimate.upper)
    middle, number = _number(estimate.value), _number(value)
    if middle is None or number is None or lower is None or upper is None:
        return is_same(estimate.value, value)
    return middle - stretch * (middle - lower) <= number <= middle + stretch * (upper - middle)


def deviation(answer: object, expected: object) -> float:
    """The relative error of a number; of anything else 0 when it is right and 1 when not.

    Of a list of numbers it is the largest of their errors.
    """
    if is_same(answer, expected):
        return 0.0
    if _is_numbers(answer) and _is_numbers(expected) and len(answer) == len(expected):
        return max(map(deviation, answer, expected))
    wrong, right = _number(answer), _number(expected)
    if wrong is None or not right:
        return 1.0
    try:
        return float(abs(wrong - right) / abs(right))
    except OverflowError:
        return math.inf


def has_numbers(value: object) -> bool:
    """Whether an answer is a number, or a list of numbers; no answer may be one, too."""
    return (
        value is None
        or _number(value) is not None
        or isinstance(value, float)
        or (_is_numbers(value))
    )


def _is_numbers(value: object) -> TypeGuard[tuple[object, ...]]:
    """Whether it is a list of numbers; of items, those at one place may be different ones."""
    return isinstance(value, tuple) and all(v is None or _number(v) is not None for v in value)


def _number(value: object) -> Fraction | None:
    if isinstance(value, float):
        return Fraction(value) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return Fraction(value) if value.is_finite() else None
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        return Fraction(value)
    return None


def _comparable(value: object) -> object:
    number = _number(value)
    return value if number is None else number


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _sum(values: Sequence[Any]) -> object:
    if {*map(type, values)} <= {int}:
        return sum(values)
    infinities = {value for value in values if isinstance(value, float) and math.isinf(value)}
    if any(map(_is_nan, values)) or len(infinities) > 1:
        return math.nan
    if infinities:
        return infinities.pop()
    total = sum(map(Fraction, values), Fraction())
    return _rounded(total) if any(isinstance(value, float) for value in values) else total


def _mean(values: Sequence[Any]) -> object:
    if not values:
        return None
    total = _sum([_comparable(value) for value in values])
    if isinstance(total, float):
        return total
    return _rounded(Fraction(cast("Any", total)) / len(values))


def _rounded(number: Fraction) -> float:
    try:
        return number.numerator / number.denominator
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _variance(measure: Variance | StdDev, values: Sequence[Any]) -> object:
    if len(values) < (1 if measure.population else 2):
        return None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        return math.nan
    exact = [Fraction(value) for value in values]
    # Of fractions, `statistics` loses nothing, and rounds a root once.
    if isinstance(measure, StdDev):
        return float((statistics.pstdev if measure.population else statistics.stdev)(exact))
    return _rounded((statistics.pvariance if measure.population else statistics.variance)(exact))


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    """The values without NaN."""
    if {*map(type, values)} <= {int, str, Decimal}:
        return values
    return [value for value in values if not _is_nan(value)]


def _in_time(pair: tuple[Any, int]) -> tuple[int, bool, Any]:
    """The sort key of a pair of value and time: NaN comes last of a millisecond."""
    value, time = pair
    return (time, True, 0) if _is_nan(value) else (time, False, value)


def _between(edges: Sequence[Any], values: Sequence[Any]) -> object:
    ends = [-math.inf, *edges, math.inf]
    last = len(edges)
    return tuple(
        sum(low <= v and (v < high or (i == last and v == high)) for v in values)
        for i, (low, high) in enumerate(pairwise(ends))
    )


def _quantiles(measure: Quantiles, values: Sequence[Any]) -> object:
    numbers = sorted(map(float, _numbers(values)))
    if not numbers:
        return None
    ranks = (math.ceil(Fraction(repr(float(at))) * len(numbers)) for at in measure.at)
    return tuple(numbers[max(1, rank) - 1] for rank in ranks)


def _weights(measure: TopK, values: Sequence[Any]) -> dict[Any, Fraction]:
    weights: dict[Any, Fraction] = {}
    for value in values:
        item, weight = (value, 1) if measure.weight is None else value
        if weight > 0:
            weights[item] = weights.get(item, Fraction()) + Fraction(weight)
    return weights


def _top(measure: TopK, values: Sequence[Any]) -> object:
    weights = sorted(_weights(measure, values).items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((item, weight, weight, weight) for item, weight in weights[: measure.k])


def _is_top(measure: TopK, estimate: Estimate, values: Sequence[Any]) -> bool:
    """Whether each listed item is within its bounds, and none is missing from a full list."""
    weights, rows = _weights(measure, values), cast("Sequence[Any]", estimate.value)
    is_right = all(low <= weights.pop(item, 0) <= high for item, _, low, high in rows)
    is_full = len(rows) == measure.k
    return is_right and (not is_full or max(weights.values(), default=Fraction()) <= rows[-1][3])


def _by_key(values: Sequence[Any]) -> Iterable[list[tuple[int, Any]]]:
    """Of each key its times, and the step at each."""
    times: dict[Any, list[tuple[int, Any]]] = {}
    for (step, key), time in values:
        times.setdefault(key, []).append((time, step))
    return times.values()


def _sessions(measure: Sessions, values: Sequence[Any]) -> object:
    gap_ms, number, total_ms = parse_duration(measure.gap), 0, 0
    for moments in _by_key([(("", key), time) for key, time in values]):
        pauses = [late - early for (early, _), (late, _) in pairwise(sorted(moments))]
        number += 1 + sum(pause > gap_ms for pause in pauses)
        total_ms += sum(pause for pause in pauses if pause <= gap_ms)
    return number if measure.answer == "sessions" else total_ms / 1000


def _in_steps(measure: Sequences | Funnel, moments: list[tuple[int, Any]]) -> list[tuple[int, int]]:
    in_steps = [moment for moment in moments if moment[1] in measure.steps]
    return sorted([(time, measure.steps.index(step)) for time, step in in_steps])


def _sequences(measure: Sequences, values: Sequence[Any]) -> object:
    """From each event that could be the last one back to the nearest that could be the others."""
    within_ms, number = parse_duration(measure.within), 0
    for moments in map(partial(_in_steps, measure), _by_key(values)):
        first = 0
        for end in range(len(moments)):
            at, wanted = end, [measure.steps.index(step) for step in measure.steps]
            while at >= first and wanted:
                if moments[at][1] == wanted[-1]:
                    wanted.pop()
                    start = moments[at][0]
                elif at == end:
                    break
                at -= 1
            if not wanted and moments[end][0] - start <= within_ms:
                number, first = number + 1, end + 1
    return number


def _funnel(measure: Funnel, values: Sequence[Any]) -> object:
    """From each event that could be the first one on to the nearest that could be the others."""
    within_ms, counts = parse_duration(measure.within), [0] * len(measure.steps)
    for moments in map(partial(_in_steps, measure), _by_key(values)):
        furthest = 0
        for start, (began, _) in enumerate(moments):
            wanted = [measure.steps.index(step) for step in measure.steps]
            for time, step in moments[start:]:
                if wanted and step == wanted[0] and time - began <= within_ms:
                    wanted.pop(0)
                elif len(wanted) == len(measure.steps):
                    break
            furthest = max(furthest, len(measure.steps) - len(wanted))
        for step in range(furthest):
            counts[step] += 1
    return tuple(counts)


_PLAIN: dict[type, _Plain] = {
    Count: lambda measure, values: len(values),
    Sum: lambda measure, values: _sum(values),
    Mean: lambda measure, values: _mean(values),
    Variance: _variance,
    StdDev: _variance,
    Min: lambda measure, values: min(_numbers(values), default=None),
    Max: lambda measure, values: max(_numbers(values), default=None),
    First: lambda measure, values: min(values, key=_in_time)[0] if values else None,
    Last: lambda measure, values: max(values, key=_in_time)[0] if values else None,
    Histogram: lambda measure, values: _between(measure.edges, values),
    Uniques: lambda measure, values: len(set(values)),
    Sets: lambda measure, values: len(set(values)),
    Frequency: lambda measure, values: len(values),
    Seen: lambda measure, values: len(set(values)),
    Quantiles: _quantiles,
    TopK: _top,
    Sessions: _sessions,
    Sequences: _sequences,
    Funnel: _funnel,
}
