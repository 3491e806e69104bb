"""Totals of whole hours: of a version of a span, beside those of its minutes, and merged from them.

They are written, counted, shown, undone and dropped with the version, so they are never of another
one. A version may have none: an earlier fastdata wrote it, or they would not be worth their room.
"""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Hours", "hours_id", "room_for_hours"]

_FEW = 48  # totals of minutes
_LEAST_ROWS, _LEAST_SAVING = 6, 3


class Hours(NamedTuple):
    """Where totals of whole hours will do in place of those of minutes.

    Attributes:
        intervals: `[start, end)` of spans, in order and apart, ms UTC.
        begin: How the dimensions of all rows begin that are asked for. A version has hours of all
            its rows that begin so, or of none.
    """

    intervals: Sequence[tuple[int, int]]
    begin: str


def hours_id(metric: str) -> str:
    """The id under which they lie in a store that has them among the totals.

    An earlier fastdata does not know it, so there they are neither read nor in the way.
    """
    return f"{metric}@hour"


def room_for_hours(hours: float, minutes: float, cost: float) -> float:
    """What the totals of an hour may cost at most, as `rollups.cost_of` has it, to be worth it.

    Args:
        hours: How many they are.
        minutes: How many totals there are of its minutes.
        cost: Of all of these.
    """
    return 0 if minutes < max(_FEW, _LEAST_ROWS * hours) else cost / _LEAST_SAVING
