"""Stored bytes of many states at once, as Arrow columns of bytes: the mirror of `columns`."""

from collections.abc import Sequence
from typing import Any, cast
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fastdata.measures.envelope import HEAD, MAX_BYTES, part_head, too_large

__all__ = ["distinct", "envelopes", "in_order", "integers", "joined", "payloads", "value_sets"]

_BYTES = pa.large_binary()
_WORD = 8  # bytes
# Where the absolute value of an integer begins that takes a byte more: see `numbers.int_to_bytes`.
_BOUNDS = np.array([1 << 8 * size - 1 for size in range(1, _WORD + 1)], np.uint64)


def payloads(dumped: Sequence[bytes]) -> pa.Array:
    """The column of these payloads."""
    return pa.array(dumped, _BYTES)


def integers(numbers: NDArray[np.int64]) -> pa.Array:
    """What `numbers.int_to_bytes` makes of each number."""
    # The absolute value of the least one is itself, which is right without a sign.
    sizes = 1 + np.searchsorted(_BOUNDS, np.abs(numbers).view(np.uint64), side="right")
    wide = np.empty((len(numbers), _WORD + 1), np.uint8)
    wide[:, :_WORD] = numbers.astype("<i8").view(np.uint8).reshape(-1, _WORD)
    wide[:, _WORD] = numbers >> 63
    return _column(np.cumsum(sizes), wide[np.arange(_WORD + 1) < sizes[:, None]])


def value_sets(
    head: bytes, values: pa.Array, ends: NDArray[np.int64], max_bytes: int
) -> pa.Array | None:
    """What `items.Items.dump` makes of each group of values, behind a head.

    None where the values of one take more than `max_bytes`.

    Args:
        values: Strings or 64-bit integers, without nulls; in each group different, and in order.
        ends: Where each group ends among them.
    """
    if pa.types.is_int64(values.type):
        data, ends = values.to_numpy().astype("<i8"), _WORD * ends
    else:
        texts = joined(values.cast(_BYTES), b"\xff")
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int64, len(texts) + 1)[ends]
    if np.diff(ends, prepend=0).max(initial=0) > max_bytes:
        return None
    return joined(head, _column(ends, data))


def distinct(data: bytes, text_end: bytes | None) -> bytes:
    """The values of what `items.Items.dump` wrote of some collections, each once.

    Args:
        text_end: What is behind each text; None where values are integers.
    """
    if text_end is None:
        numbers = pa.Array.from_buffers(pa.int64(), len(data) // _WORD, [None, pa.py_buffer(data)])
        return cast("bytes", numbers.unique().to_numpy().tobytes())
    ends = 1 + np.flatnonzero(np.frombuffer(data, np.uint8) == ord(text_end))
    return _data(_column(ends, data).unique())


def in_order(data: bytes, text_end: bytes | None) -> bytes:
    """The same values in the order of `items.Items.dump`.

    Args:
        text_end: What is behind each text, and greater than all in it; None where values are
            integers.
    """
    if text_end is None:
        return np.sort(np.frombuffer(data, "<i8")).tobytes()
    bytes_ = np.frombuffer(data, np.uint8)
    is_end = bytes_ == ord(text_end)
    ends = 1 + np.flatnonzero(is_end)
    # With the least byte behind it, a text that another one begins with comes first.
    order = pc.sort_indices(_column(ends, np.where(is_end, np.uint8(0), bytes_)))
    return _data(_column(ends, data).take(order))


def joined(*columns: pa.Array | bytes) -> pa.Array:
    """The columns' bytes behind each other; bytes are the same in each row."""
    parts = [pa.scalar(c, _BYTES) if isinstance(c, bytes) else c for c in columns]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", _BYTES))


def envelopes(codes: Sequence[int], columns: Sequence[pa.Array]) -> list[bytes]:
    """What `envelope.pack` makes of each row: one column of payloads for each code.

    Raises:
        CorruptStateError: An envelope would be larger than 1 MiB.
    """
    parts = [HEAD + bytes((len(codes),))]
    for code, column in zip(codes, columns, strict=True):
        sizes = pc.binary_length(column).dictionary_encode()
        largest = max(sizes.dictionary.to_pylist(), default=0)
        if largest >= MAX_BYTES:
            raise too_large(largest, MAX_BYTES)
        heads = [part_head(code, size) for size in sizes.dictionary.to_pylist()]
        parts += [pa.array(heads, _BYTES).take(sizes.indices), column]
    rows = joined(*parts).to_pylist()
    whole = [row + crc32(row).to_bytes(4, "big") for row in rows]
    if (largest := max(map(len, whole), default=0)) > MAX_BYTES:
        raise too_large(largest, MAX_BYTES)
    return whole


def _data(column: pa.Array) -> bytes:
    """The bytes of all rows behind each other, of a column that is no slice."""
    _, offsets, data = column.buffers()
    size = np.frombuffer(offsets, np.int64, len(column) + 1)[-1]
    return cast("bytes", data.to_pybytes()[:size])


def _column(ends: NDArray[np.int64], data: Any) -> pa.Array:
    """Bytes that end there in the data, the first of which begin where these do."""
    offsets = np.concatenate([np.zeros(1, np.int64), ends])
    return pa.Array.from_buffers(_BYTES, len(ends), [None, *map(pa.py_buffer, (offsets, data))])
