"""Why the speed layer differs from a recount: what it left out, skipped or could not know."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastdata.declare.metric import Metric, States
from fastdata.measures.count import Count
from fastdata.verify.compare import (
    Comparison,
    Place,
    PresentedStates,
    columns_of,
    counted_events,
)
from fastdata.verify.plain import deviation, has_numbers, is_same
from fastdata.verify.recount import GroupKey, PlainEvent, PlainRows, SegmentKey
from fastdata.verify.reports import Fact, SpanReport

__all__ = ["KnownCauses", "SpeedComparison"]

_REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class KnownCauses:
    """What is known of the events that the speed layer has not folded.

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
    left_out: Mapping[SegmentKey, Counter[str]]
    unread: Mapping[SegmentKey, int]
    lost: Mapping[SegmentKey, int]

    def cause(self, event: PlainEvent) -> str | None:
        """Why the event was not folded; None when its offset does not tell."""
        for partition, start, end, why in self.skipped:
            if partition == event.partition and start <= event.offset < end:
                return why
        is_next = event.offset >= self.next_offsets.get(event.partition, 0)
        return "behind" if is_next else None

    def present(self, rows: PlainRows) -> PlainRows:
        """The rows of events whose offsets were folded, as far as these tell."""
        return [row for row in rows if self.cause(row.event) is None]


@dataclass(slots=True)
class _Line:
    """One window and dimensions over all segments that are compared.

    Attributes:
        states: All of its partials merged.
        rows: Of the events that the partials should be made of, repeats included.
        folded: The rows that its states are made of; None when that cannot be told.
        causes: Why it may differ from what is right.
    """

    states: States
    rows: PlainRows = field(default_factory=list)
    folded: PlainRows | None = field(default_factory=list)
    causes: set[str] = field(default_factory=set)


class SpeedComparison:
    """Checks every partial of some segments, and says by how much the answers were off.

    Each partial must be what the events of its segment make; where some were left out, of a part
    of them, and no more may be missing than are known to be.

    Args:
        report: Gets the causes, the unexplained events, the facts and the findings.
    """

    def __init__(self, comparison: Comparison, report: SpanReport, causes: KnownCauses) -> None:
        self._comparison = comparison
        self._metric: Metric = comparison.metric
        self._report = report
        self._known = causes
        self._lines: dict[GroupKey, _Line] = {}
        # A measure that counts all events, if there is one, tells how many were folded.
        counts = (i for i, m in enumerate(self._metric.folded.values()) if m == Count())
        self._count = next(counts, None)

    def run(
        self,
        partials: Mapping[SegmentKey, Mapping[GroupKey, bytes]],
        rows: Mapping[SegmentKey, Mapping[GroupKey, PlainRows]],
    ) -> None:
        """Compare the partials of some segments with the rows of their events, with repeats."""
        for segment in sorted(partials.keys() | rows.keys()):
            self._compare_segment(segment, partials.get(segment, {}), rows.get(segment, {}))
        for key in sorted(self._lines):
            self._compare_line(key, self._lines[key])
        self._report.findings += self._comparison.findings

    def _compare_segment(
        self,
        segment: SegmentKey,
        blobs: Mapping[GroupKey, bytes],
        groups: Mapping[GroupKey, PlainRows],
    ) -> None:
        before = len(self._comparison.findings)
        folded: Counter[int] = Counter()
        by_set: dict[int, PlainRows] = {number: [] for number in range(len(self._metric.sets))}
        part = f", partition {segment[0]}, segment {segment[1]}"
        for key in sorted(blobs.keys() | groups.keys()):
            number = self._metric.read_dims(key[1])[0] if len(by_set) > 1 else 0
            rows = groups.get(key, [])
            by_set[number].extend(rows)
            place = Place(key, part)
            folded[number] += self._compare_partial(segment, place, blobs.get(key), rows)
        explained = [self._causes(segment, by_set[n], folded[n], before) for n in by_set]
        # Every event is in every grouping set: they do not add up, the worst of them counts.
        causes, wrong = max(explained, key=lambda pair: pair[1])
        self._report.causes.update(causes)
        self._report.unexplained += wrong

    def _causes(
        self, segment: SegmentKey, rows: PlainRows, folded: int, findings: int
    ) -> tuple[Counter[str], int]:
        """The events by which a grouping set's partials of a segment differ, and the unexplained.

        Args:
            rows: Of the events that it should have.
            folded: How many events it counts.
            findings: How many there were before the segment.
        """
        events = {row.event.offset for row in rows}
        allowed = self._allowed(segment, rows)
        repeats = sum(row.event.is_again for row in rows)
        if self._count is None or len(events) < len(rows):
            # How many events were folded cannot be told: all that may be missing is.
            causes, wrong = allowed, 0
        else:
            causes, wrong = self._explain(segment, len(rows) - folded, allowed, findings)
        # What a worker knew to be a repeat it left out, as is right; the others count twice.
        causes["duplicate"] = max(0, repeats - causes.pop(_REPEAT, 0))
        return causes, wrong

    def _explain(
        self, segment: SegmentKey, missing: int, allowed: Counter[str], findings: int
    ) -> tuple[Counter[str], int]:
        """Give each cause its part of the events that are missing; the rest is unexplained.

        Args:
            missing: How many; less than 0 when there are too many.
            allowed: How many may be missing, by cause.
            findings: How many there were before the segment.
        """
        causes: Counter[str] = Counter()
        extra = max(0, -missing)
        causes["unarchived"] = min(extra, self._known.lost.get(segment, 0))
        rest = max(0, missing)
        for cause, events in allowed.items():
            causes[cause] = min(rest, events)
            rest -= causes[cause]
        wrong = rest + extra - causes["unarchived"]
        # Where a partial is a finding already, that says more.
        if wrong and len(self._comparison.findings) == findings:
            answer = f"{counted_events(wrong)} {'missing' if rest else 'too many'}"
            place = f"partition {segment[0]}, segment {segment[1]}"
            detail = f"the speed layer knows of {sum(allowed.values())} that it left out"
            self._comparison.note(place, None, answer, "all events of the segment", detail)
        return causes, wrong

    def _compare_partial(
        self, segment: SegmentKey, place: Place, blob: bytes | None, rows: PlainRows
    ) -> int:
        """Compare a partial, and return how many events it counts; as it should, if unknown.

        Args:
            blob: Its states; None where the store has no such partial.
            rows: Of the events that it should be made of.
        """
        comparison, causes = self._comparison, self._known
        comparison.checked += 1
        states = self._metric.zero() if blob is None else comparison.load(blob, place)
        if states is None:
            return len(rows)
        presented = comparison.present(states)
        present = causes.present(rows)
        folded = self._folded(segment, present, rows, presented)
        line = self._lines.setdefault(place.key, _Line(self._metric.zero()))
        self._metric.merge(line.states, states)
        line.rows += rows
        count = self._counted(presented, len(rows))
        if folded is not None:
            line.folded = None if line.folded is None else line.folded + folded
            line.causes |= self._causes_between(rows, folded)
            return count
        # Of the events that were counted apart only the number is known, not which they are. So
        # this is a mistake only if more are missing, or fewer, than they explain.
        line.folded = None
        allowed, lost = self._allowed(segment, rows), causes.lost.get(segment, 0)
        line.causes.update(allowed)
        if lost:
            line.causes.add("unarchived")
        if any(row.event.is_again for row in rows):
            line.causes.add("duplicate")
        least, most = len(rows) - sum(allowed.values()), len(rows) + lost
        is_whole = count == len(rows) and not lost
        is_likely = self._count is None or (least <= count <= most and not is_whole)
        if not (allowed or lost) or not is_likely:
            self._note_partial(None if blob is None else presented, present, place)
        return count

    def _note_partial(
        self, presented: PresentedStates | None, present: PlainRows, place: Place
    ) -> None:
        """Note a partial that is missing, or wrong.

        Args:
            presented: None where the store has no such partial.
            present: What it should be made of.
        """
        comparison = self._comparison
        if presented is None:
            detail = "a worker has folded them, as its progress says, and stored no such partial"
            comparison.note(place, None, "no partial", counted_events(len(present)), detail)
            return
        detail = "the partial is not what the events of its segment make"
        comparison.check(presented, columns_of(self._metric, present), place, detail)

    def _causes_between(self, rows: PlainRows, folded: PlainRows) -> set[str]:
        """Why what was folded is not each event of the rows once."""
        if folded is rows:
            return {"duplicate"} if any(row.event.is_again for row in rows) else set()
        offsets = {row.event.offset for row in folded}
        missing = (row.event for row in rows if row.event.offset not in offsets)
        causes = {cause for event in missing if (cause := self._known.cause(event))}
        return causes | {"duplicate" for row in folded if row.event.is_again}

    def _folded(
        self, segment: SegmentKey, present: PlainRows, rows: PlainRows, presented: PresentedStates
    ) -> PlainRows | None:
        """Of which rows the states are made; None when of none that is likely."""
        has_repeats = self._known.left_out.get(segment, Counter())[_REPEAT] > 0
        # All rows are tried, too: what lies in a gap may have been folded before it was recorded.
        for likely in (rows,) if len(present) == len(rows) else (present, rows):
            once = [row for row in likely if not row.event.is_again_here]
            for folded in (once, likely) if has_repeats else (likely,):
                if self._comparison.fits(presented, columns_of(self._metric, folded)):
                    return folded
        return None

    def _allowed(self, segment: SegmentKey, rows: PlainRows) -> Counter[str]:
        """How many events of the segment may be missing, by cause."""
        causes = (self._known.cause(row.event) for row in rows)
        allowed = Counter(cause for cause in causes if cause)
        allowed.update(self._known.left_out.get(segment, {}))
        allowed["dead letter"] = self._known.unread.get(segment, 0)
        return +allowed

    def _counted(self, presented: PresentedStates, otherwise: int) -> int:
        """How many events a partial counts, if a measure of it tells."""
        value = None if self._count is None else presented.estimates[self._count].value
        return value if isinstance(value, int) else otherwise

    def _compare_line(self, key: GroupKey, line: _Line) -> None:
        """Check what the partials merge to, and note how far each measure was off."""
        comparison = self._comparison
        presented = comparison.present(line.states)
        if line.folded is not None:
            detail = "the partials are right, and what they merge to is not"
            folded = columns_of(self._metric, line.folded)
            comparison.check(presented, folded, Place(key), detail)
        right = [row for row in line.rows if not row.event.is_again]
        if not right and not line.folded:
            return
        columns = columns_of(self._metric, right)
        for index, name in enumerate(self._metric.folded):
            expected = comparison.expected(index, columns[index])
            estimate = presented.estimates[index]
            if is_same(estimate.value, expected):
                cause = "none"
            elif not estimate.is_exact and (
                not line.causes or comparison.is_likely(index, estimate, columns[index])
            ):
                cause = "sketch"
            else:
                cause = "+".join(sorted(line.causes - {_REPEAT})) or "unexplained"
            error = deviation(estimate.value, expected)
            self._report.facts.append(Fact(name, cause, error, has_numbers(expected)))
