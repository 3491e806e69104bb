"""What a flush writes, of all partitions, taken at one moment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from fastdata.declare.metric import Metric
from fastdata.speed.keys import Marker, StateRow, ids_key, marker_key, marker_value, stamped
from fastdata.speed.state import DeadLetter, Partition, Record
from fastdata.store.protocol import Partial, Progress

__all__ = ["FlushSnapshot", "take_snapshot"]


@dataclass(frozen=True, slots=True)
class FlushSnapshot:
    """What a flush writes: dead letters, events, rows of the table, the store, then positions.

    Attributes:
        outgoing: Per partition, in order, events to be sent on.
        rows: Per partition, in order: the marker comes last.
        positions: Per partition, the next offset to fold: what to commit.
    """

    rows: dict[int, list[StateRow]] = field(default_factory=dict)
    partials: list[Partial] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    outgoing: dict[int, list[Record]] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)


def take_snapshot(
    partitions: Mapping[int, Partition],
    metrics: Sequence[Metric],
    now: int,
    others: Iterable[str] = (),
) -> FlushSnapshot:
    """Take what has changed since the last snapshot, which must have been written.

    Takes no pause, so that rows, partials and positions are of one moment: no event is in some of
    them and not in the others.

    Args:
        metrics: In the order of the indexes in the keys of cells.
        now: ms UTC.
        others: What the markers vouch for, beside the metrics.
    """
    snapshot = FlushSnapshot()
    ids = [metric.id for metric in metrics]
    vouched = frozenset((*ids, *others))
    make = tuple.__new__  # at a third of what a call of the class costs, and there are many
    for number, owned in partitions.items():
        rows = snapshot.rows[number] = []
        for key, cell in owned.cells.take_dirty():
            index, segment, window, _ = key
            blob = metrics[index].dump(cell.states)
            rows.append((cell.row_key, stamped(cell.stamp, blob)))
            of_cell = ids[index], window, cell.dims, number, segment, cell.stamp, blob
            snapshot.partials.append(make(Partial, of_cell))
        rows += _id_rows(owned)
        # It vouches for all rows before it, so a changelog that ends early must not have it.
        marker = Marker(owned.position, owned.watermark, vouched)
        rows.append((marker_key(number), marker_value(marker)))
        snapshot.progress.append(owned.progress(metrics[0].source.topic, now))
        snapshot.letters.extend(owned.letters)
        snapshot.positions[number] = owned.position
        owned.letters.clear()
        if owned.outgoing:
            snapshot.outgoing[number] = owned.outgoing
            owned.outgoing, owned.outgoing_bytes = [], 0
    return snapshot


def _id_rows(owned: Partition) -> list[StateRow]:
    """A row with the ids since the last flush; deletions of rows that are behind the horizon."""
    rows: list[StateRow] = []
    if (fresh := owned.repeats.drain()) is not None:
        first, last, payload = fresh
        rows.append((ids_key(owned.number, first), stamped(last, payload)))
        # A row that a crash or an old owner left may reach further: the larger stamp stays.
        owned.id_rows[first] = max(last, owned.id_rows.get(first, last))
    # The horizon of the flush before: a crash before the marker begins there again.
    edge = owned.repeats.horizon(owned.durable)
    # The oldest come first, so that this looks at no more than it deletes.
    for first in list(takewhile(lambda first: owned.id_rows[first] < edge, owned.id_rows)):
        del owned.id_rows[first]
        rows.append((ids_key(owned.number, first), None))
    return rows
