"""Estimates against a plain recount of the rows they should be made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fastdata.coordinates.instants import to_datetime
from fastdata.declare.metric import Metric, States
from fastdata.errors import CorruptStateError
from fastdata.measures.estimates import Estimate
from fastdata.verify.lookups import Lookup, look_up
from fastdata.verify.plain import NOT_RECOUNTED, fits, is_known, recount
from fastdata.verify.recount import Cell, CellKey
from fastdata.verify.refold import could_be, refold
from fastdata.verify.reports import Doubts, Finding, Layer

__all__ = ["Comparison", "Told", "compare_batch", "shown"]

# So far off no sketch is by chance.
_FAR = 2


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
