"""What a worker says of itself: that it is ready, and what it has done."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from fastdata.speed.agent import SourceAgent

__all__ = ["Summary"]


class Summary:
    """Lines about all sources of a worker."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._said = ""

    def say_ready(
        self,
        agents: Iterable[SourceAgent],
        partitions: Mapping[str, int],
        say: Callable[[str], object],
    ) -> None:
        """Say which partitions are folded from now on, if they are others than before.

        Args:
            partitions: How many each source has.
        """
        shares = []
        for agent in agents:
            name = agent.source.name
            numbers = ", ".join(map(str, sorted(agent.live))) or "none"
            metrics = ", ".join(metric.name for metric in agent.metrics) or "no metric"
            shares.append(f"{name} ({metrics}): partitions {numbers} of {partitions[name]}")
        line = f"folds {'; '.join(shares)}"
        if shares and line != self._said:
            since = "" if self._said else f"ready after {time.monotonic() - self._began_s:.1f} s, "
            self._said = line
            say(f"{since}{line}")

    def describe(self, agents: Iterable[SourceAgent]) -> str:
        """What was done since the start, in one line."""
        events, sent_on, left_out = 0, 0, Counter[str]()
        is_sending = False
        for agent in agents:
            events += agent.effort.events
            if agent.layer is not None:
                left_out.update(agent.layer.intake.left_out)
                sent_on += agent.layer.sent_on
                is_sending |= agent.layer.outlet is not None
        letters = sum(count for reason, count in left_out.items() if reason.startswith("dead:"))
        others = {r: n for r, n in sorted(left_out.items()) if not r.startswith("dead:")}
        reasons = f" ({', '.join(f'{r}: {n:,}' for r, n in others.items())})" if others else ""
        out = sum(others.values())
        seconds = time.monotonic() - self._began_s
        return (
            f"ended after {_duration(seconds)}: {max(0, events - letters - out):,} events folded, "
            f"{out:,} left out{reasons}, {letters:,} dead letters"
            + (f", {sent_on:,} sent on" if is_sending else "")
        )


def _duration(seconds: float) -> str:
    for size_s, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.1f} {unit}"
    return f"{seconds:.1f} s"
