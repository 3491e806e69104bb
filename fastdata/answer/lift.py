"""The lift of an experiment: by how much means and rates of two sides differ, and how sure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from fastdata.answer.arrow import describe, schema_of
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.compare import Side, Sides, whole_row
from fastdata.answer.layers import Layers, opened_store, table_of
from fastdata.answer.merge import Buckets, Row
from fastdata.answer.query import with_warning
from fastdata.answer.request import QueryRequest
from fastdata.answer.view import asked_for, parts_of
from fastdata.declare.metric import Metric
from fastdata.errors import QueryError, did_you_mean
from fastdata.measures.count import Count
from fastdata.measures.ratios import Ratio
from fastdata.measures.sums import Mean
from fastdata.measures.variance import StdDev, Variance
from fastdata.store.protocol import ServingStore

if TYPE_CHECKING:
    from fastdata.answer.samples import Effect

__all__ = ["Lift", "lift"]

_Parts = dict[str, tuple[str, ...]]
"""By the name of a mean, its `StdDev`; by that of a rate, its two counts."""


@dataclass(frozen=True, slots=True)
class Lift:
    """By how much the left side of an experiment differs from the right one.

    Attributes:
        about: What was answered, as `describe` tells it of tables; `left`, `right`, `level` and
            `share` as they were asked for.
        effects: One for each measure that has intervals.
        lacking: By the name of each other mean and ratio, what to declare so that it has them.
        events: How many there are left and right; None where no measure is a `Count()`.
        share_p_value: How often chance alone gives a share of them that is so far off; or None.
        is_exact: Whether all events that either layer has read are counted, once each.
    """

    about: Mapping[str, Any]
    effects: tuple["Effect", ...]
    lacking: Mapping[str, str]
    events: tuple[int, int] | None
    share_p_value: float | None
    is_exact: bool


async def lift(
    metric: Metric,
    left: Side,
    right: Side,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    *,
    last: str | timedelta | None = None,
    zone: str | None = None,
    measure: str | None = None,
    level: float = 0.95,
    share: float | None = None,
    store: ServingStore | str | None = None,
) -> Lift:
    """By how much the measures of two sides differ over `[start, end)`, with intervals.

    Means have them where the metric has a `Variance` or `StdDev` of the same values, ratios where
    they are of a `Count(...)` by `Count()`. The intervals take events for independent of each
    other, and the numbers for what they are: bounds of what is missing are not in them.

        decisions = fastdata.load("agents/scoring.py").decisions
        lift = await fastdata.lift(decisions, {"arm": "b"}, {"arm": "a"}, share=0.1)
        for effect in lift.effects:
            print(effect.measure, effect.lift.lower, effect.lift.upper)

    Args:
        metric: What to answer.
        left: Values of dimensions, all of which a row of that side has; empty: every row.
        right: The same, of what the left side is compared with; no row may be of both.
        start: As of `query`.
        end: Exclusive; the same.
        last: As of `query`.
        zone: Name of a time zone; None: that of the metric.
        measure: The only one to answer; None for all.
        level: In this share of such intervals the truth lies within them, as 0.95.
        share: Which part of the events of both should be of the left side, as 0.1, to check it.
        store: An open store, the URL of one, or None for that of the settings.

    Raises:
        QueryError: An argument is wrong, or no measure has intervals.
        SettingsError: scipy is missing, the URL is of no store, or a setting is wrong.
        StoreUnavailableError: There is no store, or it cannot be read; retriable.
        CorruptStateError: A stored state does not verify.
    """
    from fastdata.answer.samples import share_p_value

    sides = Sides(metric, left, right)
    _check(sides, level=level, share=share)
    parts, lacking = _parts(metric, measure)
    counts = [name for name, column in metric.folded.items() if column == Count()][:1]
    arms = _Arms(metric, sides, list({*counts, *chain(*parts.values())}))
    request = QueryRequest.parse(metric, start, end, "all", None, zone, last)
    chosen = ChosenDims(metric, sides.by)
    async with opened_store(store) as opened:
        layers = await Layers.read(metric, request, chosen, opened, takes_estimates=False)
    about = {"left": dict(left), "right": dict(right), "level": level, "share": share}
    rows = partial(arms.rows, layers)
    table = table_of(metric, request, [layers], schema_of({}, {}), rows, about)
    events = arms.states(counts[0]) if counts else None
    return Lift(
        about=describe(with_warning(table)),
        effects=tuple([arms.effect(name, parts[name], level) for name in parts]),
        lacking=lacking,
        events=events,
        share_p_value=share_p_value(*events, share) if events and share else None,
        is_exact=table["exact"].to_pylist() == [True],
    )


def _check(sides: Sides, **parts: float | None) -> None:
    for name, number in parts.items():
        if number is not None and not 0 < number < 1:
            raise QueryError(f"{name} is {number}; it must be more than 0 and less than 1")
    if not sides.are_apart:
        raise QueryError(
            "left and right may have events in common, and are then no two samples: give them"
            " different values of one dimension, as in arm=b and arm=a"
        )


class _Arms:
    """The merged states of both sides, of the measures that are needed."""

    def __init__(self, metric: Metric, sides: Sides, needed: Sequence[str]) -> None:
        (self._view,) = parts_of(asked_for(metric, needed, {}))
        self._sides = sides
        self._states = [self._view.zero(exact=True) for _ in range(2)]

    def rows(self, layers: Layers, buckets: Buckets) -> Iterator[Row]:
        """Merge the rows of the only bucket, and give one that says how sure they are."""
        selected = self._sides.rows(layers.merged(buckets, self._view))
        for states, rows in zip(self._states, selected, strict=True):
            for row in rows:
                self._view.merge(states, row.states)
        if any(selected):
            yield whole_row(*selected).row(())

    def states(self, name: str) -> tuple[Any, Any]:
        """Of one measure, left and right; those of a `Count` are numbers."""
        left, right = (states[[*self._view.folded].index(name)] for states in self._states)
        return left, right

    def effect(self, measure: str, parts: Sequence[str], level: float) -> "Effect":
        """That of a rate of two counts, or of a mean with its `StdDev`."""
        from fastdata.answer.samples import mean_effect, rate_effect

        first, *others = map(self.states, parts)
        if others:
            return rate_effect(measure, first, others[0], level)
        aggregate: Any = self._view.aggregates[[*self._view.folded].index(parts[0])]
        left, right = map(aggregate.moments, first)
        return mean_effect(measure, left, right, level)


def _parts(metric: Metric, measure: str | None) -> tuple[_Parts, dict[str, str]]:
    """What the effect of each measure is computed from, and what others lack."""
    parts: _Parts = {}
    lacking: dict[str, str] = {}
    arguments = zip(metric.folded, metric.selection.arguments, strict=True)
    texts = {name: [node.text for node in nodes] for name, nodes in arguments}
    spreads = [name for name, m in metric.folded.items() if isinstance(m, Variance | StdDev)]
    for name, column in metric.measures.items():
        if isinstance(column, Mean):
            same = [spread for spread in spreads if texts[spread] == texts[name]]
            if same:
                parts[name] = (same[0],)
            else:
                lacking[name] = f"declare StdDev({column.field!r}) beside it, and replay"
        elif isinstance(column, Ratio):
            numerator, denominator = (metric.folded[part] for part in column.parts)
            if isinstance(numerator, Count) and denominator == Count():
                parts[name] = column.parts
            else:
                lacking[name] = (
                    "only a Ratio of a Count('...') by Count() is a rate; of a Sum by Count(),"
                    " declare Mean and StdDev of what it adds up"
                )
    if measure is None and parts:
        return parts, lacking
    if measure in parts:
        return {measure: parts[measure]}, {}
    name = measure or next(iter(lacking), "anything")
    have = f"means with a StdDev, and rates: {', '.join(parts) or 'none'}"
    advice = lacking[name] if name in lacking else did_you_mean(name, parts, have)
    raise QueryError(f"metric {metric.name!r} has no lift of {name}: {advice}")
