"""Totals of whole hours, merged from those of the minutes that an engine has counted.

They are for readers of hours, days and longer windows, who get the same of them as of the minutes,
from a small part of the rows. So there are none where that is not so: where a state of an hour is
too large to be stored whole, as sets of values may be; where hours would take more than half of
what their minutes take, as those of rare dimensions do; and where all are few. Each grouping set is
judged by itself.
"""

from collections.abc import Mapping, Sequence

from fastdata.batch.job import WindowState
from fastdata.coordinates.dimensions import is_tip
from fastdata.declare.metric import Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.columns import merge_groups
from fastdata.store.rollups import cost_of
from fastdata.store.rules import portions

__all__ = ["hour_totals"]

_LEAST_SAVING = 2
_FEW = 16  # totals of minutes
_BYTES_AT_ONCE = 1 << 20
_ByDims = Mapping[str, Sequence[bytes]]


def hour_totals(metric: Metric, span: int, totals: Sequence[WindowState]) -> list[WindowState]:
    """The totals of an hour by dimensions, in order; none where those of minutes have to do.

    Args:
        span: The start of the hour, ms UTC.
        totals: Those of its minutes, and tips, which are not merged.
    """
    sets: dict[int, dict[str, list[bytes]]] = {}
    of_dims: dict[str, list[bytes]] = {}
    for _, dims, state in totals:
        if dims not in of_dims and not is_tip(dims):
            number, _ = metric.read_dims(dims)
            of_dims[dims] = sets.setdefault(number, {}).setdefault(dims, [])
        if dims in of_dims:
            of_dims[dims].append(state)
    merged = [total for of_set in sets.values() for total in _merged(metric, span, of_set)]
    return sorted(merged)


def _merged(metric: Metric, span: int, of_set: _ByDims) -> list[WindowState]:
    costs = [cost_of(state) for states in of_set.values() for state in states]
    most = sum(costs) // _LEAST_SAVING
    if len(costs) < _FEW or len(of_set) * cost_of(b"") > most:
        return []
    hours: list[WindowState] = []
    for some in portions(of_set.items(), _BYTES_AT_ONCE, lambda item: sum(map(len, item[1]))):
        groups = [states for _, states in some]
        for (dims, states), merged in zip(
            some, merge_groups(metric.aggregates, groups), strict=True
        ):
            hour = states[0] if len(states) == 1 else _dumped(metric, merged)
            most -= cost_of(hour or b"")
            if hour is None or most < 0:
                return []
            hours.append((span, dims, hour))
    return hours


def _dumped(metric: Metric, states: States) -> bytes | None:
    """What a store holds of states; None where these could not be merged from it any further."""
    try:
        dumped = metric.dump(states)
    except CorruptStateError:  # Too large.
        return None
    return dumped if dumped == metric.dump_whole(states) else None
