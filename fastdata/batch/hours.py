"""Totals of whole hours, merged from those of the minutes that an engine has counted.

They are for readers of hours, days and longer windows, who get the same of them as of the minutes,
from a small part of the rows. So there are none where that is not so: where a state of an hour is
too large to be stored whole, as sets of values may be; where hours would be more than a sixth of
their minutes, as those of rare dimensions are, or take more than a third of their room; and where
all are few. Each grouping set is
judged by itself.
"""

from collections.abc import Mapping, Sequence

from fastdata.batch.job import WindowState
from fastdata.coordinates.dimensions import is_tip
from fastdata.declare.metric import Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.columns import merge_groups
from fastdata.store.hours import room_for_hours
from fastdata.store.rollups import ROW_BYTES, cost_of
from fastdata.store.rules import portions

__all__ = ["hour_totals"]

_BYTES_AT_ONCE = 1 << 20
_ByDims = Mapping[str, Sequence[bytes]]


def hour_totals(metric: Metric, span: int, totals: Sequence[WindowState]) -> list[WindowState]:
    """The totals of an hour by dimensions, in order; none where those of minutes have to do.

    Args:
        span: The start of the hour, ms UTC.
        totals: Those of its minutes, and tips, which are not merged.
    """
    of_dims: dict[str, list[bytes]] = {}
    for _, dims, state in totals:
        states = of_dims.get(dims)
        if states is None:
            of_dims[dims] = [state]
        else:
            states.append(state)
    sets: dict[int, dict[str, list[bytes]]] = {}
    for dims, states in of_dims.items():
        if not is_tip(dims):
            number = metric.read_dims(dims)[0] if metric.selection.sets else 0
            sets.setdefault(number, {})[dims] = states
    merged = [total for of_set in sets.values() for total in _merged(metric, span, of_set)]
    return sorted(merged)


def _merged(metric: Metric, span: int, of_set: _ByDims) -> list[WindowState]:
    number = sum(map(len, of_set.values()))
    cost = number * ROW_BYTES + sum(map(_size, of_set.values()))
    room = room_for_hours(len(of_set), number, cost)
    if not room:
        return []
    hours: list[WindowState] = []
    for portion in portions(of_set.items(), _BYTES_AT_ONCE, lambda item: _size(item[1])):
        merged = merge_groups(metric.aggregates, [states for _, states in portion])
        for (dims, states), of_hour in zip(portion, merged, strict=True):
            hour = states[0] if len(states) == 1 else _dumped(metric, of_hour)
            room -= cost_of(hour or b"")
            if hour is None or room < 0:
                return []
            hours.append((span, dims, hour))
    return hours


def _size(states: Sequence[bytes]) -> int:
    return sum(map(len, states))


def _dumped(metric: Metric, states: States) -> bytes | None:
    """What a store holds of states; None where these could not be merged from it any further."""
    try:
        dumped = metric.dump(states)
    except CorruptStateError:  # Too large.
        return None
    return dumped if dumped == metric.dump_whole(states) else None
