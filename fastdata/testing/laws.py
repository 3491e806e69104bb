"""Proofs that an aggregate is what both layers take it for.

Each function raises `AssertionError` with what it saw, or returns. Give it values from a
generator such as Hypothesis; "the same" is equality of what is presented, bit for bit.

    aggregate = Sum("amount").bind(FieldType("int"))
    merge_is_associative(aggregate, [1, 2], [], [3])
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from fastdata.aggregates import Aggregate, State
from fastdata.estimates import Estimate, Value

__all__ = [
    "any_split_presents_the_same",
    "bounds_hold_as_often_as_stated",
    "dump_and_load_change_nothing",
    "fold",
    "merge_is_associative",
    "merge_is_commutative",
    "same",
    "zero_is_neutral",
]


def fold(aggregate: Aggregate, values: Iterable[object], exact: bool = False) -> State:
    """The state of those values, folded in this order."""
    state = aggregate.zero(exact)
    for value in values:
        state = aggregate.add(state, value)
    return state


def same(left: Estimate, right: Estimate) -> bool:
    """Whether two estimates are equal; NaN equals NaN, and -0.0 is not 0.0."""
    # The text of a float tells all its bits apart but those of a NaN.
    return repr(left) == repr(right)


def merge_is_associative(
    aggregate: Aggregate,
    first: Sequence[object],
    second: Sequence[object],
    third: Sequence[object],
    exact: bool = False,
) -> None:
    """Which neighbors of three are merged first does not show."""
    a, b, c = (fold(aggregate, values, exact) for values in (first, second, third))
    left = aggregate.merge(aggregate.merge(a, b), c)
    a, b, c = (fold(aggregate, values, exact) for values in (first, second, third))
    _check(aggregate, "merge is not associative", left, aggregate.merge(a, aggregate.merge(b, c)))


def merge_is_commutative(
    aggregate: Aggregate, first: Sequence[object], second: Sequence[object], exact: bool = False
) -> None:
    """Either order of merging presents the same, and the second state is not changed."""
    other = fold(aggregate, second, exact)
    before = aggregate.dump(other)
    left = aggregate.merge(fold(aggregate, first, exact), other)
    _require(aggregate.dump(other) == before, f"merge changed its second argument ({aggregate})")
    right = aggregate.merge(fold(aggregate, second, exact), fold(aggregate, first, exact))
    _check(aggregate, "merge is not commutative", left, right)


def zero_is_neutral(aggregate: Aggregate, values: Sequence[object], exact: bool = False) -> None:
    """Zero, made exact or not, changes no state from either side."""
    plain = fold(aggregate, values, exact)
    for zero_exact in (False, True):
        left = aggregate.merge(aggregate.zero(zero_exact), fold(aggregate, values, exact))
        right = aggregate.merge(fold(aggregate, values, exact), aggregate.zero(zero_exact))
        # Two zeros present the same, yet one of them may go on to be exact.
        stored = bool(values) or zero_exact is exact
        _check(aggregate, "zero changes what it is merged with", plain, left, stored)
        _check(aggregate, "zero changes what is merged with it", plain, right, stored)


def any_split_presents_the_same(
    aggregate: Aggregate, values: Sequence[object], parts: Sequence[int], exact: bool = False
) -> None:
    """Values dealt out to parts, folded there and merged in any order, present the same.

    Args:
        aggregate: What is proved.
        values: At least as many as `parts`.
        parts: For each value the part that folds it; parts merge in the order of their numbers.
        exact: How the parts begin.
    """
    dealt: dict[int, list[object]] = {}
    for part, value in zip(parts, values, strict=True):
        dealt.setdefault(part, []).append(value)
    merged = aggregate.zero(exact)
    for part in sorted(dealt):
        merged = aggregate.merge(merged, fold(aggregate, dealt[part], exact))
    _check(aggregate, "a split shows", fold(aggregate, values, exact), merged)


def dump_and_load_change_nothing(
    aggregate: Aggregate, values: Sequence[object], more: Sequence[object] = (), exact: bool = False
) -> None:
    """A loaded state presents and dumps as before, and goes on folding and merging as before."""
    state = fold(aggregate, values, exact)
    data = aggregate.dump(state)
    loaded = aggregate.load(data)
    _check(aggregate, "dump and load change the state", state, loaded)
    for value in more:
        state, loaded = aggregate.add(state, value), aggregate.add(loaded, value)
    _check(aggregate, "a loaded state folds differently", state, loaded)
    merged = aggregate.merge(aggregate.load(data), fold(aggregate, more, exact))
    _check(aggregate, "a loaded state merges differently", state, merged)


def bounds_hold_as_often_as_stated(
    aggregate: Aggregate,
    draw: Callable[[int], tuple[Iterable[object], Value]],
    runs: int,
    risk: float = 1e-9,
) -> None:
    """Over seeded runs, the true value lies within the bounds as often as they claim.

    Args:
        aggregate: What is proved.
        draw: From a seed to values and the true answer.
        runs: Seeds 0 to `runs` are drawn.
        risk: Probability that a truthful aggregate fails here (Hoeffding's inequality, 1963).
    """
    held, claimed = 0, 0.0
    for seed in range(runs):
        values, truth = draw(seed)
        estimate = aggregate.present(fold(aggregate, values))
        held += _holds(estimate, truth)
        claimed += estimate.confidence
    slack = math.sqrt(runs * math.log(1 / risk) / 2)
    _require(held >= claimed - slack, f"{held} of {runs} runs in bounds, {claimed:.1f} claimed")


def _holds(estimate: Estimate, truth: Value) -> bool:
    lower, value, upper = estimate.lower, estimate.value, estimate.upper
    if isinstance(truth, tuple):
        # Element by element; a bound that is missing is missing for all of them.
        size = len(truth)
        sides = [side if isinstance(side, tuple) else (side,) * size for side in (lower, upper)]
        parts = (sides[0], value if isinstance(value, tuple) else (), sides[1], truth)
        return {len(part) for part in parts} == {size} and all(
            _holds(Estimate(at, least, most), one)
            for least, at, most, one in zip(*parts, strict=True)
        )
    if truth is None or any(isinstance(one, str | tuple) for one in (truth, lower, upper)):
        return value == truth
    return all(
        left is None or right is None or cast("float", left) <= cast("float", right)
        for left, right in ((lower, truth), (truth, upper))
    )


def _check(
    aggregate: Aggregate, broken: str, left: State, right: State, stored: bool = True
) -> None:
    first, second = aggregate.present(left), aggregate.present(right)
    _require(same(first, second), f"{broken}: {first} is not {second} ({aggregate})")
    if stored:
        # Equal partials of two writers must be equal bytes.
        one, two = aggregate.dump(left), aggregate.dump(right)
        _require(one == two, f"{broken}, stored: {one[:64].hex()} is not {two[:64].hex()}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
