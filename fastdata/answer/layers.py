"""What both layers have of one metric or several, and the table that is made of it."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from fastdata.answer.arrow import answer_table, described
from fastdata.answer.chosen import ChosenDims
from fastdata.answer.joint import JointDoubts
from fastdata.answer.merge import (
    Buckets,
    Doubts,
    MergedRow,
    Row,
    dims_order,
    held_range,
    merge,
)
from fastdata.answer.notebook import show_in_notebooks
from fastdata.answer.reading import read_spans
from fastdata.answer.ready import ReadyWindows, read_ready
from fastdata.answer.request import QueryRequest
from fastdata.answer.rows import RowKey
from fastdata.coordinates.dimensions import Dimensions
from fastdata.declare.derived import AnyMetric, DerivedMetric
from fastdata.declare.metric import Metric
from fastdata.settings import Settings
from fastdata.store.earlier import EarlierDefinition, find_earlier
from fastdata.store.protocol import Reading, ServingStore

__all__ = ["Layers", "joined", "opened_store", "table_of"]


@dataclass(frozen=True, slots=True)
class Layers:
    """What both layers have of a metric, as one consistent view of the store.

    Attributes:
        metric: With the measures that are asked for.
        doubts: What it leaves open.
        held: The hours `[start, end)` of which anything was read, ms UTC; None when nothing was,
            and where the windows of the answer are the same whatever is stored.
        earlier: The definition before the present one, where that one alone has been counted.
    """

    metric: Metric
    doubts: Doubts
    held: tuple[int, int] | None
    earlier: EarlierDefinition | None
    _chosen: ChosenDims
    _windows: ReadyWindows | None

    @classmethod
    async def read(
        cls,
        metric: Metric,
        request: QueryRequest,
        chosen: ChosenDims,
        store: ServingStore,
        *,
        takes_ready: bool = True,
        takes_estimates: bool = True,
    ) -> Self:
        """Read what a request needs.

        Args:
            chosen: The dimensions of the rows that are merged.
            takes_ready: Whether ready windows may stand for the hours that they are merged from.
            takes_estimates: Whether estimates may be all that there is of a ready window.

        Raises:
            QueryError: The windows leave the years 1 to 9999.
            StoreUnavailableError: It cannot be read; retriable.
            CorruptStateError: A stored state does not verify.
        """
        reading, windows = (
            await read_ready(metric, request, chosen, store, takes_estimates)
            if takes_ready
            else (await read_spans(metric, request, chosen, store), None)
        )
        earlier = await _earlier(metric, request, chosen, reading, store)
        held = None
        if request.fixed_range is None:
            # Rolling days of which only left out events are known have not come, and have no row.
            held = held_range(metric, reading, with_left_out=request.rolling is None)
        return cls(metric, Doubts(metric, reading), held, earlier, chosen, windows)

    def merged(
        self, buckets: Buckets, view: Metric | None = None, only: Set[RowKey] | None = None
    ) -> Iterator[MergedRow]:
        """The rows of these buckets, ordered by start and dimensions, nulls first.

        Args:
            view: The metric with other measures, of those that were read; None for all of these.
            only: The rows that are wanted, which are not of rolling days; None for all.

        Raises:
            CorruptStateError: A stored state does not verify.
        """
        ready = self._windows.of_rows(self.metric, buckets) if self._windows else None
        return merge(view or self.metric, self.doubts, buckets, self._chosen, ready, only)

    def without_events(self, start: int, end: int, dims: Dimensions) -> Row:
        """The row of an interval and dimensions of which nothing is stored."""
        states = self.metric.zero(exact=True)
        row = MergedRow(start, end, dims, states, "batch", self.doubts.about(start, end))
        return row.estimated(self.metric)


def joined(
    metric: DerivedMetric, layers: Sequence[Layers], sides: Sequence[Iterable[Row]]
) -> Iterator[Row]:
    """The rows of a derived metric, ordered by start and dimensions, nulls first.

    Where one of its metrics has no row and another one has, it has no events there.

    Args:
        metric: With the measures that are asked for.
        layers: Of the metrics that these are made of.
        sides: Their rows, of the same buckets and dimensions.
    """
    by_key = [{(row.start, row.end, row.dims): row for row in rows} for rows in sides]
    keys = {key: (key[0], dims_order(key[2])) for rows in by_key for key in rows}
    views = [part.metric for part in layers]
    for key in sorted(keys, key=keys.__getitem__):
        stored = [rows.get(key) for rows in by_key]
        pairs = zip(stored, layers, strict=True)
        parts = [row or part.without_events(*key) for row, part in pairs]
        estimates = [row.estimates for row in parts]
        whose = {row.layer for row in stored if row}
        yield Row(
            *key,
            estimates=metric.answers(list(zip(views, estimates, strict=True))),
            is_exact=all(row.is_exact for row in parts),
            has_gap=any(row.has_gap for row in parts),
            layer=whose.pop() if len(whose) == 1 else "both",
        )


def table_of(
    metric: AnyMetric,
    request: QueryRequest,
    layers: Sequence[Layers],
    schema: pa.Schema,
    rows: Callable[[Buckets], Iterable[Row]],
    about: Mapping[str, object],
) -> pa.Table:
    """The table of an answer.

    Args:
        layers: Of all metrics that were read for it.
        schema: The columns of the table.
        rows: Makes its rows, in order.
        about: What its metadata says besides the request; see `described`.

    Raises:
        QueryError: The windows leave the years 1 to 9999, or a value does not fit its type.
        CorruptStateError: A stored state does not verify.
    """
    ranges = [part.held for part in layers if part.held]
    held = (min(start for start, _ in ranges), max(end for _, end in ranges)) if ranges else None
    request = request.within(held)
    buckets = request.buckets(held)
    doubts = JointDoubts([part.doubts for part in layers])
    table = answer_table(schema, rows(buckets) if buckets else (), doubts)
    show_in_notebooks()
    if earlier := [part.earlier.as_dict() for part in layers if part.earlier]:
        about = {**about, "earlier": earlier[0]}
    whole = (buckets.start, buckets.end) if buckets else None
    return described(table, metric, request, whole, doubts, about)


async def _earlier(
    metric: Metric,
    request: QueryRequest,
    chosen: ChosenDims,
    reading: Reading,
    store: ServingStore,
) -> EarlierDefinition | None:
    """The definition before the present one, where that one alone has been counted by batch."""
    if reading.heads:
        return None
    # Of a part nothing may be there though something is of the whole.
    is_any = reading.partials or (chosen.is_filtered and await store.has_partials(metric.id))
    # Hours that no replay has come to yet are the rule, and no reason to look at all runs.
    if is_any and await store.last_run(metric.id):
        return None
    start, end = request.read_range(metric.span_ms)
    return await find_earlier(store, metric.name, metric.id, start, end)


@asynccontextmanager
async def opened_store(store: ServingStore | str | None) -> AsyncIterator[ServingStore]:
    """A store to read from, which is closed again if it was opened here."""
    if store is not None and not isinstance(store, str):
        yield store
        return
    from fastdata.store.opening import open_store

    url = Settings.load().store if store is None else store
    async with open_store(url, create=False) as opened:
        yield opened
