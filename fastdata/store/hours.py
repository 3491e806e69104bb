"""Totals of whole hours: of a version of a span, beside those of its minutes, and merged from them.

They are written, counted, shown, undone and dropped with the version, so they are never of another
one. A version may have none: an earlier fastdata wrote it, or they would not be worth their room.
"""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Hours", "hours_id"]


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
