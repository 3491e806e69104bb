"""Keys and values of the state table.

A key begins with its kind and partition, so that one dictionary can hold all partitions, and
goes on with metric and segment, so that what batch has covered lies together. A value begins
with a stamp of 8 bytes: of two values of one key the larger stamp wins.
"""

import struct
from dataclasses import dataclass

from fastdata.errors import CorruptStateError

__all__ = [
    "Marker", "StateRow", "cell_key", "cell_prefix", "ids_key", "ids_prefix", "is_cell",
    "is_older", "load_marker", "marker_key", "marker_value", "place_of", "segment_prefix",
    "stamped", "unstamp",
]  # fmt: skip

StateRow = tuple[bytes, bytes | None]  # key and value; None deletes


@dataclass(frozen=True, slots=True)
class Marker:
    """How far the state of a partition has folded.

    Attributes:
        next_offset: All before it is in the cells, of these metrics.
        watermark: The largest event time folded, ms UTC.
        metrics: Ids of the metrics that were folded.
    """

    next_offset: int
    watermark: int
    metrics: frozenset[str]


_CELLS = b"c"
_STAMP = struct.Struct(">q")
_CELL = struct.Struct(">qq")
_MARKER = struct.Struct(">qq")
_PARTITION = struct.Struct(">I")


def cell_prefix(partition: int, metric: str) -> bytes:
    """What the keys of all cells of a metric begin with."""
    return _CELLS + _PARTITION.pack(partition) + metric.encode() + b"\0"


def cell_key(prefix: bytes, segment: int, window: int, dims: str) -> bytes:
    """The key of a cell, sorted by segment; of one segment, windows before 1970 come last."""
    return prefix + _CELL.pack(segment, window) + dims.encode()


def segment_prefix(prefix: bytes, segment: int) -> bytes:
    """What the keys of all cells of a segment begin with, after that of the metric."""
    return prefix + _STAMP.pack(segment)


def is_cell(key: bytes) -> bool:
    """Whether a key is that of a cell."""
    return key.startswith(_CELLS)


def place_of(key: bytes, prefix: bytes) -> tuple[int, int, str]:
    """Segment, window and dimensions of a cell's key."""
    segment, window = _CELL.unpack_from(key, len(prefix))
    return segment, window, key[len(prefix) + _CELL.size :].decode()


def marker_key(partition: int) -> bytes:
    """The key of the marker: how far the state has folded."""
    return b"m" + _PARTITION.pack(partition)


def ids_prefix(partition: int) -> bytes:
    """What the keys of the event ids that were seen begin with."""
    return b"i" + _PARTITION.pack(partition)


def ids_key(partition: int, first: int) -> bytes:
    """The key of the event ids that one flush added, the first of them at the offset `first`."""
    return ids_prefix(partition) + _STAMP.pack(first)


def stamped(stamp: int, payload: bytes) -> bytes:
    """A value of the table: the stamp in front of the payload."""
    return _STAMP.pack(stamp) + payload


def unstamp(value: bytes) -> tuple[int, bytes]:
    """Stamp and payload of a value.

    Raises:
        CorruptStateError: It is too short to have a stamp.
    """
    if len(value) < _STAMP.size:
        raise CorruptStateError(f"a value of the state table has {len(value)} bytes and no stamp")
    return _STAMP.unpack_from(value)[0], value[_STAMP.size :]


def is_older(value: bytes | None, stored: bytes | None) -> bool:
    """Whether a value must not replace the one that is stored: state is monotone.

    Changelog and table keep the larger stamp, as the store does. A deletion always may.
    """
    if value is None or stored is None:
        return False
    return value[: _STAMP.size] < stored[: _STAMP.size]


def marker_value(marker: Marker) -> bytes:
    """The value of a marker."""
    metrics = ",".join(sorted(marker.metrics)).encode()
    return _MARKER.pack(marker.next_offset, marker.watermark) + metrics


def load_marker(value: bytes | None) -> Marker | None:
    """The marker that a value holds; None when there is no value.

    Raises:
        CorruptStateError: It is too short, or no text where the metrics are.
    """
    if value is None:
        return None
    try:
        next_offset, watermark = _MARKER.unpack_from(value)
        metrics = value[_MARKER.size :].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptStateError(
            f"the marker of the state table does not verify: {error}"
        ) from error
    return Marker(next_offset, watermark, frozenset(metrics.split(",")))
