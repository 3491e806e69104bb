"""The log of the simulation: events and copies of events, and who can know which is a copy.

Every event carries the value 16**n, n its number, so that an exact sum tells, digit by digit in
base 16, how often it holds each event. A copy is sent again by a producer: the same id, time and
content, in the same partition or another one, so its digit is that of the event.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.events.schema import Schema, encode

PARTITIONS, SEGMENT, WINDOWS, SPAN = 2, 5, 6, 2
FIRST_MS = HOUR_MS  # of the hour before, what is left out is in no reading
MOST_OFFSETS = 40
MOST_COPIES = 9  # a digit has room for 15
Place = tuple[int, int]  # partition and offset


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies at one offset.

    Attributes:
        number: Of the event; its copies have the same.
        written_at: The log's own time.
        is_left_out: Whether the speed layer takes it for late.
    """

    number: int
    written_at: int
    value: bytes
    is_left_out: bool


class Log:
    """Both partitions, and where the copies of each event lie.

    Attributes:
        horizon: The `repeat_horizon` of the source.
        windows: Of each event, by its number.
        numbers: The events of each window, by when it begins.
        places: Of each event, by its number: where it and its copies lie, as they were written.
        starts: Per partition, the first offset that is not deleted.
        begun_anew: Per partition, where workers began who knew no ids of the offsets before.
    """

    def __init__(self, seed: int) -> None:
        # Copies are drawn beside the schedule, which is the same with them and without.
        self._copies = random.Random(f"copies of {seed}")
        self._share = (0, 0.15, 0.4)[seed % 3]
        self.horizon = self._copies.choice((SEGMENT, 2 * SEGMENT, 100_000))
        self._entries: dict[int, list[Entry]] = {p: [] for p in range(PARTITIONS)}
        self.windows: list[int] = []
        self.numbers: dict[int, set[int]] = defaultdict(set)
        self.places: list[list[Place]] = []
        self._ids: list[tuple[str, int]] = []  # id and hour of each event
        self.starts = dict.fromkeys(range(PARTITIONS), 0)
        self.begun_anew: dict[int, set[int]] = {p: {0} for p in range(PARTITIONS)}

    def __getitem__(self, partition: int) -> list[Entry]:
        return self._entries[partition]

    def items(self) -> Iterator[tuple[int, list[Entry]]]:
        """Each partition with what it holds."""
        return iter(self._entries.items())

    def produce(self, rng: random.Random, now: int, schema: Schema) -> None:
        """Write one event, or a copy of one, to a partition that has room."""
        p = rng.randrange(PARTITIONS)
        newest = min(WINDOWS - 1, sum(map(len, self._entries.values())) // 12)
        window = rng.randrange(newest + 1) if rng.random() < 0.3 else newest
        if len(self._entries[p]) == MOST_OFFSETS:
            return
        is_left_out = rng.random() < 0.1
        number = self._copied()
        if number is None:
            number = self.new_event(window)
        self.write(p, number, now, schema, is_left_out=is_left_out)

    def write(
        self, p: int, number: int, now: int, schema: Schema, *, is_left_out: bool = False
    ) -> None:
        """Write an event, or a copy of it, to the end of a partition."""
        at, (id, _) = window_start(self.windows[number]), self._ids[number]
        value = encode(schema, {"at": at, "id": id, "digit": Decimal(16**number)})
        self.places[number].append((p, len(self._entries[p])))
        self._entries[p].append(Entry(number, now, value, is_left_out))

    def _copied(self) -> int | None:
        """The event that is sent again; None for a new one."""
        if not self.places or self._copies.random() >= self._share:
            return None
        numbers = range(len(self.places))
        # Which copy counts matters most where one was left out, and where they are near.
        left_out = [n for n in numbers if self.entry(self.places[n][0]).is_left_out]
        chosen = self._copies.choice((numbers, numbers[-6:], left_out[-3:] or numbers))
        number = self._copies.choice(chosen)
        return number if len(self.places[number]) < MOST_COPIES else None

    def new_event(self, window: int) -> int:
        """The number of a new event, whose id is its own, or that of one of another hour."""
        number, hour = len(self.places), window // SPAN
        id = f"e{number}"
        if number and self._copies.random() < self._share / 4:
            # An id is one of its hour: in another hour it is that of another event.
            of_another = self._copies.choice(self._ids)[0]
            id = id if (of_another, hour) in self._ids else of_another
        self._ids.append((id, hour))
        self.windows.append(window)
        self.numbers[window_start(window)].add(number)
        self.places.append([])
        return number

    def entry(self, place: Place) -> Entry:
        """What lies at a place."""
        return self._entries[place[0]][place[1]]

    def events_of(self, window: int) -> list[int]:
        """The numbers of the events of a window."""
        return [number for number, of in enumerate(self.windows) if of == window]

    # --- what each layer can know of a copy ---------------------------------------------------
    def may_count(self, place: Place) -> bool:
        """Whether the speed layer may count it, as it may know of no copy before.

        It knows of its own partition alone, of a horizon, and since a worker began there that
        had the ids. One that was left out is not remembered.
        """
        return any(self._counts(place, begun) for begun in self._lives(place))

    def must_count(self, place: Place) -> bool:
        """Whether the speed layer counts it for sure, once it has folded it."""
        return all(self._counts(place, begun) for begun in self._lives(place))

    def _lives(self, place: Place) -> list[int]:
        return [begun for begun in self.begun_anew[place[0]] if begun <= place[1]]

    def _counts(self, place: Place, begun: int) -> bool:
        """Whether it is the first one that is remembered by a worker who began at an offset."""
        p, offset = place
        first = -1
        for other in sorted(o for q, o in self.places[self.entry(place).number] if q == p):
            if begun <= other <= offset and not self.entry((p, other)).is_left_out:
                edge = (other // SEGMENT - -(-self.horizon // SEGMENT)) * SEGMENT
                if first < max(edge, 0):
                    first = other
        return first == offset

    def counted_by_batch(self, number: int, coverage: Coverage) -> Place | None:
        """The copy that counts in a version: of closed segments before all others."""
        copies = [
            (not coverage.covers(p, offset // SEGMENT), p, offset)
            for p, offset in self.places[number]
            if offset < coverage.end(p, SEGMENT)
        ]
        return min(copies)[1:] if copies else None


def window_start(window: int) -> int:
    """Model window to time: two windows of a minute in each span of an hour."""
    return FIRST_MS + window // SPAN * HOUR_MS + window % SPAN * MINUTE_MS
