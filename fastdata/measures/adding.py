"""One Python function of all aggregates of a metric: what folds an event's values into states."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from fastdata.measures.aggregate import Aggregate, State

__all__ = ["Adding", "compile_adding"]

Adding = Callable[[list[State], Sequence[object]], None]
"""Folds values, one for each state, into the states, in place.

It raises MapError for a value whose type a map function has changed.
"""


def compile_adding(aggregates: Sequence[tuple[Aggregate, bool]]) -> Adding:
    """The function that has a line for each aggregate where a loop would cost as much as they do.

    Args:
        aggregates: And whether each folds None as well, because it has no argument.
    """
    lines = ["def add_values(states, values):"]
    for index, (_, folds_none) in enumerate(aggregates):
        condition = "True" if folds_none else f"values[{index}] is not None"
        lines.append(f"    if {condition}:")
        lines.append(f"        states[{index}] = add{index}(states[{index}], values[{index}])")
    names: dict[str, Any] = {f"add{n}": a.add for n, (a, _) in enumerate(aggregates)}
    exec("\n".join(lines), names)  # noqa: S102 - all of it is made above
    return cast("Adding", names["add_values"])
