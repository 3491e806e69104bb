"""Whether any segment is closed: the speed layer is compared on closed ones alone."""

from fastdata.coordinates.segments import segment_start
from fastdata.declare.metric import Metric
from fastdata.store import rules
from fastdata.store.protocol import EVER, ServingStore

__all__ = ["first_segment"]


async def first_segment(store: ServingStore, metric: Metric) -> str | None:
    """Why the speed layer cannot be compared yet; None where a replay has counted a segment.

    Raises:
        StoreError: The store failed.
    """
    run = await store.last_run(metric.id)
    if run is not None and run.coverage.segments:
        return None  # without reading all heads
    heads = await store.heads(metric.id, *EVER)
    if any(head.coverage.segments for head in heads.values()):
        return None
    reports = rules.living(await store.progress(metric.source.topic))
    end = segment_start(1, metric.source.segment_size)
    missing = end - max((report.next_offset for report in reports), default=0)
    said = "only closed segments are compared, and none is counted yet: "
    if missing <= 0:
        return f"{said}the next replay counts the first"
    return f"{said}{missing:,} events of a partition are missing to the first, of {end:,}"
