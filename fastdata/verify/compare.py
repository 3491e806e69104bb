"""Estimates against a plain recount of the rows they should be made of."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from fastdata.coordinates.instants import to_iso
from fastdata.declare.metric import Measure, Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.frequency import Frequency
from fastdata.measures.seen import Seen
from fastdata.verify.plain import NOT_RECOUNTED, fits, is_known, is_same, is_within, recounter
from fastdata.verify.recount import GroupKey, PlainRows, SegmentKey
from fastdata.verify.reports import ComparedLayer, Finding, SketchMisses

__all__ = [
    "FAR",
    "Comparison",
    "ItemAnswer",
    "Place",
    "PresentedStates",
    "columns_of",
    "compare_hours",
    "compare_tips",
    "compare_totals",
    "could_be",
    "counted_events",
    "look_up",
    "refold",
]

FAR = 2  # times as wide as its bounds: so far off no sketch is by chance
_ITEMS = 16  # asked of one state, the most frequent and others; each takes some microseconds

PlainColumns = Sequence[Sequence[object]]
"""The values of rows by measure, None among them."""


@dataclass(slots=True)
class Place:
    """What a comparison is about; its text is only made of what is found.

    Attributes:
        key: The window and its dimensions.
        part: Of all that is stored of it.
    """

    key: GroupKey
    part: str = ""

    def __str__(self) -> str:
        return f"{to_iso(self.key[0], 'minutes')} {self.key[1]}{self.part}"


def counted_events(number: int) -> str:
    """So many events, in words."""
    return "1 event" if number == 1 else f"{number:,} events"


def columns_of(metric: Metric, rows: PlainRows) -> PlainColumns:
    """The values of rows by measure."""
    return list(zip(*[row.values for row in rows], strict=True)) or [()] * len(metric.folded)


@dataclass(frozen=True, slots=True)
class PresentedStates:
    """States of a metric, and the estimates that its aggregates present them as."""

    states: States
    estimates: Sequence[Estimate]


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """An answer about one item.

    Attributes:
        expected: How often it was there, or whether it was.
    """

    item: object
    answer: Estimate
    expected: int

    @property
    def can_miss(self) -> bool:
        """Whether by chance the right count may be below the bounds: above them it never is."""
        return self.answer.confidence < 1 and not isinstance(self.answer.value, bool)

    def fits(self, *, surely: bool) -> bool:
        """Whether the answer is right.

        Args:
            surely: Whether only what no chance could bring is wrong.
        """
        lower, upper = cast("Any", self.answer.lower), cast("Any", self.answer.upper)
        is_above = surely and self.can_miss
        return bool((is_above or lower <= self.expected) and self.expected <= upper)


class Comparison:
    """Says where estimates of one metric and span are not what the recount says.

    Args:
        span: The start of the hour, ms UTC.
        sketches: Gets the sketches that were compared, and those whose bounds do not hold.

    Attributes:
        findings: The differences that nothing explains.
        checked: How many states were looked at, or missed.
    """

    def __init__(
        self, metric: Metric, span: int, layer: ComparedLayer, sketches: SketchMisses
    ) -> None:
        self.metric = metric
        self.findings: list[Finding] = []
        self._finding = partial(Finding, metric.name, layer, span)
        self._sketches = sketches
        self._measures = list(metric.folded.values())
        self._recounts = list(map(recounter, self._measures))
        self._asked = [i for i, m in enumerate(self._measures) if isinstance(m, Frequency | Seen)]
        self.checked = 0

    def load(self, blob: bytes, place: object) -> States | None:
        """The states of an envelope; None, and a finding, when they cannot be read."""
        try:
            return self.metric.load(blob)
        except CorruptStateError as error:
            self.note_unreadable(place, error)
            return None

    def present(self, states: States) -> PresentedStates:
        """The states with their estimates."""
        pairs = zip(self.metric.aggregates, states, strict=True)
        return PresentedStates(states, [aggregate.present(state) for aggregate, state in pairs])

    def fits(self, presented: PresentedStates, columns: PlainColumns) -> bool:
        """Whether the states can be made of just these rows; of sketches, by a wide margin."""
        return not self._differing(presented, columns, FAR)

    def check(
        self, presented: PresentedStates, columns: PlainColumns, place: object, detail: str
    ) -> None:
        """Note each measure that is not what the rows make.

        A sketch that is off by no more than chance can bring is no finding yet: it is counted among
        those that were compared, and too many of them are one.
        """
        lookups = [lookup for i in self._asked for lookup in self._lookups(i, presented, columns)]
        asked = [lookup.answer for lookup in lookups if lookup.can_miss]
        for answer in (*presented.estimates, *asked):
            if answer.confidence < 1:
                self._sketches.compared += 1
                self._sketches.confidence = min(self._sketches.confidence, answer.confidence)
        differing = self._differing(presented, columns, 1)
        far = self._differing(presented, columns, FAR) if differing else {}
        names = list(self.metric.folded)
        for (index, item), (said, expected) in differing.items():
            finding = self._finding(f"{place}{item}", names[index], said, expected, detail)
            if (index, item) in far:
                self.findings.append(finding)
            else:
                chance = "a sketch whose bounds do not hold the value; too many are so for chance"
                self._sketches.outside.append(replace(finding, detail=chance))

    def expected(self, index: int, values: Sequence[object]) -> object:
        """What the measure of that index is of its values."""
        value = self._recounts[index](values)
        return self._refolded(index, values).value if value is NOT_RECOUNTED else value

    def is_likely(
        self, index: int, estimate: Estimate, values: Sequence[object], stretch: int = 1
    ) -> bool:
        """Whether an estimate of the measure of that index can be of its values.

        Args:
            stretch: How many times as wide the bounds of a sketch are taken.
        """
        measure = self._measures[index]
        if is_known(measure):
            return fits(measure, estimate, values, stretch)
        return could_be(estimate, self._refolded(index, values), stretch)

    def _refolded(self, index: int, values: Sequence[object]) -> Estimate:
        return refold(self._measures[index], self.metric.aggregates[index], values)

    def _lookups(
        self, index: int, presented: PresentedStates, columns: PlainColumns
    ) -> Iterator[ItemAnswer]:
        aggregate, state = self.metric.aggregates[index], presented.states[index]
        return look_up(self._measures[index], aggregate, state, columns[index])

    def note(
        self, place: object, measure: str | None, answer: object, expected: object, detail: str
    ) -> None:
        """Note a difference that nothing explains."""
        self.findings.append(self._finding(str(place), measure, answer, expected, detail))

    def note_unreadable(self, place: object, error: CorruptStateError) -> None:
        """Note what is stored and cannot be read."""
        self.note(place, None, "a state that cannot be read", "one that can", str(error))

    def _differing(
        self, presented: PresentedStates, columns: PlainColumns, stretch: int
    ) -> dict[tuple[int, str], tuple[object, object]]:
        """By measure and what a sketch was asked about: what is said, and what is expected."""
        differing: dict[tuple[int, str], tuple[object, object]] = {}
        for index, (estimate, values) in enumerate(zip(presented.estimates, columns, strict=True)):
            expected = self.expected(index, values)
            # Mostly they are the same, which is seen sooner than that they may be.
            if type(estimate.value) is type(expected) and estimate.value == expected:
                continue
            if not self.is_likely(index, estimate, values, stretch):
                differing[index, ""] = estimate.value, expected
        for index in self._asked:
            for lookup in self._lookups(index, presented, columns):
                if not lookup.fits(surely=stretch > 1):
                    item = f", item {json.dumps(lookup.item, ensure_ascii=False)}"
                    differing[index, item] = lookup.answer.value, lookup.expected
        return differing


def compare_totals(
    comparison: Comparison, totals: Mapping[GroupKey, bytes], rows: Mapping[GroupKey, PlainRows]
) -> None:
    """Check every total of a span, and what the windows of the hour merge to.

    Args:
        rows: Of all events that count, each once.
    """
    metric = comparison.metric
    hours: dict[str, list[States] | None] = {}
    for key in sorted(totals.keys() | rows.keys()):
        states = _compare_state(comparison, totals.get(key), rows.get(key, []), Place(key), "total")
        if states is None:
            hours[key[1]] = None
        elif (of_hour := hours.setdefault(key[1], [])) is not None:
            of_hour.append(states)
    whole = _by_dims(rows)
    for dims, several in hours.items():
        if several is None or len(several) < 2:
            continue
        merged, *others = several
        for states in others:
            metric.merge(merged, states)
        detail = "the totals are right, and what they merge to is not"
        columns = columns_of(metric, whole[dims])
        comparison.check(comparison.present(merged), columns, f"the hour, {dims}", detail)


def compare_hours(
    comparison: Comparison,
    span: int,
    hours: Mapping[GroupKey, bytes],
    rows: Mapping[GroupKey, PlainRows],
) -> None:
    """Check the totals of a whole hour.

    Args:
        span: Its start, ms UTC.
        rows: Of all events that count in them, each once.
    """
    whole = {(span, dims): of_dims for dims, of_dims in _by_dims(rows).items()}
    for key in sorted(hours.keys() | whole.keys()):
        place = Place(key, " (the hour)")
        _compare_state(comparison, hours.get(key), whole.get(key, []), place, "total of the hour")


def _by_dims(rows: Mapping[GroupKey, PlainRows]) -> dict[str, PlainRows]:
    by_dims: dict[str, PlainRows] = {}
    for (_, dims), group in rows.items():
        by_dims.setdefault(dims, []).extend(group)
    return by_dims


def compare_tips(
    comparison: Comparison,
    tips: Mapping[tuple[int, GroupKey], bytes],
    segments: Mapping[SegmentKey, Mapping[GroupKey, PlainRows]],
) -> None:
    """Check what is counted of open segments, of which each partition has one.

    Args:
        tips: By partition, window and dimensions.
        segments: The rows of the events that are in them.
    """
    rows = {
        (p, key): of_tip for (p, _), groups in segments.items() for key, of_tip in groups.items()
    }
    for partition, key in sorted(tips.keys() | rows.keys()):
        place = Place(key, f", open segment of partition {partition}")
        tip = partition, key
        _compare_state(comparison, tips.get(tip), rows.get(tip, []), place, "tip")


def _compare_state(
    comparison: Comparison, blob: bytes | None, rows: PlainRows, place: Place, word: str
) -> States | None:
    """Check what batch has stored of some rows; the states, if they are right.

    Args:
        word: What it is.
    """
    before = len(comparison.findings)
    comparison.checked += 1
    states = None
    if blob is None:
        comparison.note(place, None, f"no {word}", counted_events(len(rows)), f"a {word} is gone")
    elif not rows:
        comparison.note(place, None, f"a {word}", "no events", "nothing is to be counted")
    elif (states := comparison.load(blob, place)) is not None:
        detail = f"the {word} is not what the archived events make"
        columns = columns_of(comparison.metric, rows)
        comparison.check(comparison.present(states), columns, place, detail)
    return states if len(comparison.findings) == before else None


def refold(measure: Measure, aggregate: Aggregate, values: Sequence[object]) -> Estimate:
    """What an aggregate of a user's own, which no plain code knows, makes of the values.

    They are folded one after the other into one state. So a value that is missing, doubled or in
    another's row shows, and a merge or a stored form that is wrong. A mistake in `add` or
    `present` does not.

    Args:
        values: As `Metric.rows` gives them for the measure; None is skipped.

    Raises:
        MapError: A value is not of the declared type.
    """
    state = aggregate.zero(exact=True)
    for value in values:
        if value is not None or not measure.arguments:
            state = aggregate.add(state, value)
    return aggregate.present(state)


def could_be(estimate: Estimate, refolded: Estimate, stretch: int = 1) -> bool:
    """Whether two estimates of an aggregate that no plain code knows can be of the same values.

    Args:
        estimate: What a layer says.
        refolded: What `refold` says.
        stretch: How many times as wide the bounds are taken.
    """
    if is_same(estimate.value, refolded.value):
        return True
    if estimate.is_exact:
        return False
    bounds = (estimate.lower, estimate.upper)
    # Only an exact number can be held against the bounds of a sketch; else anything can be.
    has_number = refolded.is_exact and not isinstance(refolded.value, tuple)
    is_comparable = has_number and None not in bounds
    return not is_comparable or is_within(estimate, refolded.value, stretch)


def look_up(
    measure: Measure, aggregate: Aggregate, state: object, values: Iterable[object]
) -> Iterator[ItemAnswer]:
    """Ask a `Frequency` or `Seen` about items of its values, and about one that is none of them.

    Args:
        measure: Of any other there are no answers.
        aggregate: That of the measure.
        values: Which the state should have seen; None is skipped.
    """
    if not isinstance(measure, Frequency | Seen):
        return
    counts = Counter(cast("Any", value) for value in values if value is not None)
    asking = cast("Any", aggregate)
    for item, count in [*_sampled(counts), *_absent(counts)]:
        answer = asking.about(item).present(state)
        yield ItemAnswer(item, answer, count if isinstance(measure, Frequency) else count > 0)


def _sampled(counts: Counter[Any]) -> list[tuple[Any, int]]:
    items = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    first, rest = items[: _ITEMS // 2], items[_ITEMS // 2 :]
    return first + rest[:: max(1, -(-len(rest) * 2 // _ITEMS))]


def _absent(counts: Counter[Any]) -> list[tuple[Any, int]]:
    largest = max(counts, default=None)
    if largest is None:
        return []
    item = largest + "?" if isinstance(largest, str) else largest // 2 + 1
    return [] if item in counts else [(item, 0)]
