"""What a loop by hand does with an event: four measures (flights: five) in a dictionary."""

from typing import Any

from datasketches import hll_sketch, tgt_hll_type

states: dict[Any, list[Any]] = {}


def view(event: Any) -> None:
    """A count, a sum, a mean and distinct visitors of a page's minute."""
    key = event["page"], int(event["at"].timestamp()) // 60
    state = states.get(key)
    if state is None:
        state = states[key] = [0, 0, 0, hll_sketch(12, tgt_hll_type.HLL_4)]
    state[0] += 1
    state[1] += event["bytes"]
    state[2] += event["ms"]
    state[3].update(event["visitor"])


def flight(event: Any) -> None:
    """The measures of agents/flights.py, of a minute of an airport and a carrier."""
    minute = int(event["scheduled_departure"].timestamp()) // 60
    key = f"{event['origin']}/{event['carrier']}", minute
    state = states.get(key)
    if state is None:
        state = states[key] = [0, 0, 0, 0, None, hll_sketch(12, tgt_hll_type.HLL_4)]
    state[0] += 1
    state[1] += event["distance"]
    if (delay := event["dep_delay"]) is not None:
        state[2] += 1
        state[3] += delay
        state[4] = delay if state[4] is None else max(state[4], delay)
    if event["tailnum"] is not None:
        state[5].update(event["tailnum"])


FOLDS = {"view": view, "flight": flight}


def counts() -> list[tuple[str, int, int]]:
    """Key, minute and count of each state."""
    return [(key, minute, state[0]) for (key, minute), state in states.items()]
