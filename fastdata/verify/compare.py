"""Estimates against a plain recount of the rows they should be made of."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from fastdata.coordinates.instants import to_datetime
from fastdata.declare.metric import Measure, Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.estimates import Estimate
from fastdata.measures.frequency import Frequency
from fastdata.measures.seen import Seen
from fastdata.verify.plain import NOT_RECOUNTED, fits, is_known, is_same, is_within, recount
from fastdata.verify.recount import Cell, CellKey
from fastdata.verify.reports import Doubts, Finding, Layer

__all__ = [
    "Comparison",
    "Lookup",
    "Told",
    "compare_batch",
    "could_be",
    "look_up",
    "refold",
    "shown",
]

# So far off no sketch is by chance.
_FAR = 2
# Of one state, the most frequent and others. Each question takes some microseconds.
_ITEMS = 16


def shown(key: CellKey) -> str:
    """A window and its dimensions, for people."""
    return f"{to_datetime(key[0]):%Y-%m-%dT%H:%M}Z {key[1]}"


@dataclass(frozen=True, slots=True)
class Told:
    """What states of a metric say.

    Attributes:
        estimates: One for each of its aggregates.
    """

    states: States
    estimates: Sequence[Estimate]


@dataclass(frozen=True, slots=True)
class _Difference:
    """Attributes: `item` is about what a sketch was asked, as part of a place."""

    index: int
    item: str
    found: object
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
            surely: Only what no chance could bring is wrong.
        """
        lower, upper = cast("Any", self.answer.lower), cast("Any", self.answer.upper)
        is_above = surely and self.can_miss
        return bool((is_above or lower <= self.expected) and self.expected <= upper)


class Comparison:
    """Says where estimates of one metric and span are not what the recount says.

    Args:
        doubts: Takes the sketches whose bounds do not hold.
    """

    def __init__(self, metric: Metric, span: int, layer: Layer, doubts: Doubts) -> None:
        self.metric = metric
        self.findings: list[Finding] = []
        self._span = span
        self._layer = layer
        self._doubts = doubts
        self._measures = list(metric.folded.values())

    def load(self, blob: bytes, place: str) -> States | None:
        """The stored states; None, and a finding, when they cannot be read."""
        try:
            return self.metric.load(blob)
        except CorruptStateError as error:
            self.find(place, None, "a state that cannot be read", "one that can", str(error))
            return None

    def told(self, states: States) -> Told:
        """What the states say."""
        pairs = zip(self.metric.aggregates, states, strict=True)
        return Told(states, [aggregate.present(state) for aggregate, state in pairs])

    def fits(self, told: Told, rows: Cell) -> bool:
        """Whether the answers can be made of just these rows."""
        return next(self._differing(told, rows, _FAR), None) is None

    def check(self, told: Told, rows: Cell, place: str, detail: str) -> None:
        """Note each measure that is not what the rows make; of sketches also for the statistics."""
        for index, estimate in enumerate(told.estimates):
            lookups = (each.answer for each in self._lookups(index, told, rows) if each.can_miss)
            for answer in (estimate, *lookups):
                if answer.confidence < 1:
                    self._doubts.compared += 1
                    self._doubts.confidence = min(self._doubts.confidence, answer.confidence)
        differing = list(self._differing(told, rows, 1))
        far = {one.place for one in self._differing(told, rows, _FAR)} if differing else set()
        for one in differing:
            measure = list(self.metric.folded)[one.index]
            finding = self._finding(place + one.item, measure, one.found, one.expected, detail)
            if one.place in far:
                self.findings.append(finding)
            else:
                doubt = "a sketch whose bounds do not hold the value; too many are so for chance"
                self._doubts.outside.append(replace(finding, detail=doubt))

    def expected(self, index: int, rows: Cell) -> object:
        """What the measure of that index is of the rows."""
        values = [row.values[index] for row in rows]
        known = recount(self._measures[index], values)
        return self._refolded(index, values).value if known is NOT_RECOUNTED else known

    def is_likely(self, index: int, estimate: Estimate, rows: Cell, stretch: int = 1) -> bool:
        """Whether an estimate of the measure of that index can be of the rows."""
        measure, values = self._measures[index], [row.values[index] for row in rows]
        if is_known(measure):
            return fits(measure, estimate, values, stretch)
        return could_be(estimate, self._refolded(index, values), stretch)

    def _refolded(self, index: int, values: Sequence[object]) -> Estimate:
        return refold(self._measures[index], self.metric.aggregates[index], values)

    def _lookups(self, index: int, told: Told, rows: Cell) -> Iterator[Lookup]:
        aggregate, state = self.metric.aggregates[index], told.states[index]
        return look_up(self._measures[index], aggregate, state, (row.values[index] for row in rows))

    def find(
        self, place: str, measure: str | None, found: object, expected: object, detail: str
    ) -> None:
        """Note a difference that nothing explains."""
        self.findings.append(self._finding(place, measure, found, expected, detail))

    def _differing(self, told: Told, rows: Cell, stretch: int) -> Iterator[_Difference]:
        for index, estimate in enumerate(told.estimates):
            if not self.is_likely(index, estimate, rows, stretch):
                yield _Difference(index, "", estimate.value, self.expected(index, rows))
            for each in self._lookups(index, told, rows):
                if not each.fits(surely=stretch > 1):
                    item = f", item {each.item!r}"
                    yield _Difference(index, item, each.answer.value, each.expected)

    def _finding(
        self, place: str, measure: str | None, found: object, expected: object, detail: str
    ) -> Finding:
        name = self.metric.name
        return Finding(name, self._layer, self._span, place, measure, found, expected, detail)


def compare_batch(
    comparison: Comparison, totals: Mapping[CellKey, bytes], rows: Mapping[CellKey, Cell]
) -> None:
    """Check every total of a span, and what the windows of the hour merge to.

    Args:
        rows: Of all events that count, each once.
    """
    wrong: set[str] = set()
    hours: dict[str, list[States]] = {}
    for key in sorted(totals.keys() | rows.keys()):
        before = len(comparison.findings)
        own = rows.get(key, [])
        if key not in totals:
            comparison.find(shown(key), None, "no total", f"{len(own)} events", "a total is gone")
        elif not own:
            comparison.find(shown(key), None, "a total", "no events", "nothing is to be counted")
        elif (states := comparison.load(totals[key], shown(key))) is not None:
            detail = "the total is not what the archived events make"
            comparison.check(comparison.told(states), own, shown(key), detail)
            hours.setdefault(key[1], []).append(states)
        if len(comparison.findings) > before:
            wrong.add(key[1])
    for dims, (merged, *others) in hours.items():
        if dims in wrong or not others:
            continue
        for states in others:
            comparison.metric.merge(merged, states)
        whole = [row for key, some in rows.items() if key[1] == dims for row in some]
        detail = "the totals are right, and what they merge to is not"
        comparison.check(comparison.told(merged), whole, f"the hour, {dims}", detail)


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


def could_be(estimate: Estimate, own: Estimate, stretch: int = 1) -> bool:
    """Whether an estimate can be of the values that `own` was folded from.

    Args:
        stretch: How many times as wide the bounds are taken.
    """
    if is_same(estimate.value, own.value):
        return True
    if estimate.is_exact:
        return False
    bounds = (estimate.lower, estimate.upper)
    is_told = own.is_exact and None not in bounds and not isinstance(own.value, tuple)
    return not is_told or is_within(estimate, own.value, stretch)


def look_up(
    measure: Measure, aggregate: Aggregate, state: object, values: Iterable[object]
) -> Iterator[Lookup]:
    """Ask about some items of the values, and one that is not among them; of other measures none.

    Args:
        aggregate: That of the measure.
        values: Which the state should have seen; None is skipped.
    """
    if not isinstance(measure, Frequency | Seen):
        return
    counts = Counter(cast("Any", value) for value in values if value is not None)
    asking = cast("Any", aggregate)
    for item, count in [*_some(counts), *_absent(counts)]:
        answer = asking.about(item).present(state)
        yield Lookup(item, answer, count if isinstance(measure, Frequency) else count > 0)


def _some(counts: Counter[Any]) -> list[tuple[Any, int]]:
    items = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    first, rest = items[: _ITEMS // 2], items[_ITEMS // 2 :]
    return first + rest[:: max(1, -(-len(rest) * 2 // _ITEMS))]


def _absent(counts: Counter[Any]) -> list[tuple[Any, int]]:
    largest = max(counts, default=None)
    if largest is None:
        return []
    item = largest + "?" if isinstance(largest, str) else largest // 2 + 1
    return [] if item in counts else [(item, 0)]
