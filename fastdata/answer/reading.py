"""What an answer reads of a store: totals of whole hours wherever no window cuts one."""

from collections.abc import Sequence

from fastdata.answer.chosen import ChosenDims
from fastdata.answer.request import QueryRequest
from fastdata.coordinates.calendar import Grain
from fastdata.coordinates.instants import HOUR_MS, ceil_to, floor_to
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.hours import Hours
from fastdata.store.protocol import Reading, ServingStore

__all__ = ["read_spans", "whole_hours"]


async def read_spans(
    metric: Metric,
    request: QueryRequest,
    chosen: ChosenDims,
    store: ServingStore,
    totals: Sequence[tuple[int, int]] | None = None,
) -> Reading:
    """The reading that an answer is merged from, without ready windows.

    Args:
        chosen: The dimensions that are asked for.
        totals: The intervals whose totals are wanted, in order and apart; None for all.

    Raises:
        QueryError: The windows leave the years 1 to 9999.
        StoreUnavailableError: The store did not answer; retriable.
    """
    ids = metric.id, unfolded_of(metric.source).id, metric.source.topic
    limits = held = request.read_range(metric.span_ms)
    if _has_odd_edges(request):
        # All days of what is asked for could be those of ten thousand years.
        heads = await store.heads(metric.id, *limits)
        held = (min(heads), max(heads) + HOUR_MS) if heads else (0, 0)
    hours = Hours(whole_hours(request, *held), chosen.begin)
    dims = chosen.begins(is_bounded=request.is_bounded)
    windows = _windows(metric, request)
    return await store.read(*ids, *limits, totals=totals, dims=dims, hours=hours, windows=windows)


def _windows(metric: Metric, request: QueryRequest) -> tuple[int, int] | None:
    """Of which windows partials are needed; None for all of the hours that are read.

    Where it is not known which windows there are, all of them tell of that.
    """
    if request.fixed_range is None:
        return None
    (start, end), width = request.fixed_range, metric.window_ms
    return floor_to(start, width), ceil_to(end, width)


def whole_hours(request: QueryRequest, start: int, end: int) -> list[tuple[int, int]]:
    """The intervals of `[start, end)`, in order and apart, in which no window of a request begins.

    That is, but at the start of an hour. The request itself begins and ends at any minute.

    Args:
        start: The start of an hour, ms UTC; `end` likewise, exclusive.
    """
    every = request.every
    # Rolling days are not cut at their beginning.
    first = start
    if request.start is not None and request.rolling is None:
        first = max(start, ceil_to(request.start, HOUR_MS))
    last = end if request.end is None else min(end, floor_to(request.end, HOUR_MS))
    if first >= last or (isinstance(every, int) and every % HOUR_MS):
        return []
    cut: list[int] = []
    if isinstance(every, Grain) and _has_odd_edges(request):
        windows = request.calendar.windows(Grain(every.unit), first, last)
        cut = [begin for begin, _ in windows if begin % HOUR_MS and begin > first]
    edges = [first, *[edge for at in cut for edge in (floor_to(at, HOUR_MS), ceil_to(at, HOUR_MS))]]
    edges.append(last)
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(begin, until) for begin, until in pairs if begin < until]


def _has_odd_edges(request: QueryRequest) -> bool:
    """Whether days may begin within an hour, as in India they do."""
    return isinstance(request.every, Grain) and request.calendar.zone != "UTC"
