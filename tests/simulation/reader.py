"""A reader of the simulation: what it sees of the store, and the promises that this keeps.

What is said here of an event is said of the event and its copies together: it is there when one of
them counts. Of these the promises are, with every answer:

* A version counts each event of which it has read a copy once, whichever partitions they are in: in
  its totals when the segment of one is closed, else in the tip of the first.
* A partial counts a copy at most once, and none that its worker could know for one. A worker knows
  of one partition, of a horizon, and of what came since it had to begin without its state; what it
  left out it does not remember.
* A row that says exact has each event once of which either layer has read a copy, or which was
  written to the log before `read_until`.
* Other rows have an event more than once only if it has copies: once for the copy that the version
  counts, and once for each other one that is in no closed segment of it, and of which no worker
  could know that it is one. This is tolerated as partitions are folded without each other, and only
  the next replay sees all. Of how many events a row misses the bounds hold all the same.
* An event that a reader has seen stays, but for one that the version counts at a place that is
  hidden: in an open segment, where a newer partial stands in place of the tip, and has it not as
  the speed layer left it out or skipped it. With copies that is so although another one was
  folded and seen, when the version has read that one too, and so does not count it: the tip of its
  partition, which is without it, stands in place of its partial. The row is not exact then. When a
  copy was folded for sure that the version has not read, this is not tolerated.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from fastdata import Metric
from fastdata.answer.merge import Buckets, Doubts, Row, merge
from fastdata.coordinates.dimensions import is_tip, split_tip
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.hours import Hours
from fastdata.store.protocol import Gap, Head, Partial, Reading, ServingStore
from tests.simulation.fakes import ViolationError
from tests.simulation.log import SEGMENT, WINDOWS, Log, Place, window_start

END_MS = WINDOWS * HOUR_MS


class Reader:
    """What was seen, by the numbers of events, and the last answer.

    Attributes:
        seen: Events of the last answer.
        seen_folded: Events in partials that were seen, with partition and segment.
        inexact: Starts of rows of the last answer.
        repeated: Events that the last answer counts more than once.
        read_until: Of the last answer.
        hours: How many totals fewer there were by the hour.
    """

    def __init__(self, log: Log, metric: Metric) -> None:
        self.log = log
        self.metric = metric
        self.inexact: list[int] = []
        self.repeated: set[int] = set()
        self.read_until: int | None = None
        self.hours = 0
        self.times: dict[tuple[bytes, int], Counter[int]] = {}
        self.forget()

    def forget(self) -> None:
        """All that was seen is gone: a new store."""
        self.seen: set[int] = set()
        self.seen_folded: set[tuple[int, int, int]] = set()

    async def look(self, store: ServingStore) -> set[int]:
        """The events that readers see; checks what each row claims."""
        source = self.metric.source
        reading = await store.read(self.metric.id, unfolded_of(source).id, source.topic, 0, END_MS)
        self.check_versions(reading)
        doubts = Doubts(self.metric, reading)
        self.read_until = doubts.read_until
        self.check_partials(doubts.settled.partials)
        await self.check_hours(store, reading)
        self.inexact, self.repeated = [], set()
        visible: set[int] = set()
        for merged in merge(self.metric, doubts, Buckets(0, END_MS, MINUTE_MS)):
            row = merged.estimated(self.metric)
            events = self.times_in(row.estimates[1].value, row.start)
            self.check_row(row, events, reading)
            visible |= events.keys()
            self.repeated |= {number for number, times in events.items() if times > 1}
            if not row.is_exact:
                self.inexact.append(row.start)
        return visible

    async def check_hours(self, store: ServingStore, reading: Reading) -> None:
        """An answer by the hour is the same of whole hours as of their minutes."""
        ids = self.metric.id, unfolded_of(self.metric.source).id, self.metric.source.topic
        whole = await store.read(*ids, 0, END_MS, hours=Hours([(0, END_MS)], ""))
        by_minute, by_hour = (
            [
                row.estimated(self.metric)
                for row in merge(
                    self.metric, Doubts(self.metric, each), Buckets(0, END_MS, HOUR_MS)
                )
            ]
            for each in (reading, whole)
        )
        if by_minute != by_hour:
            raise ViolationError(f"{by_hour} of whole hours, and of minutes {by_minute}")
        self.hours += len(reading.totals) - len(whole.totals)

    async def query(self, store: ServingStore) -> None:
        """Look, and miss nothing that was seen before."""
        now = await self.look(store)
        heads = await store.heads(self.metric.id, 0, END_MS)
        gaps = await store.gaps(self.metric.source.topic)
        folded = await self.folded(store)
        if gone := {n for n in self.seen - now if not self.may_hide(n, heads, gaps, folded)}:
            raise ViolationError(f"flicker: {self.told(gone)} seen before, gone now")
        self.seen = now

    async def folded(self, store: ServingStore) -> dict[int, int]:
        """How far each partition is folded, as readers know it."""
        reports = await store.progress(self.metric.source.topic)
        return {report.partition: report.next_offset for report in reports}

    async def check_drained(self, store: ServingStore) -> None:
        """Once all is folded, each event is seen that is not left out, hidden, or in a gap."""
        heads = await store.heads(self.metric.id, 0, END_MS)
        gaps = await store.gaps(self.metric.source.topic)
        folded = await self.folded(store)
        unseen = set(range(len(self.log.places))) - self.seen
        if lost := {
            number
            for number in unseen
            if not self.is_unfoldable(number, gaps)
            and not self.may_hide(number, heads, gaps, folded)
        }:
            raise ViolationError(f"lost: {self.told(lost)}")

    async def check_healed(self, store: ServingStore) -> None:
        """Once all is replayed, each event is seen once, and every row is exact."""
        if lost := set(range(len(self.log.places))) - self.seen:
            raise ViolationError(f"not healed: {self.told(lost)}")
        if self.repeated:
            raise ViolationError(f"counted twice after a replay: {self.told(self.repeated)}")
        # A gap reaches to an edge, which the log may not have reached yet.
        gaps = await store.gaps(self.metric.source.topic)
        if self.inexact and all(gap.end <= len(self.log[gap.partition]) for gap in gaps):
            raise ViolationError(f"all is counted, and these are not exact: {self.inexact}")

    # --- states to events ---------------------------------------------------------------------
    def times_in(self, total: object, start: int) -> Counter[int]:
        """How often a sum of a window has each event, by its number."""
        assert isinstance(total, Decimal)
        digits = f"{int(total):x}"[::-1]
        times = Counter({n: int(digit, 16) for n, digit in enumerate(digits) if digit != "0"})
        if strange := times.keys() - self.log.numbers[start]:
            raise ViolationError(f"events of another window than {start}: {sorted(strange)}")
        return times

    def times_in_state(self, state: bytes, window: int) -> Counter[int]:
        """How often a stored state of a window has each event."""
        if (state, window) not in self.times:
            total = self.metric.aggregates[1].present(self.metric.load(state)[1]).value
            self.times[state, window] = self.times_in(total, window)
        return self.times[state, window]

    def told(self, numbers: Iterable[int]) -> str:
        """Events and their copies, for a message."""
        return str({number: self.log.places[number] for number in sorted(numbers)[:4]})

    # --- the promises -------------------------------------------------------------------------
    def check_versions(self, reading: Reading) -> None:
        """Batch counts each event that it has read once, by the rules of which copy counts."""
        counted: dict[tuple[int, int | None], Counter[int]] = defaultdict(Counter)
        for total in reading.totals:
            partition = split_tip(total.dims)[1] if is_tip(total.dims) else None
            times = self.times_in_state(total.state, total.window)
            counted[total.window - total.window % HOUR_MS, partition] += times
        expected: dict[tuple[int, int | None], Counter[int]] = defaultdict(Counter)
        for start, numbers in self.log.numbers.items():
            hour = start - start % HOUR_MS
            if not (head := reading.heads.get(hour)):
                continue
            for number in numbers:
                if place := self.log.counted_by_batch(number, head.coverage):
                    is_closed = head.coverage.covers(place[0], place[1] // SEGMENT)
                    expected[hour, None if is_closed else place[0]][number] += 1
        for key in counted.keys() | expected.keys():
            if wrong := {n for n, _ in counted[key].items() ^ expected[key].items()}:
                raise ViolationError(f"batch does not count once at {key}: {self.told(wrong)}")

    def check_partials(self, partials: Sequence[Partial]) -> None:
        """A partial counts a copy only if its worker could not know that it is one."""
        for partial in partials:
            p, segment = partial.partition, partial.segment
            for number, times in self.times_in_state(partial.state, partial.window).items():
                copies = [
                    place
                    for place in self.log.places[number]
                    if (place[0], place[1] // SEGMENT) == (p, segment)
                    and place[1] <= partial.stamp
                    and not self.log.entry(place).is_left_out
                    and self.log.may_count(place)
                ]
                if times > len(copies):
                    raise ViolationError(
                        f"counted {times} times in partition {p}, segment {segment}, where the "
                        f"worker could know of copies: {self.told([number])}"
                    )
                self.seen_folded.add((number, p, segment))

    def check_row(self, row: Row, events: Counter[int], reading: Reading) -> None:
        """The bounds hold, no event counts more often than it may, and exact is complete."""
        head = reading.heads.get(row.start - row.start % HOUR_MS)
        coverage = head.coverage if head else Coverage()
        count, all_read = row.estimates[0], self.read_of(row.start, coverage, reading)
        # Whatever counts too often hides nothing of what is missing.
        known = events.total() + len(all_read - events.keys())
        lower, upper = count.lower, count.upper
        assert isinstance(lower, int)
        assert isinstance(upper, int)
        if count.value != events.total() or not lower <= known <= upper:
            raise ViolationError(f"{known} is not in [{lower}, {upper}] at {row.start}")
        for number, times in events.items():
            if times > (1 if row.is_exact else self.most_times(number, coverage)):
                raise ViolationError(f"counted {times} times: {self.told([number])}")
        if not row.is_exact:
            return
        if wrong := all_read ^ events.keys():
            raise ViolationError(f"called exact, and is not in {self.told(wrong)}")
        if late := self.written_before(self.read_until, row.start) - events.keys():
            raise ViolationError(f"read until {self.read_until}, exact without {self.told(late)}")

    def read_of(self, start: int, coverage: Coverage, reading: Reading) -> set[int]:
        """The events of a window of which either layer has read a copy."""
        folded = {report.partition: report.next_offset for report in reading.progress}
        ends = {p: max(folded.get(p, 0), coverage.end(p, SEGMENT)) for p, _ in self.log.items()}
        return {
            number
            for number in self.log.numbers[start]
            if any(o < ends[p] for p, o in self.log.places[number])
        }

    def written_before(self, moment: int | None, start: int) -> set[int]:
        """The events of a window that were first written to the log before a moment."""
        return {
            number
            for number in self.log.numbers[start]
            if moment is not None and self.log.entry(self.log.places[number][0]).written_at < moment
        }

    def most_times(self, number: int, coverage: Coverage) -> int:
        """How often an event may count before the next replay: once if it has no copies."""
        counted = self.log.counted_by_batch(number, coverage)
        unknown = {
            (p, o)
            for p, o in self.log.places[number]
            if not coverage.covers(p, o // SEGMENT)
            and not self.log.entry((p, o)).is_left_out
            and self.log.may_count((p, o))
        }
        return len(unknown | ({counted} if counted else set()))

    def may_hide(
        self,
        number: int,
        heads: Mapping[int, Head],
        gaps: Collection[Gap],
        folded: Mapping[int, int],
    ) -> bool:
        """Whether the version counts an event only where the speed layer has it not."""
        start = window_start(self.log.windows[number])
        head = heads.get(start - start % HOUR_MS)
        coverage = head.coverage if head else Coverage()
        counted = self.log.counted_by_batch(number, coverage)
        if counted is None or coverage.covers(counted[0], counted[1] // SEGMENT):
            return False
        if not self.is_unfolded(counted, gaps):
            return False
        if (number, counted[0], counted[1] // SEGMENT) in self.seen_folded:
            return False
        return not any(
            coverage.end(p, SEGMENT) <= o < folded.get(p, 0)
            and not self.is_unfolded((p, o), gaps)
            and self.log.must_count((p, o))
            for p, o in self.log.places[number]
        )

    def is_unfolded(self, place: Place, gaps: Collection[Gap]) -> bool:
        """Whether the speed layer left out what lies there, or may have skipped it."""
        return self.log.entry(place).is_left_out or _is_in_gap(place, gaps)

    def is_unfoldable(self, number: int, gaps: Collection[Gap]) -> bool:
        """Whether no copy of an event is folded, but some that are copies of one in a gap.

        A worker that has lost its cells may still know the ids of what is in a gap by now.
        """
        places = self.log.places[number]
        return all(
            self.is_unfolded((p, o), gaps)
            or any(q == p and first < o and _is_in_gap((q, first), gaps) for q, first in places)
            for p, o in places
        )


def _is_in_gap(place: Place, gaps: Collection[Gap]) -> bool:
    p, offset = place
    return any(gap.partition == p and gap.start <= offset < gap.end for gap in gaps)
