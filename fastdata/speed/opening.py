"""What a worker asks of the store, and gives it, when it opens a partition."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from fastdata.declare.metric import Metric
from fastdata.speed import start
from fastdata.speed.clean_up import ALL_TIME
from fastdata.speed.keys import Marker, cell_prefix, place_of, unstamp
from fastdata.speed.state import Partition, StateTable
from fastdata.store.protocol import Gap, Partial, Progress, ServingStore

__all__ = ["ask_store", "begin_metrics", "has_all", "largest_stamp"]

_ROWS_AT_ONCE = 2_000

logger = logging.getLogger(__name__)


async def begin_metrics(
    store: ServingStore,
    metrics: Sequence[Metric],
    opened: Partition,
    marker: Marker | None,
    log_start: int,
) -> None:
    """Begin the metrics that the state does not know at the edge of the segment.

    What lies before was not folded for them: a gap of theirs, healed by batch. The others see the
    start of the segment again and skip what they have.

    Raises:
        StoreError: A gap could not be recorded.
    """
    new = [i for i, metric in enumerate(metrics) if await _is_new(store, metric, marker)]
    if not new:
        return
    size = metrics[0].source.segment_size
    opened.new_metrics = frozenset(new)
    edge = start.edge_before(opened.position, size)
    opened.position = opened.durable = edge if edge >= log_start else opened.position
    if end := start.edge_after(opened.position, size):
        for index in new:
            await store.record_gap(Gap(metrics[index].id, opened.number, 0, end))


async def _is_new(store: ServingStore, metric: Metric, marker: Marker | None) -> bool:
    if marker is not None:
        return metric.id not in marker.metrics
    # The state that could tell is lost: a metric of which the store has nothing is new.
    return not await store.has_partials(metric.id) and not await store.heads(metric.id, *ALL_TIME)


async def ask_store(
    store: ServingStore,
    table: StateTable,
    metrics: Sequence[Metric],
    opened: Partition,
    folded: int,
) -> None:
    """Learn what the store has of a partition; give it all cells when it lacks what was folded.

    Args:
        folded: Nothing before is committed, or vouched for, that the store did not have.

    Raises:
        StoreError: Some may be written, some not.
        CorruptStateError: A row is too short.
    """
    topic, number = metrics[0].source.topic, opened.number
    reports = await store.progress(topic)
    stored = next((report for report in reports if report.partition == number), None)
    if has_all(stored, folded):
        opened.stored = stored
        return
    logger.warning(
        "the store does not have all of %s, partition %d, that was folded before offset %d: it is "
        "another one, or has lost something. All states are written to it again, and the next "
        "replay makes answers exact again",
        topic, number, folded,
    )  # fmt: skip
    await _write_again(store, table, metrics, number, opened.position)
    opened.durable = -1  # the next flush tells readers, events or not


def has_all(stored: Progress | None, folded: int) -> bool:
    """Whether a store has all that was folded before an offset, by what it says of itself.

    Args:
        stored: What the store says of the partition; None for nothing.
        folded: Nothing is committed, or vouched for, before the store has it.
    """
    return folded <= (stored.next_offset if stored else 0)


async def _write_again(
    store: ServingStore,
    table: StateTable,
    metrics: Sequence[Metric],
    partition: int,
    position: int,
) -> None:
    """Write all cells of a partition to a store, and record what the cells may lack.

    Clean-up may have dropped any part of what was folded, also of a window that has grown since: so
    up to the largest stamp all is a gap, until batch has been there. It is recorded first.
    Idempotent.

    Args:
        metrics: All of one source.
        position: The next offset to fold.

    Raises:
        StoreError: Some may be written, some not.
        CorruptStateError: A row is too short.
    """
    reach = max(position, await largest_stamp(table, metrics, partition) + 1)
    if reach:
        await store.record_gap(Gap(metrics[0].source.topic, partition, 0, reach))
    partials: list[Partial] = []
    for partial in _partials(table, metrics, partition):
        partials.append(partial)
        if len(partials) == _ROWS_AT_ONCE:
            await store.upsert(partials, [])
            partials.clear()
    await store.upsert(partials, [])


async def largest_stamp(table: StateTable, metrics: Sequence[Metric], partition: int) -> int:
    """The largest stamp of the cells of a partition; -1 when there is none."""
    largest = -1
    for count, partial in enumerate(_partials(table, metrics, partition), 1):
        largest = max(largest, partial.stamp)
        if count % _ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return largest


def _partials(table: StateTable, metrics: Sequence[Metric], partition: int) -> Iterator[Partial]:
    for metric in metrics:
        prefix = cell_prefix(partition, metric.id)
        for key, value in table.scan(partition, prefix):
            segment, window, dims = place_of(key, prefix)
            stamp, state = unstamp(value)
            yield Partial(metric.id, window, dims, partition, segment, stamp, state)
