"""Sizes of states, measured: made-up events are folded and dumped by the real code."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fastdata.coordinates.dimensions import dump_dims
from fastdata.declare.metric import Metric, States
from fastdata.errors import CorruptStateError
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import compile_rows
from fastdata.measures.presented import dump_estimates

__all__ = ["dims_bytes", "estimate_bytes", "hour_bytes", "occupied", "state_bytes", "whole_bytes"]

_MOST_SAMPLES = 100_000


def occupied(keys: float, events: float) -> float:
    """How many of some equally frequent keys are expected among some events.

    `keys * (1 - exp(-events / keys))`, the classical occupancy problem (Feller, volume 1, IV.2).
    """
    return -keys * math.expm1(-events / keys)


def state_bytes(metric: Metric, events: float, exact: bool) -> int:
    """The size of the states of so many events as they are stored, all values different.

    Args:
        exact: As batch has it, with the values of distinct counts; else as the speed layer.
    """
    return len(metric.dump(_states(metric, _samples(events), exact)))


def hour_bytes(metric: Metric, events: float) -> int | None:
    """The size of the total of a whole hour; None where batch writes none, as it is not whole."""
    states = _states(metric, _samples(events), exact=True)
    try:
        stored = metric.dump(states)
    except CorruptStateError:  # Too large.
        return None
    return len(stored) if stored == metric.dump_whole(states) else None


def whole_bytes(metric: Metric, events: float) -> int:
    """The size of whole states of so many events, as batch keeps those of hours and days."""
    samples = _samples(events)
    size = len(metric.dump_whole(_states(metric, samples, exact=True)))
    return round(size * max(1.0, events / samples))


def estimate_bytes(metric: Metric, events: float) -> int:
    """The size of what is answered of so many events, as it is stored of rolling days."""
    return len(dump_estimates(metric.estimate(_states(metric, _samples(events), exact=True))))


def dims_bytes(metric: Metric, number: int) -> int:
    """The size of the dimensions of a row of one of a metric's grouping sets."""
    head = [number] if len(metric.sets) > 1 else []
    examples = [_example(metric.dimension_type(name), 0) for name in metric.sets[number]]
    return len(dump_dims([*head, *examples]))


def _samples(events: float) -> int:
    return max(1, min(math.ceil(events), _MOST_SAMPLES))


def _states(metric: Metric, events: int, exact: bool) -> States:
    states = metric.zero(exact)
    fields = metric.source.schema.fields
    # Whatever `where` asks for, an example would hardly have it.
    rows = compile_rows(replace(metric.selection, where=None, sets=()))
    for number in range(events):
        example = {name: _example(type, number) for name, type in fields.items()}
        for _, several in rows(example):
            for values in several:
                metric.add_values(states, values)
    return states


def _example(type: FieldType, number: int) -> Any:
    """A value of that type, another one for each number."""
    match type.kind:
        case "float":
            return number + 0.25
        case "decimal":
            return Decimal(number).scaleb(-type.scale)
        case "string":
            return f"value-{number:08}"
        case "bool":
            return True
        case "record":
            return {name: _example(inner, number) for name, inner in type.fields}
        case "array" if type.items is not None:
            return [_example(type.items, number)]
        case "map":
            return {}
    return 1_000_000 + number
