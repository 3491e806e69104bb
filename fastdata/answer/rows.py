"""The states of each row of an answer, from totals and partials."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from fastdata.answer.buckets import Buckets
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.merging import merged_groups
from fastdata.answer.sliding import Sliding, together
from fastdata.answer.tips import SettledReading
from fastdata.declare.metric import Metric, States
from fastdata.measures.estimates import Estimate
from fastdata.measures.presented import load_estimates
from fastdata.store.protocol import Partial, Total

__all__ = ["Layer", "ReadyRows", "RowKey", "group_reading"]

Layer = Literal["batch", "speed", "both"]
_ByDims = Mapping[str, bytes]  # by stored dimensions


@dataclass(frozen=True, slots=True)
class ReadyRows:
    """What takes the place of totals in some rows of an answer.

    Attributes:
        rows: By interval `[start, end)` of a row: its states, or the estimates of rolling days. An
            interval without any total is there too, and empty. Of rolling days, what has no
            estimates is merged from totals.
        days: By start of a day: the states that stand for all of its totals, of rolling days.
    """

    rows: Mapping[tuple[int, int], _ByDims] = field(default_factory=dict)
    days: Mapping[int, _ByDims] = field(default_factory=dict)


# Start and end of a row, its chosen dimensions as JSON, its merged states or what was made of them,
# and whose they were.
_RowStates = tuple[int, int, str, States | tuple[Estimate, ...], Layer]
RowKey = tuple[int, str]
"""Start of a row, ms UTC, and its chosen dimensions as JSON."""

_Envelopes = dict[RowKey, list[bytes]]


@dataclass(frozen=True, slots=True)
class _GroupedReading:
    """What the rows of an answer are merged from, as envelopes; `rows` uses it up."""

    metric: Metric
    buckets: Buckets
    totals: _Envelopes
    tips: _Envelopes
    partials: _Envelopes
    ready: dict[tuple[int, int], dict[str, list[bytes]]]  # of rolling days, estimates

    def rows(self, ranks: Mapping[str, int], only: Set[RowKey] | None) -> Iterator[_RowStates]:
        """In order of start and rank of the chosen dimensions; once only.

        Args:
            only: The rows that are wanted, which are not of rolling days; None for all.

        Raises:
            CorruptStateError: A stored state does not verify.
        """
        return self._sliding(ranks) if self.buckets.rolling > 1 else self._tumbling(ranks, only)

    def _tumbling(self, ranks: Mapping[str, int], only: Set[RowKey] | None) -> Iterator[_RowStates]:
        # What is ready of a whole row takes the place of its totals.
        for (start, _), ready in self.ready.items():
            self.totals.update({(start, dims): states for dims, states in ready.items()})
        keys = self.totals.keys() | self.tips.keys() | self.partials.keys()
        keys = keys if only is None else keys & only
        ordered = sorted(keys, key=lambda key: (key[0], ranks[key[1]]))
        layers = [self._layer_of(key) for key in ordered]
        # Some rows at a time: a year of minutes would be millions of objects at once.
        merged = merged_groups(self.metric, map(self._taken, ordered))
        for (start, dims), states, layer in zip(ordered, merged, layers, strict=True):
            yield start, self.buckets.end_of(start), dims, states, layer

    def _layer_of(self, key: tuple[int, str]) -> Layer:
        return _layer(key in self.totals or key in self.tips, key in self.partials)

    def _taken(self, key: tuple[int, str]) -> list[bytes]:
        """All envelopes of a row, which are not kept here any more."""
        counted = self.totals.pop(key, []) + self.tips.pop(key, [])
        return counted + self.partials.pop(key, [])

    def _sliding(self, ranks: Mapping[str, int]) -> Iterator[_RowStates]:
        totals, tips, partials = (
            Sliding(self.metric, self._days(envelopes))
            for envelopes in (self.totals, self.tips, self.partials)
        )
        for first, (start, end) in enumerate(self.buckets.rows()):
            days = first, first + self.buckets.rolling
            with_totals, with_partials = totals.move(*days), partials.move(*days)
            with_tips = tips.move(*days)
            ready = self.ready.get((start, end), {})
            with_counted = with_totals | with_tips | ready.keys()
            for dims in sorted(with_counted | with_partials, key=ranks.__getitem__):
                whose = _layer(dims in with_counted, dims in with_partials)
                if dims in ready and dims not in with_tips and dims not in with_partials:
                    yield start, end, dims, load_estimates(*ready[dims]), whose
                    continue
                parts = [
                    part for layer in (totals, tips, partials) for part in layer.parts(*days, dims)
                ]
                yield start, end, dims, together(self.metric, parts), whose

    def _days(self, envelopes: _Envelopes) -> list[dict[str, list[bytes]]]:
        numbers = {start: number for number, start in enumerate(self.buckets.edges[:-1])}
        days: list[dict[str, list[bytes]]] = [{} for _ in numbers]
        for (start, dims), states in envelopes.items():
            days[numbers[start]][dims] = states
        return days


def group_reading(
    metric: Metric, reading: SettledReading, buckets: Buckets, chosen: ChosenDims, ready: ReadyRows
) -> _GroupedReading:
    """Sort what was read by the rows that it belongs to; nothing is merged yet.

    Args:
        chosen: The dimensions of the rows; it has all stored ones afterwards.
        ready: What takes the place of totals.
    """
    totals = _grouped(reading.totals, buckets, chosen)
    for day, states in ready.days.items():
        totals.update({(day, dims): blobs for dims, blobs in _by_chosen(states, chosen).items()})
    return _GroupedReading(
        metric,
        buckets,
        totals,
        _grouped(reading.tips, buckets, chosen),
        _grouped(reading.partials, buckets, chosen),
        {row: _by_chosen(states, chosen) for row, states in ready.rows.items()},
    )


def _grouped(items: Iterable[Total | Partial], buckets: Buckets, chosen: ChosenDims) -> _Envelopes:
    groups: _Envelopes = {}
    of_stored: dict[str, list[bytes]] = {}  # of the bucket
    start = end = buckets.start
    for item in items:
        window, stored = item.window, item.dims
        # Neighbors are mostly of one bucket.
        if not start <= window < end:
            if not buckets.start <= window < buckets.end:
                continue
            start = buckets.start_of(window)
            end = buckets.end_of(start)
            of_stored = {}
        group = of_stored.get(stored)
        if group is None:
            dims = chosen[stored]
            if dims is None:
                continue
            group = of_stored[stored] = groups.setdefault((start, dims), [])
        group.append(item.state)
    return groups


def _by_chosen(states: Mapping[str, bytes], chosen: ChosenDims) -> dict[str, list[bytes]]:
    groups: dict[str, list[bytes]] = {}
    for stored, state in states.items():
        dims = chosen[stored]
        if dims is not None:
            groups.setdefault(dims, []).append(state)
    return groups


def _layer(has_totals: bool, has_partials: bool) -> Layer:
    return "batch" if not has_partials else "both" if has_totals else "speed"
