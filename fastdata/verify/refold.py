"""Measures of a user's own: no plain code knows them, so their aggregate folds the values anew."""

from collections.abc import Sequence

from fastdata.declare.metric import Measure
from fastdata.measures.estimates import Estimate
from fastdata.measures.extremes import Aggregate
from fastdata.verify.plain import is_same, is_within

__all__ = ["could_be", "refold"]


def refold(measure: Measure, aggregate: Aggregate, values: Sequence[object]) -> Estimate:
    """What the aggregate makes of the values, one after the other in one state.

    So a value that is missing, doubled or in another's row shows, and a merge or a stored form
    that is wrong. A mistake in `add` or `present` does not.

    Args:
        values: As `Metric.rows` gives them for the measure; None is skipped.

    Raises:
        MapError: A value is not of the declared type.
    """
    state = aggregate.zero(exact=True)
    for value in values:
        if value is not None or not measure.arguments:
            state = aggregate.add(state, value)
    return aggregate.present(state)


def could_be(estimate: Estimate, own: Estimate, stretch: int = 1) -> bool:
    """Whether an estimate can be of the values that `own` was folded from.

    Args:
        stretch: How many times as wide the bounds are taken.
    """
    if is_same(estimate.value, own.value):
        return True
    if estimate.is_exact:
        return False
    bounds = (estimate.lower, estimate.upper)
    is_told = own.is_exact and None not in bounds and not isinstance(own.value, tuple)
    return not is_told or is_within(estimate, own.value, stretch)
