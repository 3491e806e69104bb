"""Estimates against a plain recount of the rows they should be made of."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from fastdata.coordinates.instants import to_datetime
from fastdata.declare.metric import Measure, Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.frequency import Frequency
from fastdata.measures.seen import Seen
from fastdata.verify.plain import NOT_RECOUNTED, fits, is_known, is_same, is_within, recount
from fastdata.verify.recount import GroupKey, PlainRows
from fastdata.verify.reports import ComparedLayer, Finding, SketchMisses

__all__ = [
    "Comparison",
    "Lookup",
    "PresentedStates",
    "compare_batch",
    "could_be",
    "look_up",
    "refold",
    "shown",
]

_FAR = 2  # times as wide as its bounds: so far off no sketch is by chance
_ITEMS = 16  # asked of one state, the most frequent and others; each takes some microseconds


def shown(key: GroupKey) -> str:
    """A window and its dimensions, for people."""
    return f"{to_datetime(key[0]):%Y-%m-%dT%H:%M}Z {key[1]}"


@dataclass(frozen=True, slots=True)
class PresentedStates:
    """States of a metric, and the estimates that its aggregates present them as."""

    states: States
    estimates: Sequence[Estimate]


@dataclass(frozen=True, slots=True)
class _Difference:
    """A measure that is not what the rows make.

    Attributes:
        index: Of the measure.
        item: What a sketch was asked about, as part of a place; empty for the measure itself.
    """

    index: int
    item: str
    answer: object
    expected: object

    @property
    def place(self) -> tuple[int, str]:
        return self.index, self.item


@dataclass(frozen=True, slots=True)
class Lookup:
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
    """

    def __init__(
        self, metric: Metric, span: int, layer: ComparedLayer, sketches: SketchMisses
    ) -> None:
        self.metric = metric
        self.findings: list[Finding] = []
        self._finding = partial(Finding, metric.name, layer, span)
        self._sketches = sketches
        self._measures = list(metric.folded.values())

    def load(self, blob: bytes, place: str) -> States | None:
        """The states of an envelope; None, and a finding, when they cannot be read."""
        try:
            return self.metric.load(blob)
        except CorruptStateError as error:
            self.note(place, None, "a state that cannot be read", "one that can", str(error))
            return None

    def present(self, states: States) -> PresentedStates:
        """The states with their estimates."""
        pairs = zip(self.metric.aggregates, states, strict=True)
        return PresentedStates(states, [aggregate.present(state) for aggregate, state in pairs])

    def fits(self, presented: PresentedStates, rows: PlainRows) -> bool:
        """Whether the states can be made of just these rows; of sketches, by a wide margin."""
        return next(self._differing(presented, rows, _FAR), None) is None

    def check(self, presented: PresentedStates, rows: PlainRows, place: str, detail: str) -> None:
        """Note each measure that is not what the rows make.

        A sketch that is off by no more than chance can bring is no finding yet: it is counted among
        those that were compared, and too many of them are one.
        """
        for index, estimate in enumerate(presented.estimates):
            lookups = self._lookups(index, presented, rows)
            for answer in (estimate, *(lookup.answer for lookup in lookups if lookup.can_miss)):
                if answer.confidence < 1:
                    self._sketches.compared += 1
                    self._sketches.confidence = min(self._sketches.confidence, answer.confidence)
        differing = list(self._differing(presented, rows, 1))
        far = {d.place for d in self._differing(presented, rows, _FAR)} if differing else set()
        for difference in differing:
            measure = list(self.metric.folded)[difference.index]
            where, expected = place + difference.item, difference.expected
            finding = self._finding(where, measure, difference.answer, expected, detail)
            if difference.place in far:
                self.findings.append(finding)
            else:
                chance = "a sketch whose bounds do not hold the value; too many are so for chance"
                self._sketches.outside.append(replace(finding, detail=chance))

    def expected(self, index: int, rows: PlainRows) -> object:
        """What the measure of that index is of the rows."""
        values = [row.values[index] for row in rows]
        value = recount(self._measures[index], values)
        return self._refolded(index, values).value if value is NOT_RECOUNTED else value

    def is_likely(self, index: int, estimate: Estimate, rows: PlainRows, stretch: int = 1) -> bool:
        """Whether an estimate of the measure of that index can be of the rows.

        Args:
            stretch: How many times as wide the bounds of a sketch are taken.
        """
        measure, values = self._measures[index], [row.values[index] for row in rows]
        if is_known(measure):
            return fits(measure, estimate, values, stretch)
        return could_be(estimate, self._refolded(index, values), stretch)

    def _refolded(self, index: int, values: Sequence[object]) -> Estimate:
        return refold(self._measures[index], self.metric.aggregates[index], values)

    def _lookups(self, index: int, presented: PresentedStates, rows: PlainRows) -> Iterator[Lookup]:
        aggregate, state = self.metric.aggregates[index], presented.states[index]
        return look_up(self._measures[index], aggregate, state, (row.values[index] for row in rows))

    def note(
        self, place: str, measure: str | None, answer: object, expected: object, detail: str
    ) -> None:
        """Note a difference that nothing explains."""
        self.findings.append(self._finding(place, measure, answer, expected, detail))

    def _differing(
        self, presented: PresentedStates, rows: PlainRows, stretch: int
    ) -> Iterator[_Difference]:
        for index, estimate in enumerate(presented.estimates):
            if not self.is_likely(index, estimate, rows, stretch):
                yield _Difference(index, "", estimate.value, self.expected(index, rows))
            for lookup in self._lookups(index, presented, rows):
                if not lookup.fits(surely=stretch > 1):
                    item = f", item {lookup.item!r}"
                    yield _Difference(index, item, lookup.answer.value, lookup.expected)


def compare_batch(
    comparison: Comparison, totals: Mapping[GroupKey, bytes], rows: Mapping[GroupKey, PlainRows]
) -> None:
    """Check every total of a span, and what the windows of the hour merge to.

    Args:
        rows: Of all events that count, each once.
    """
    wrong: set[str] = set()
    hours: dict[str, list[States]] = {}
    for key in sorted(totals.keys() | rows.keys()):
        before = len(comparison.findings)
        expected = rows.get(key, [])
        if key not in totals:
            comparison.note(
                shown(key), None, "no total", f"{len(expected)} events", "a total is gone"
            )
        elif not expected:
            comparison.note(shown(key), None, "a total", "no events", "nothing is to be counted")
        elif (states := comparison.load(totals[key], shown(key))) is not None:
            detail = "the total is not what the archived events make"
            comparison.check(comparison.present(states), expected, shown(key), detail)
            hours.setdefault(key[1], []).append(states)
        if len(comparison.findings) > before:
            wrong.add(key[1])
    for dims, (merged, *others) in hours.items():
        if dims in wrong or not others:
            continue
        for states in others:
            comparison.metric.merge(merged, states)
        whole = [row for key, group in rows.items() if key[1] == dims for row in group]
        detail = "the totals are right, and what they merge to is not"
        comparison.check(comparison.present(merged), whole, f"the hour, {dims}", detail)


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
) -> Iterator[Lookup]:
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
        yield Lookup(item, answer, count if isinstance(measure, Frequency) else count > 0)


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
