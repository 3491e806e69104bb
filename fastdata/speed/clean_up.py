"""Dropping state that batch has counted, one version behind."""

import asyncio
from collections.abc import Mapping, Sequence

from fastdata.coordinates.instants import floor_to
from fastdata.declare.metric import Metric
from fastdata.speed.keys import cell_prefix, place_of
from fastdata.speed.state import Partition, StateTable
from fastdata.store import rules
from fastdata.store.protocol import EVER, Head, ServingStore

__all__ = ["Cleaner"]

_SCAN_ROWS = 5_000

KeptSegments = Mapping[int, Mapping[int, int]]  # span -> partition -> first segment to keep


class Cleaner:
    """Finds the rows of a partition that the previous head of their own span covers."""

    def __init__(self, metrics: Sequence[Metric], table: StateTable, store: ServingStore) -> None:
        self._metrics = metrics
        self._table = table
        self._store = store
        self._seen: dict[str, dict[int, Head]] = {}

    async def kept_segments(self) -> dict[int, KeptSegments]:
        """Per index of a metric, what to keep; of metrics whose heads moved since the last call.

        The last metric is the source's system metric, of which no batch makes totals: its cells
        are kept as long as those of any other metric.

        Raises:
            StoreError: The heads could not be read.
        """
        news: dict[int, KeptSegments] = {}
        for index, metric in enumerate(self._metrics[:-1]):
            heads = await self._store.heads(metric.id, *EVER)
            if heads and heads != self._seen.get(metric.id):
                self._seen[metric.id] = heads
                news[index] = {
                    s: rules.previous_coverage(head).segments for s, head in heads.items()
                }
        if news and len(self._seen) == len(self._metrics) - 1:
            news[len(self._metrics) - 1] = self._kept_by_all()
        return news

    async def drop(self, owned: Partition, metric: Metric, kept: KeptSegments) -> int:
        """Drop the covered rows of one metric from memory and table; returns how many.

        Raises:
            TableError: The worker must stop.
        """
        keys = await self._covered(owned.number, metric, kept)
        if keys:
            owned.cells.drop(keys)
            await self._table.write({owned.number: [(key, None) for key in sorted(keys)]})
        return len(keys)

    async def _covered(self, partition: int, metric: Metric, kept: KeptSegments) -> set[bytes]:
        firsts = {span: segments.get(partition, 0) for span, segments in kept.items()}
        newest = max(firsts.values(), default=0)
        prefix = cell_prefix(partition, metric.id)
        covered: set[bytes] = set()
        for count, (key, _) in enumerate(self._table.scan(partition, prefix), 1):
            segment, window, _ = place_of(key, prefix)
            if segment >= newest:
                break
            if segment < (rules.of_own_span(firsts, floor_to(window, metric.span_ms)) or 0):
                covered.add(key)
            if count % _SCAN_ROWS == 0:
                await asyncio.sleep(0)
        return covered

    def _kept_by_all(self) -> KeptSegments:
        kept: dict[int, Mapping[int, int]] = {}
        for span in set.intersection(*(set(heads) for heads in self._seen.values())):
            heads = [heads[span] for heads in self._seen.values()]
            vectors = [rules.previous_coverage(head).segments for head in heads]
            kept[span] = {p: min(v.get(p, 0) for v in vectors) for p in vectors[0]}
        return kept
