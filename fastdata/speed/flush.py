"""What one flush writes, of all partitions, taken at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastdata.declare.metric import Metric
from fastdata.speed.keys import Marker, ids_key, marker_key, marker_value, stamped
from fastdata.speed.state import NO_WATERMARK, Bad, Partition
from fastdata.store.protocol import Partial, Progress

__all__ = ["Snapshot", "take_snapshot"]

_Row = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of the table, the partials of the store and the positions to commit after them."""

    rows: dict[int, list[_Row]] = field(default_factory=dict)
    partials: list[Partial] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)


def take_snapshot(
    partitions: Mapping[int, Partition], metrics: Sequence[Metric], now: int
) -> Snapshot:
    """Serialize what has changed. Takes no pause, so that rows and positions are of one moment.

    Args:
        now: ms UTC.
    """
    snapshot = Snapshot()
    watermarks = _watermarks(list(partitions.values()))
    for number, owned in partitions.items():
        rows = snapshot.rows[number] = []
        for key, cell in owned.cells.take_dirty():
            index, segment, window, _ = key
            blob = owned.cells.value(key, cell)
            rows.append((cell.row_key, stamped(cell.stamp, blob)))
            metric = metrics[index].id
            snapshot.partials.append(
                Partial(metric, window, cell.dims, number, segment, cell.stamp, blob)
            )
        rows += _id_rows(owned)
        # The marker vouches for all rows before it, so it comes last.
        marker = Marker(owned.position, owned.watermark, frozenset(m.id for m in metrics))
        rows.append((marker_key(number), marker_value(marker)))
        topic = metrics[0].source.topic
        snapshot.progress.append(Progress(topic, number, owned.position, watermarks[number], now))
        snapshot.bad.extend(owned.bad)
        snapshot.positions[number] = owned.position
        owned.bad.clear()
    return snapshot


def _watermarks(owned: Sequence[Partition]) -> dict[int, int]:
    """Watermarks as readers see them: an idle partition does not hold the others back."""
    busy = [p.watermark for p in owned if not p.is_idle]
    least = min(busy) if busy else max((p.watermark for p in owned), default=NO_WATERMARK)
    return {p.number: max(p.watermark, least) if p.is_idle else p.watermark for p in owned}


def _id_rows(owned: Partition) -> list[_Row]:
    rows: list[_Row] = []
    if (fresh := owned.repeats.drain()) is not None:
        first, last, payload = fresh
        rows.append((ids_key(owned.number, first), stamped(last, payload)))
        owned.id_rows.append(first)
    # A row may reach over the edge of the horizon, so the newest one before it stays.
    edge = owned.repeats.horizon(owned.position)
    while len(owned.id_rows) > 1 and owned.id_rows[1] <= edge:
        rows.append((ids_key(owned.number, owned.id_rows.pop(0)), None))
    return rows
