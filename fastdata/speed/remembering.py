"""What an agent remembers of a partition, and from where it reads to know it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from fastdata.coordinates.instants import now_ms
from fastdata.speed.transport import FoldingConsumer

__all__ = ["PartitionMemory", "first_of_past"]

_FIRST_LAG_MS = 1_000


@dataclass(slots=True)
class PartitionMemory:
    """What a function has kept of a partition.

    Attributes:
        kept: By whatever the function takes as keys.
        end: The offset after the last event that it knows; -1 while the function has one in hand,
            of which it may know half.
    """

    kept: dict[Any, Any] = field(default_factory=dict)
    end: int = -1


async def first_of_past(
    consumer: FoldingConsumer, places: Mapping[TP, int], past_ms: int
) -> dict[TP, int]:
    """The offset of each partition from which what came in that time before a place is read.

    It is the first record that is not older, by the times at which records were written, than
    that time before the next one; with a lag of hours it may lie as much further back, for no
    broker tells when the record of an offset was written. The first one of the log where the broker
    finds none by its time, as an embedded one.

    Args:
        places: The next offset to read, of each partition, which its log holds.

    Raises:
        KafkaError: The broker did not answer.
    """
    now, lag_ms, first = now_ms(), 0, dict[TP, int]()
    dated = await consumer.offsets_since(list(places), 0)
    log_starts = await consumer.earliest_offsets(*places)
    left = [tp for tp in places if tp in dated]
    while left:
        recent = await consumer.offsets_since(left, now - lag_ms)
        # Where none is as recent, the place is the end of the log, or further back.
        ends = await consumer.highwaters(*left)
        reached = [tp for tp in left if recent.get(tp, ends[tp]) <= places[tp] or lag_ms >= now]
        if reached:
            past = await consumer.offsets_since(reached, max(0, now - lag_ms - past_ms))
            first |= {tp: min(past.get(tp, places[tp]), places[tp]) for tp in reached}
        left = [tp for tp in left if tp not in first]
        lag_ms = 2 * lag_ms or _FIRST_LAG_MS
    return {tp: max(first.get(tp, 0), log_start) for tp, log_start in log_starts.items()}
