"""Skipping ahead after an outage, where a source would rather be fresh than complete."""

from collections.abc import Mapping

from faust.types import TP

from fastdata.coordinates.instants import now_ms
from fastdata.declare.source import Source
from fastdata.speed.start import edge_before
from fastdata.speed.transport import FoldingConsumer

__all__ = ["first_to_fold"]


async def first_to_fold(
    consumer: FoldingConsumer, source: Source, starts: Mapping[TP, int], ends: Mapping[TP, int]
) -> dict[TP, int]:
    """Where the partitions of a source begin, for one who would fold no older events.

    That is the edge of the segment that was written to `skip_after` ago, so that no segment is
    folded without its head. To a partition that has been folded further it makes no difference.
    Where the broker finds no record by its time, as an embedded one, nothing is old.

    Args:
        starts: The first offset that the log of each partition holds; of others it is left alone.
        ends: The offset after the last.

    Raises:
        KafkaError: The broker did not answer.
    """
    first = dict(starts)
    if (since_ms := now_ms() - source.skip_after_ms) < 0:
        return first  # nothing is that old
    tps = [tp for tp in starts if tp.topic == source.topic]
    recent = await consumer.offsets_since(tps, since_ms)
    unknown = [tp for tp in tps if tp not in recent]
    dated = recent | (await consumer.offsets_since(unknown, 0) if unknown else {})
    for tp in dated:
        edge = edge_before(recent.get(tp, ends[tp]), source.segment_size)
        first[tp] = max(first[tp], edge)
    return first
