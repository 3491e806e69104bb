"""The states of each row of an answer, from totals and partials."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fastdata.answer.buckets import Buckets
from fastdata.answer.sliding import Sliding, merged, together
from fastdata.declare.metric import Metric, States
from fastdata.store.protocol import Partial, Reading, Total

__all__ = ["Layer", "Ready", "cells_of"]

Layer = Literal["batch", "speed", "both"]
Ready = Mapping[tuple[int, int], Mapping[str, bytes]]
"""States of whole windows, by dimensions as text; see `fastdata.answer.merge.fold`."""

_Texts = Mapping[str, str | None]
_Blobs = dict[tuple[int, str], list[bytes]]  # by start of the bucket and chosen dimensions


class _Cell(NamedTuple):
    """One row: an interval, chosen dimensions as text, and merged states of some layer."""

    start: int
    end: int
    text: str
    states: States
    layer: Layer


@dataclass(frozen=True, slots=True)
class _Cells:
    metric: Metric
    buckets: Buckets
    totals: _Blobs
    partials: _Blobs
    ready: dict[tuple[int, int], dict[str, list[bytes]]]

    def rows(self, ranks: Mapping[str, int]) -> Iterator[_Cell]:
        """In order of start and rank of the dimensions; once only.

        Raises:
            CorruptStateError: A stored state does not verify.
        """
        return self._sliding(ranks) if self.buckets.rolling > 1 else self._tumbling(ranks)

    def _tumbling(self, ranks: Mapping[str, int]) -> Iterator[_Cell]:
        blobs, new = self.totals, self.partials
        for (start, _), given in self.ready.items():
            blobs |= {(start, text): states for text, states in given.items()}
        # One row at a time: a year of minutes would be millions of objects at once.
        for key in sorted(blobs.keys() | new.keys(), key=lambda key: (key[0], ranks[key[1]])):
            start, text = key
            totals, partials = blobs.pop(key, []), new.pop(key, [])
            states = merged(self.metric, totals + partials)
            layer = _layer(bool(totals), bool(partials))
            yield _Cell(start, self.buckets.end_of(start), text, states, layer)

    def _sliding(self, ranks: Mapping[str, int]) -> Iterator[_Cell]:
        of_batch, of_speed = (
            Sliding(self.metric, self._days(blobs)) for blobs in (self.totals, self.partials)
        )
        for first, (start, end) in enumerate(self.buckets.rows()):
            days = first, first + self.buckets.rolling
            old, new = of_batch.move(*days), of_speed.move(*days)
            given = self.ready.get((start, end))
            old = old if given is None else given.keys()
            for text in sorted(old | new, key=ranks.__getitem__):
                if given is None:
                    parts = of_batch.parts(*days, text)
                else:
                    parts = [merged(self.metric, given[text])] if text in old else []
                states = together(self.metric, parts + of_speed.parts(*days, text))
                yield _Cell(start, end, text, states, _layer(text in old, text in new))

    def _days(self, blobs: _Blobs) -> list[dict[str, list[bytes]]]:
        numbers = {start: number for number, start in enumerate(self.buckets.edges[:-1])}
        days: list[dict[str, list[bytes]]] = [{} for _ in numbers]
        for (start, text), states in blobs.items():
            days[numbers[start]][text] = states
        return days


def cells_of(
    metric: Metric, reading: Reading, buckets: Buckets, texts: _Texts, ready: Ready
) -> _Cells:
    """The rows of a reading.

    Args:
        metric: Whose states they are.
        reading: Of this metric.
        buckets: The intervals of the rows.
        texts: Chosen dimensions by stored ones; None for those that do not count.
        ready: As of `fold`.
    """
    return _Cells(
        metric,
        buckets,
        _grouped(reading.totals, buckets, texts),
        _grouped(reading.partials, buckets, texts),
        {window: _chosen(states, texts) for window, states in ready.items()},
    )


def _grouped(items: Iterable[Total | Partial], buckets: Buckets, texts: _Texts) -> _Blobs:
    groups: _Blobs = {}
    for item in items:
        if buckets.start <= item.window < buckets.end:
            text = texts[item.dims]
            if text is not None:
                key = buckets.start_of(item.window), text
                groups.setdefault(key, []).append(item.state)
    return groups


def _chosen(states: Mapping[str, bytes], texts: _Texts) -> dict[str, list[bytes]]:
    groups: dict[str, list[bytes]] = {}
    for dims, state in states.items():
        text = texts[dims]
        if text is not None:
            groups.setdefault(text, []).append(state)
    return groups


def _layer(has_totals: bool, has_partials: bool) -> Layer:
    return "batch" if not has_partials else "both" if has_totals else "speed"
