"""Proofs that an aggregate is what both layers take it for.

Each function raises `AssertionError` with what it saw, or returns. Give it values from a
generator such as Hypothesis; "the same" is equality of what is presented, bit for bit.

    aggregate = Sum("amount").bind(FieldType("int"))
    merge_is_associative(aggregate, [1, 2], [], [3])

An aggregate that says `is_canonical = False` keeps these only while its states are exact. Past
that it keeps two others: `a_stored_state_stays_itself`, and `bounds_hold_for_any_split`.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import cast

from fastdata.measures.aggregate import Aggregate, State, dump_whole
from fastdata.measures.estimates import Estimate, Value

__all__ = [
    "a_stored_state_stays_itself",
    "a_whole_state_merges_as_before",
    "any_split_presents_the_same",
    "bounds_hold_as_often_as_stated",
    "bounds_hold_for_any_split",
    "dump_and_load_change_nothing",
    "fold",
    "merge_is_associative",
    "merge_is_commutative",
    "missing_values_stay_in_bounds",
    "same",
    "zero_is_neutral",
]


def fold(aggregate: Aggregate, values: Iterable[object], exact: bool = False) -> State:
    """The state of the values, folded in this order.

    Args:
        aggregate: What folds them.
        values: As the aggregate takes them.
        exact: Whether the state begins as exact, as in batch.
    """
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
    """It does not show which neighbors of three are merged first."""
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
    is_nothing = aggregate.dump(plain) == aggregate.dump(aggregate.zero(exact))
    for zero_exact in (False, True):
        left = aggregate.merge(aggregate.zero(zero_exact), fold(aggregate, values, exact))
        right = aggregate.merge(fold(aggregate, values, exact), aggregate.zero(zero_exact))
        # Two states of nothing present the same, yet one of them may go on to be exact.
        stored = not is_nothing or zero_exact is exact
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


def a_stored_state_stays_itself(
    aggregate: Aggregate, values: Sequence[object], exact: bool = False
) -> None:
    """One state is stored in one form, whether it was asked, loaded, copied or merged with zero."""
    state = fold(aggregate, values, exact)
    answer, data = aggregate.present(state), aggregate.dump(state)
    _stays(aggregate, "dump and load change the state", aggregate.load(data), data, answer)
    for zero_exact in (False, True):
        loaded = aggregate.load(data)
        left = aggregate.merge(aggregate.zero(zero_exact), loaded)
        right = aggregate.merge(aggregate.load(data), aggregate.zero(zero_exact))
        if data != aggregate.dump(aggregate.zero(exact)):
            _stays(aggregate, "zero changes what it is merged with", left, data, answer)
            _stays(aggregate, "zero changes what is merged with it", right, data, answer)
        # A merge must not share what it took.
        for value in values:
            left = aggregate.add(left, value)
        aggregate.merge(aggregate.load(data), loaded)
        _stays(aggregate, "merge changed its second argument", loaded, data, answer)


def a_whole_state_merges_as_before(
    aggregate: Aggregate, values: Sequence[object], more: Sequence[object] = ()
) -> None:
    """What batch keeps of a state presents and merges as the state itself, however large."""
    state, other = fold(aggregate, values, exact=True), fold(aggregate, more, exact=True)
    kept, kept_other = (aggregate.load(dump_whole(aggregate, s)) for s in (state, other))
    _check_whole(aggregate, "what is kept of a state is another", state, kept)
    merged, kept = aggregate.merge(state, other), aggregate.merge(kept, kept_other)
    _check_whole(aggregate, "what is kept of a state merges differently", merged, kept)


def missing_values_stay_in_bounds(
    aggregate: Aggregate, values: Sequence[object], missing: Sequence[object]
) -> None:
    """Widened by as many events as are missing, the bounds of the rest hold the whole answer.

    What is certain is looked at, begun as batch does: bounds of sketches may fail now and then.
    """
    folded = aggregate.present(fold(aggregate, values, exact=True))
    whole = aggregate.present(fold(aggregate, [*values, *missing], exact=True))
    widened = aggregate.widen(folded, len(missing))
    if widened.confidence == folded.confidence == whole.confidence == 1.0:
        _require(_holds(widened, whole.value), f"{whole.value!r} is outside of {widened}")


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
    estimates = []
    for seed in range(runs):
        values, truth = draw(seed)
        estimates.append((aggregate.present(fold(aggregate, values)), truth))
    _hold_often(estimates, _holds, risk)


def bounds_hold_for_any_split(
    aggregate: Aggregate,
    draw: Callable[[int], tuple[Sequence[object], Value]],
    runs: int,
    risk: float = 1e-9,
    holds: Callable[[Estimate, Value], bool] | None = None,
) -> None:
    """Over seeded runs, the bounds hold as often as they claim, however the values are split.

    They are dealt out to parts, folded there, stored, loaded, and merged in any grouping.

    Args:
        aggregate: What is proved.
        draw: From a seed to values and the true answer.
        runs: Seeds 0 to `runs` are drawn.
        risk: Probability that a truthful aggregate fails here (Hoeffding's inequality, 1963).
        holds: Whether the true answer lies within the bounds; None: one by one in a list.
    """
    estimates = []
    for seed in range(runs):
        values, truth = draw(seed)
        state = _scattered(aggregate, values, random.Random(seed))  # noqa: S311  (no secret)
        estimates.append((aggregate.present(state), truth))
    _hold_often(estimates, holds or _holds, risk)


def _hold_often(
    estimates: Sequence[tuple[Estimate, Value]],
    holds: Callable[[Estimate, Value], bool],
    risk: float,
) -> None:
    runs, held = len(estimates), sum(holds(estimate, truth) for estimate, truth in estimates)
    claimed = sum(estimate.confidence for estimate, _ in estimates)
    slack = math.sqrt(runs * math.log(1 / risk) / 2)
    _require(held >= claimed - slack, f"{held} of {runs} runs in bounds, {claimed:.1f} claimed")


def _scattered(aggregate: Aggregate, values: Sequence[object], chance: random.Random) -> State:
    """The state of values that up to 8 parts folded, some of which were stored in between."""
    states = [aggregate.zero() for _ in range(chance.randint(1, 8))]
    restart = chance.choice((0, 0.001, 0.01))
    for value in values:
        part = chance.randrange(len(states))
        states[part] = aggregate.add(states[part], value)
        if chance.random() < restart:
            states[part] = aggregate.load(aggregate.dump(states[part]))
    while len(states) > 1:
        taken = states.pop(chance.randrange(len(states)))
        index = chance.randrange(len(states))
        states[index] = aggregate.merge(states[index], taken)
    return states[0]


def _stays(aggregate: Aggregate, broken: str, state: State, data: bytes, answer: Estimate) -> None:
    estimate = aggregate.present(state)
    _require(same(estimate, answer), f"{broken}: {answer} became {estimate} ({aggregate})")
    _require(aggregate.dump(state) == data, f"{broken}, stored ({aggregate})")


def _holds(estimate: Estimate, truth: Value) -> bool:
    lower, value, upper = estimate.lower, estimate.value, estimate.upper
    if isinstance(truth, tuple):
        # Element by element; a bound that is missing is missing for all of them.
        size = len(truth)
        sides = [side if isinstance(side, tuple) else (side,) * size for side in (lower, upper)]
        parts = (sides[0], value if isinstance(value, tuple) else (), sides[1], truth)
        return {len(part) for part in parts} == {size} and all(
            _holds(Estimate(at, least, most), element)
            for least, at, most, element in zip(*parts, strict=True)
        )
    if truth is None:
        return value is None or (lower is None and upper is None)
    return _is_at_most(lower, truth) and _is_at_most(truth, upper)


def _is_at_most(left: Value, right: Value) -> bool:
    if left is None or right is None:
        return True
    if isinstance(left, str) and isinstance(right, str):
        return left <= right
    if any(isinstance(side, str | tuple) for side in (left, right)):
        return left == right
    # A NaN is at most itself.
    return repr(left) == repr(right) or cast("float", left) <= cast("float", right)


def _check(
    aggregate: Aggregate, broken: str, left: State, right: State, stored: bool = True
) -> None:
    first, second = aggregate.present(left), aggregate.present(right)
    _require(same(first, second), f"{broken}: {first} is not {second} ({aggregate})")
    if stored:
        # Equal partials of two writers must be equal bytes.
        _require_equal(aggregate.dump(left), aggregate.dump(right), broken)


def _check_whole(aggregate: Aggregate, broken: str, left: State, right: State) -> None:
    # Chance may decide on the bytes of what is given up for an estimate.
    _check(aggregate, broken, left, right, stored=False)
    _require_equal(dump_whole(aggregate, left), dump_whole(aggregate, right), broken)


def _require_equal(left: bytes, right: bytes, broken: str) -> None:
    _require(left == right, f"{broken}, stored: {left[:64].hex()} is not {right[:64].hex()}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
