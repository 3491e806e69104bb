"""What batch keeps ready of longer windows: how it is named, and when it is valid.

The totals of a rolled-up window lie in the serving store as those of a metric of their own, each
window in a span of its own. The version that they have there is a *mark*: a digest of the hours
that the window is made of and of the versions that readers see of them. So whoever reads the hours
can tell whether a ready window is made of exactly these, and there is nothing to keep in step.
"""

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import HOUR_MS, floor_to
from fastdata.store.protocol import Head

__all__ = [
    "DAY",
    "OVERALL",
    "ROW_BYTES",
    "Kept",
    "Marks",
    "cost_of",
    "has_overall",
    "is_large",
    "kept_of",
    "rollup_id",
    "span_of_window",
    "touched_hours",
]

DAY = Grain("day")

OVERALL = dump_dims(())
"""The dimensions of the one total of a window that is of all its events, where there is one."""

ROW_BYTES = 256
"""What a row takes besides its state, for a store and for readers."""

_PAIR = struct.Struct(">qq")
# Of what a reader has to merge.
_LARGE_BYTES = 8 << 10


def rollup_id(metric_id: str, grain: Grain, zone: str, is_small: bool = False) -> str:
    """The id under which the ready windows of a grain lie in the serving store.

    Args:
        metric_id: Of the metric's definition.
        zone: The time zone of the metric's days.
        is_small: Of days, whether it is that of small states.
    """
    # Under "@30d@" there once were states.
    kind = "=" if grain.rolling > 1 else "-" if is_small else ""
    return f"{metric_id}@{grain}{kind}@{zone}"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept ready under one id.

    Attributes:
        is_small: Of days, whether it is the small states, or all others.
    """

    grain: Grain
    is_small: bool = False


def kept_of(grains: Sequence[Grain]) -> list[Kept]:
    """What is kept ready for some grains: days in two parts, also where only rolling days are.

    Of rolling days only estimates are kept, and those only that readers should not merge of small
    states of days. All others, and those that fresh events come to, are merged of days.
    """
    kept = [Kept(grain) for grain in grains if grain != DAY]
    if any(grain == DAY or grain.rolling > 1 for grain in grains):
        # Small ones first: a day without them was written when all of it was in one place.
        kept = [Kept(DAY, is_small=True), Kept(DAY), *kept]
    return kept


def cost_of(state: bytes) -> int:
    """What a reader has to do for a state of a day, in bytes."""
    return len(state) + ROW_BYTES


def is_large(cost: int, days: int = 1) -> bool:
    """Whether states that cost so much together are too many to be merged by readers.

    The limit grows with the days of a window: a day is in as many windows as these have days, each
    of which stores a row for it, and all these rows shall take about what the day takes.

    Args:
        cost: Of the states of all days.
        days: How many days a window has.
    """
    return cost > max(_LARGE_BYTES, days * ROW_BYTES)


def has_overall(by: Sequence[str], sets: Sequence[object]) -> bool:
    """Whether a window has a total of all dimensions merged, beside that of each combination.

    Large sets are not exact any more when totals are merged, so this one is merged before. Of
    grouping sets only those that are declared are kept.

    Args:
        by: The names of the metric's dimensions.
        sets: The grouping sets that it declares; none for a metric of all its dimensions.
    """
    return bool(by) and not sets


def span_of_window(end: int) -> int:
    """The span of a window: the hour in which it ends, which no other one of its grain has."""
    return floor_to(end - 1, HOUR_MS)


def touched_hours(start: int, end: int) -> range:
    """The starts of the hours that a window touches; where days begin at half hours, also in part.

    Args:
        start: ms UTC.
        end: ms UTC, exclusive.
    """
    return range(floor_to(start, HOUR_MS), end, HOUR_MS)


class Marks:
    """The marks of windows, by what readers see of a metric's hours.

    Args:
        heads: Of its hours, by their start.
    """

    def __init__(self, heads: Mapping[int, Head]) -> None:
        self._hours = sorted(heads)
        self._packed = b"".join(_PAIR.pack(hour, heads[hour].version) for hour in self._hours)

    def of(self, start: int, end: int) -> int | None:
        """The mark of the window `[start, end)`, of 63 bits; None when no hour of it has a head."""
        first = bisect_left(self._hours, floor_to(start, HOUR_MS))
        last = bisect_left(self._hours, end)
        if first == last:
            return None
        versions = self._packed[first * _PAIR.size : last * _PAIR.size]
        digest = hashlib.sha256(_PAIR.pack(start, end) + versions).digest()
        return int.from_bytes(digest[:8], "big") >> 1
