"""What sessions, sequences and funnels are, by trying all that there is."""

from collections.abc import Iterable, Sequence
from itertools import combinations

__all__ = ["furthest", "lengths", "matches"]

Events = Sequence[tuple[int, str]]  # of one key: times, ms, and what happened


def lengths(times: Iterable[int], gap_ms: int) -> list[int]:
    """How long the sessions are of events at these times."""
    runs: list[list[int]] = []
    for time in sorted(times):
        if runs and time - runs[-1][-1] <= gap_ms:
            runs[-1].append(time)
        else:
            runs.append([time])
    return [run[-1] - run[0] for run in runs]


def _in_order(events: Events, steps: Sequence[str]) -> list[tuple[int, str]]:
    of_steps = [event for event in events if event[1] in steps]
    return sorted(of_steps, key=lambda event: (event[0], steps.index(event[1])))


def _is_there(events: Events, steps: Sequence[str], within_ms: int) -> bool:
    """Whether the steps are among the events, and the last event is the last step."""
    if not events or events[-1][1] != steps[-1]:
        return False
    return any(
        [value for _, value in (*chosen, events[-1])] == [*steps]
        and events[-1][0] - (*chosen, events[-1])[0][0] <= within_ms
        for chosen in combinations(events[:-1], len(steps) - 1)
    )


def matches(events: Events, steps: Sequence[str], within_ms: int) -> int:
    """How many sequences there are of which none overlaps another, each as early as it can be."""
    number, left = 0, _in_order(events, steps)
    while True:
        ends = [n for n in range(1, len(left) + 1) if _is_there(left[:n], steps, within_ms)]
        if not ends:
            return number
        number, left = number + 1, left[ends[0] :]


def furthest(events: Events, steps: Sequence[str], within_ms: int) -> int:
    """How many of the steps, from the first on, are among the events."""
    ordered = _in_order(events, steps)
    return max(
        (
            count
            for count in range(1, len(steps) + 1)
            for end in range(len(ordered) + 1)
            if _is_there(ordered[:end], steps[:count], within_ms)
        ),
        default=0,
    )
