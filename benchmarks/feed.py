"""What `benchmarks/sending.py` has sent, and what answers must say of it."""

import json
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

from benchmarks.loads import Event
from fastdata import Metric, query
from fastdata.coordinates.instants import MINUTE_MS, to_datetime
from fastdata.store.protocol import ServingStore

Cell = tuple[str, int]  # page and minute
Sums = tuple[int, int, int]  # views, bytes, ms


class Feed:
    """What a sender has sent, and when, as it tells it.

    Attributes:
        sent: How many events.
        minutes: Of each minute the first event that has a time in it, and the first after these.
        is_over: Whether it has ended.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.minutes: dict[int, tuple[int, int]] = {}
        self.is_over = False
        self._notes: deque[tuple[float, int]] = deque()  # those with events not yet answered
        self._answered = 0

    def follow(self, lines: Iterable[str]) -> None:
        """Take the notes that a sender prints, in a thread of its own, until there are no more."""

        def read() -> None:
            for line in lines:
                self.note(*json.loads(line))
            self.is_over = True

        threading.Thread(target=read, daemon=True).start()

    def note(self, at: float, sent: int) -> None:
        """Take a note: when a tick began, and how many events were sent at its end."""
        if sent > self.sent:
            minute = int(at * 1_000) // MINUTE_MS
            first, _ = self.minutes.get(minute, (self.sent, 0))
            self.minutes[minute] = first, sent
            self._notes.append((at, sent))
            self.sent = sent

    def answer(self, count: int, now: float) -> list[float]:
        """How old the events were that are counted now and were not before; in seconds."""
        ages: list[float] = []
        while self._answered < count and self._notes:
            at, sent = self._notes[0]
            upto = min(sent, count)
            ages += [now - at] * (upto - self._answered)
            self._answered = upto
            if sent <= count:
                self._notes.popleft()
        return ages

    @property
    def oldest(self) -> float | None:
        """When the oldest event was sent that is not yet answered; None if all are."""
        return self._notes[0][0] if self._notes else None

    def before(self, minute: int) -> int:
        """How many events have a time before a minute."""
        return max((end for m, (_, end) in list(self.minutes.items()) if m < minute), default=0)


def expected(feed: Feed, events: Sequence[Event]) -> dict[Cell, Sums]:
    """What was sent, by page and minute: the same events again and again."""
    cells: dict[Cell, Sums] = {}
    for minute, (first, end) in feed.minutes.items():
        whole, rest = divmod(end - first, len(events))
        times = Counter(dict.fromkeys(range(len(events)), whole))
        times.update(n % len(events) for n in range(first, first + rest))
        sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for n, count in times.items():
            if count:
                found, event = sums[events[n]["page"]], events[n]
                found[0] += count
                found[1] += count * event["bytes"]
                found[2] += count * event["ms"]
        cells |= {(page, minute): (n, b, ms) for page, (n, b, ms) in sums.items()}
    return cells


async def answered(store: ServingStore, metric: Metric, minutes: Sequence[int]) -> dict[Cell, Sums]:
    """The same, as queries answer it; the sum of ms is what the mean says."""
    cells: dict[Cell, Sums] = {}
    for first in range(min(minutes), max(minutes) + 1, 5):
        start, end = (to_datetime(m * MINUTE_MS) for m in (first, first + 5))
        table = await query(metric, start, end, every="1m", by=["page"], store=store)
        for row in table.select(["page", "window_start", "count", "sum", "mean"]).to_pylist():
            minute = int(row["window_start"].timestamp()) // 60
            ms = round(row["mean"] * row["count"])
            cells[row["page"], minute] = row["count"], int(row["sum"]), ms
    return cells


def wrong(right: dict[Cell, Sums], found: dict[Cell, Sums]) -> dict[str, int]:
    """By how many events cells are short or over, and how many are wrong in any other way."""
    lost = double = other = 0
    for cell in right.keys() | found.keys():
        mine, told = right.get(cell, (0, 0, 0)), found.get(cell, (0, 0, 0))
        lost += max(0, mine[0] - told[0])
        double += max(0, told[0] - mine[0])
        other += mine != told and mine[0] == told[0]
    return {"cells": len(right), "lost": lost, "double": double, "wrong_sums": other}
