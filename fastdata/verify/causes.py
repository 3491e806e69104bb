"""Why the speed layer differs from a recount: what it left out, skipped or could not know."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from fastdata.declare.metric import Metric, States
from fastdata.measures.count import Count
from fastdata.verify.compare import Comparison, shown
from fastdata.verify.plain import deviation, is_same
from fastdata.verify.recount import Cell, CellKey, Event, Place
from fastdata.verify.reports import Fact, SpanReport

__all__ = ["Known", "compare_speed"]

_REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of events that the speed layer has not folded.

    Attributes:
        skipped: Offsets `[start, end)` of partitions, and why: "gap" or "definition".
        next_offsets: Per partition, the first offset that no worker has folded yet.
        left_out: By partition and segment, events of the hour that were counted apart: "late",
            "future" or "repeat".
        unread: By partition and segment, dead letters that the archive can read.
        lost: By partition and segment, offsets that were never archived.
    """

    skipped: list[tuple[int, int, int, str]]
    next_offsets: Mapping[int, int]
    left_out: Mapping[Place, Counter[str]]
    unread: Mapping[Place, int]
    lost: Mapping[Place, int]

    def cause(self, event: Event) -> str | None:
        """Why the event was not folded, as far as its offset tells."""
        for partition, start, end, why in self.skipped:
            if partition == event.partition and start <= event.offset < end:
                return why
        is_next = event.offset >= self.next_offsets.get(event.partition, 0)
        return "behind" if is_next else None


@dataclass(slots=True)
class _Line:
    """One window and dimensions over all segments.

    Attributes:
        folded: The rows that its states are made of; None when that cannot be told.
        causes: Why it may differ from what is right.
    """

    states: States
    rows: Cell = field(default_factory=list)
    folded: Cell | None = field(default_factory=list)
    causes: set[str] = field(default_factory=set)


def compare_speed(
    comparison: Comparison,
    report: SpanReport,
    known: Known,
    partials: Mapping[Place, Mapping[CellKey, bytes]],
    places: Mapping[Place, Mapping[CellKey, Cell]],
) -> None:
    """Check every partial of some segments, and say by how much the rows were off.

    Each partial must be what the events of its segment make; where some were left out, of a part
    of them, and no more may be missing than are known to be.

    Args:
        partials: Of the segments that are compared.
        places: The events of these, repeats included.
    """
    _Speed(comparison, report, known).run(partials, places)


class _Speed:
    def __init__(self, comparison: Comparison, report: SpanReport, known: Known) -> None:
        self._comparison = comparison
        self._metric: Metric = comparison.metric
        self._report = report
        self._known = known
        self._lines: dict[CellKey, _Line] = {}
        plain = (i for i, m in enumerate(self._metric.folded.values()) if m == Count())
        self._count = next(plain, None)

    def run(
        self,
        partials: Mapping[Place, Mapping[CellKey, bytes]],
        places: Mapping[Place, Mapping[CellKey, Cell]],
    ) -> None:
        for place in sorted(partials.keys() | places.keys()):
            self._compare_place(place, partials.get(place, {}), places.get(place, {}))
        for key in sorted(self._lines):
            self._compare_line(key, self._lines[key])
        self._report.findings += self._comparison.findings

    def _compare_place(
        self, place: Place, blobs: Mapping[CellKey, bytes], cells: Mapping[CellKey, Cell]
    ) -> None:
        before = len(self._comparison.findings)
        folded: Counter[int] = Counter()
        several: dict[int, Cell] = {number: [] for number in range(len(self._metric.sets))}
        for key in sorted(blobs.keys() | cells.keys()):
            number, _ = self._metric.read_dims(key[1])
            several.setdefault(number, []).extend(cells.get(key, []))
            folded[number] += self._compare_cell(place, key, blobs.get(key), cells.get(key, []))
        found = [self._causes(place, several[n], folded[n], before) for n in several]
        # Every event is in every grouping set.
        causes, wrong = max(found, key=lambda each: each[1])
        self._report.causes.update(causes)
        self._report.unexplained += wrong

    def _causes(
        self, place: Place, rows: Cell, folded: int, findings: int
    ) -> tuple[Counter[str], int]:
        """The events by which a grouping set's partials of a segment differ, and the unexplained.

        Args:
            rows: Of the events that it should have.
            folded: How many events it counts.
            findings: How many there were before the segment.
        """
        events = {row.event.offset for row in rows}
        room = self._room(place, rows)
        repeats = sum(row.event.is_again for row in rows)
        if self._count is None or len(events) < len(rows):
            # How many events were folded cannot be told: all that may be missing is.
            causes, wrong = room, 0
        else:
            causes, wrong = self._explain(place, len(rows) - folded, room, findings)
        causes["duplicate"] = max(0, repeats - causes.pop(_REPEAT, 0))
        return causes, wrong

    def _explain(
        self, place: Place, missing: int, room: Counter[str], findings: int
    ) -> tuple[Counter[str], int]:
        """Give each cause its part of the events that are missing; the rest is unexplained."""
        causes: Counter[str] = Counter()
        extra = max(0, -missing)
        causes["unarchived"] = min(extra, self._known.lost.get(place, 0))
        rest = max(0, missing)
        for cause, events in room.items():
            causes[cause] = min(rest, events)
            rest -= causes[cause]
        wrong = rest + extra - causes["unarchived"]
        if wrong and len(self._comparison.findings) == findings:
            what = f"{wrong} events {'missing' if rest else 'too many'}"
            where = f"partition {place[0]}, segment {place[1]}"
            detail = f"the speed layer knows of {sum(room.values())} that it left out"
            self._comparison.find(where, None, what, "all events of the segment", detail)
        return causes, wrong

    def _compare_cell(self, place: Place, key: CellKey, blob: bytes | None, rows: Cell) -> int:
        """Compare a partial, and return how many events it counts, if it tells."""
        comparison = self._comparison
        where = f"{shown(key)}, partition {place[0]}, segment {place[1]}"
        states = self._metric.zero() if blob is None else comparison.load(blob, where)
        if states is None:
            return len(rows)
        told = comparison.told(states)
        folded = self._folded(place, rows, lambda some: comparison.fits(told, some))
        count = self._counted(states)
        line = self._lines.setdefault(key, _Line(self._metric.zero()))
        self._metric.merge(line.states, states)
        line.rows += rows
        if folded is None:
            line.folded = None
            room = self._room(place, rows)
            line.causes.update(room)
            lost = self._known.lost.get(place, 0)
            if lost:
                line.causes.add("unarchived")
            if any(row.event.is_again for row in rows):
                line.causes.add("duplicate")
            least, most = len(rows) - sum(room.values()), len(rows) + lost
            is_whole = count == len(rows) and not lost
            is_likely = count is None or (least <= count <= most and not is_whole)
            if not (room or lost) or not is_likely:
                detail = "the partial is not what the events of its segment make"
                present = [row for row in rows if self._known.cause(row.event) is None]
                comparison.check(told, present, where, detail)
        else:
            line.folded = None if line.folded is None else line.folded + folded
            out = {row.event.offset for row in rows} - {row.event.offset for row in folded}
            gone = [row.event for row in rows if row.event.offset in out]
            line.causes.update(why for event in gone if (why := self._known.cause(event)))
            line.causes.update("duplicate" for row in folded if row.event.is_again)
        return len(rows) if count is None else count

    def _folded(self, place: Place, rows: Cell, fits: Callable[[Cell], bool]) -> Cell | None:
        """Of which rows the states are made; None when of none that is likely."""
        has_repeats = self._known.left_out.get(place, Counter())[_REPEAT] > 0
        return next((some for some in self._likely(rows, has_repeats) if fits(some)), None)

    def _likely(self, rows: Cell, has_repeats: bool) -> Iterator[Cell]:
        present = [row for row in rows if self._known.cause(row.event) is None]
        for some in (present, rows):
            if has_repeats:
                yield [row for row in some if not row.event.is_again_here]
            yield some

    def _room(self, place: Place, rows: Cell) -> Counter[str]:
        """How many events of the segment may be missing, by cause."""
        causes = (self._known.cause(row.event) for row in rows)
        room = Counter(cause for cause in causes if cause)
        room.update(self._known.left_out.get(place, {}))
        room["dead letter"] = self._known.unread.get(place, 0)
        return +room

    def _counted(self, states: States) -> int | None:
        if self._count is None:
            return None
        value = self._metric.aggregates[self._count].present(states[self._count]).value
        return value if isinstance(value, int) else None

    def _compare_line(self, key: CellKey, line: _Line) -> None:
        comparison = self._comparison
        told = comparison.told(line.states)
        if line.folded is not None:
            detail = "the partials are right, and what they merge to is not"
            comparison.check(told, line.folded, shown(key), detail)
        right = [row for row in line.rows if not row.event.is_again]
        if not right and not line.folded:
            return
        for index, name in enumerate(self._metric.folded):
            expected = comparison.expected(index, right)
            found = told.estimates[index]
            if is_same(found.value, expected):
                cause = "none"
            elif not found.is_exact and (
                not line.causes or comparison.is_likely(index, found, right)
            ):
                cause = "sketch"
            else:
                cause = "+".join(sorted(line.causes - {_REPEAT})) or "unexplained"
            self._report.facts.append(Fact(name, cause, deviation(found.value, expected)))
