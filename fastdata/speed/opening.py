"""What a worker asks of the store, and gives it, when it opens a partition."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from fastdata.coordinates.epochs import Epoch
from fastdata.declare.metric import Metric
from fastdata.speed import start
from fastdata.speed.keys import Marker, cell_prefix, load_marker, marker_key, place_of, unstamp
from fastdata.speed.state import Partition, StateTable
from fastdata.store.protocol import EVER, NEVER, Gap, Partial, Progress, ServingStore

__all__ = [
    "announce",
    "begin_metrics",
    "check_stored",
    "end_of_gap",
    "find_marker",
    "has_all",
    "record_gap",
    "stored_of",
]

_ROWS_AT_ONCE = 2_000

logger = logging.getLogger(__name__)


async def announce(store: ServingStore, topic: str, epoch: Epoch, partitions: int) -> None:
    """Tell a store which partitions there are, before anything is told of one of them. Idempotent.

    Until each of them has been read readers know that something is missing: a store that knows of
    some alone would take these for all.

    Args:
        partitions: How many the topic has.

    Raises:
        StoreError: The store did not take it.
    """
    numbers = map(epoch.number, range(partitions))
    log = str(epoch.log)
    reports = [Progress(topic, number, 0, NEVER, NEVER, epoch=log) for number in numbers]
    await store.upsert([], reports)


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
    opened.position = edge if edge >= log_start else opened.position
    opened.durable = min(opened.durable, opened.position)
    if end := start.edge_after(opened.position, size):
        for index in new:
            await store.record_gap(Gap(metrics[index].id, opened.number, 0, end))


async def record_gap(store: ServingStore, gap: Gap) -> None:
    """Record what is not folded, and say so.

    Raises:
        StoreError: It was not recorded.
    """
    await store.record_gap(gap)
    logger.warning(
        "%s, partition %d: events from offset %d to %d are not folded: Kafka has deleted some, or "
        "they are older than skip_after; the next replay counts what is archived of them",
        gap.topic, gap.partition, gap.start, gap.end - 1,
    )  # fmt: skip


async def _is_new(store: ServingStore, metric: Metric, marker: Marker | None) -> bool:
    if marker is not None:
        return metric.id not in marker.metrics
    # The state that could tell is lost: a metric of which the store has nothing is new.
    return not await store.has_partials(metric.id) and not await store.heads(metric.id, *EVER)


async def stored_of(store: ServingStore, topic: str, partition: int) -> Progress | None:
    """What the store says of a partition; None for nothing.

    Raises:
        StoreUnavailableError: It did not answer; retriable.
    """
    reports = await store.progress(topic)
    return next((report for report in reports if report.partition == partition), None)


async def find_marker(
    table: StateTable,
    metrics: Sequence[Metric],
    partition: int,
    stored: Progress | None,
    *,
    is_intact: bool,
    is_uncommitted: bool,
) -> Marker | None:
    """What the state of a partition vouches for; state that must not be found is taken away.

    Args:
        metrics: All of one source.
        stored: What the store says of the partition.
        is_intact: Whether the state has all that its changelog ever had.
        is_uncommitted: Whether nothing was committed that was folded; an empty log is, too.

    Raises:
        TableError: Some may be taken away, some not.
        CorruptStateError: The marker does not verify.
    """
    key = marker_key(partition)
    if not is_intact:
        # The marker vouches for cells that are lost. A crash before they are folded again must not
        # find it.
        await table.write({partition: [(key, None)]})
    marker = load_marker(table.get(partition, key))
    if marker is None or not is_uncommitted or has_all(stored, marker.next_offset):
        return marker
    # All that the log has is folded again, into nothing: of these cells clean-up may have taken
    # parts that a store before this one had counted.
    keys = [key]
    for metric in metrics:
        keys += [row for row, _ in table.scan(partition, cell_prefix(partition, metric.id))]
    await table.write({partition: [(row, None) for row in keys]})
    return None


async def check_stored(
    store: ServingStore,
    table: StateTable,
    metrics: Sequence[Metric],
    opened: Partition,
    stored: Progress | None,
    folded: int,
) -> None:
    """Give the store all cells of a partition when it lacks what was folded.

    Args:
        stored: What it says of the partition.
        folded: Nothing before is committed, or vouched for, that the store did not have.

    Raises:
        StoreError: Some may be written, some not.
        CorruptStateError: A row is too short.
    """
    topic, number = metrics[0].source.topic, opened.number
    if has_all(stored, folded):
        opened.stored = stored
        return
    logger.warning(
        "the store does not have all of %s, partition %d, that was folded before offset %d: it is "
        "another one, or has lost something. All states are written to it again, and the next "
        "replay makes answers exact again",
        topic, number, folded,
    )  # fmt: skip
    await _write_again(store, table, metrics, opened)
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
    opened: Partition,
) -> None:
    """Write all cells of a partition to a store, and record what the cells may lack.

    The gap is recorded first. Idempotent.

    Args:
        metrics: All of one source.

    Raises:
        StoreError: Some may be written, some not.
        CorruptStateError: A row is too short.
    """
    if end := await end_of_gap(table, metrics, opened):
        await store.record_gap(Gap(metrics[0].source.topic, opened.number, 0, end))
    partials: list[Partial] = []
    for partial in _partials(table, metrics, opened.number):
        partials.append(partial)
        if len(partials) == _ROWS_AT_ONCE:
            await store.upsert(partials, [])
            partials.clear()
    await store.upsert(partials, [])


async def end_of_gap(table: StateTable, metrics: Sequence[Metric], opened: Partition) -> int:
    """Before which offset cells may lack something that will not be folded again.

    Clean-up may have dropped any part of what was folded, also of a window that has grown since;
    and what the marker vouches for is not folded into a cell that is not there.

    Args:
        metrics: All of one source.

    Raises:
        CorruptStateError: A row is too short.
    """
    end = max(opened.position, opened.vouched)
    for count, partial in enumerate(_partials(table, metrics, opened.number), 1):
        end = max(end, partial.stamp + 1)
        if count % _ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return end


def _partials(table: StateTable, metrics: Sequence[Metric], partition: int) -> Iterator[Partial]:
    for metric in metrics:
        prefix = cell_prefix(partition, metric.id)
        for key, value in table.scan(partition, prefix):
            segment, window, dims = place_of(key, prefix)
            stamp, state = unstamp(value)
            yield Partial(metric.id, window, dims, partition, segment, stamp, state)
