"""What is said of an answer without rows: what there is of the metric, and how to ask for it."""

from typing import TYPE_CHECKING

from fastdata.cli.windows import RangeOptions, show_local

if TYPE_CHECKING:
    import pyarrow as pa

    from fastdata.declare.derived import AnyMetric
    from fastdata.store.protocol import ServingStore

__all__ = ["why_empty"]


async def why_empty(
    metric: "AnyMetric",
    table: "pa.Table",
    interval: RangeOptions,
    store: "ServingStore",
) -> str:
    """Why a query gave no rows, and what to ask for instead.

    Args:
        metric: What was asked about.
        table: The answer.
        interval: What was asked for.
        store: Where it was asked.

    Raises:
        StoreUnavailableError: It cannot be read; retriable.
    """
    from fastdata.answer.arrow import describe
    from fastdata.answer.request import QueryRequest

    about = describe(table)
    zone = about["zone"]
    request = QueryRequest.parse(metric, **interval)
    asked = "nothing" + _range(request.start, request.end, zone)
    held = await _held(metric, store)
    if held is None:
        return f"nothing of {metric.name} is stored yet: fastdata worker and replay bring it"
    first, last = (show_local(moment, zone) for moment in held)
    local = "" if zone == "UTC" else f" ({zone})"
    stored = f"{metric.name} knows {first} to {last}{local}"
    if _is_apart(request.start, request.end, held):
        options = f"--from {first.replace(' ', 'T')} --to {last.replace(' ', 'T')}"
        return f"{asked}; {stored}: ask for {options}"
    if condition := about.get("where"):
        return f"{asked} meets {condition}; {stored}"
    if about.get("left") or about.get("right"):
        return f"{asked} is of either side; {stored}"
    return f"{asked}, though {stored}"


def _range(start: int | None, end: int | None, zone: str) -> str:
    if start is not None and end is not None:
        return f" between {show_local(start, zone)} and {show_local(end, zone)}"
    if start is not None:
        return f" from {show_local(start, zone)} on"
    return "" if end is None else f" before {show_local(end, zone)}"


def _is_apart(start: int | None, end: int | None, held: tuple[int, int]) -> bool:
    return (start is not None and held[1] <= start) or (end is not None and end <= held[0])


async def _held(metric: "AnyMetric", store: "ServingStore") -> tuple[int, int] | None:
    """The hours of which anything is known, of any dimensions; no state is read."""
    from fastdata.answer.request import QueryRequest
    from fastdata.answer.view import parts_of
    from fastdata.declare.unfolded import unfolded_of

    edges: list[int] = []
    for part in parts_of(metric):
        hours = QueryRequest.parse(part, None, None, "all").read_range(part.span_ms)
        unfolded = unfolded_of(part.source).id
        survey = await store.survey(part.id, unfolded, part.source.topic, *hours)
        for span in (*survey.heads, *survey.partials):
            edges += [span, span + part.span_ms]
    return (min(edges), max(edges)) if edges else None
