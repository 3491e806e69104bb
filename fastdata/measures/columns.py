"""Payloads of many envelopes side by side: what is small is read and added many at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fastdata.measures.aggregate import Aggregate, State, fold_stored
from fastdata.measures.envelope import MAX_WHOLE_BYTES, unpack

__all__ = ["Payloads", "merge_column", "merge_groups", "unpack_columns"]

_Numbers = NDArray[np.int64]

_HEAD, _CHECKSUM, _WORD = 3, 4, 8  # bytes
_LONG = 0xFF
_MOST = 1 << 62


@dataclass(frozen=True, slots=True)
class Payloads:
    """Payloads side by side.

    Attributes:
        data: What holds them, and at least 8 bytes more.
        starts: Where each of them begins.
        sizes: How many bytes each of them has.
    """

    data: bytes
    starts: _Numbers
    sizes: _Numbers

    @classmethod
    def of(cls, payloads: Sequence[bytes]) -> "Payloads":
        """The column of these payloads."""
        sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
        return cls(b"".join([*payloads, bytes(_WORD)]), np.cumsum(sizes) - sizes, sizes)

    def each(self) -> list[bytes]:
        """All of them, one by one."""
        ends = (self.starts + self.sizes).tolist()
        pairs = zip(self.starts.tolist(), ends, strict=True)
        return [self.data[start:end] for start, end in pairs]

    def parted(self) -> tuple["Payloads", "Payloads"]:
        """The first part of each payload, whose size is in a byte before it, and the rest."""
        lengths = np.frombuffer(self.data, np.uint8)[self.starts].astype(np.int64)
        first = Payloads(self.data, self.starts + 1, lengths)
        # Of one that is cut the rest has no size that a number may have.
        return first, Payloads(self.data, first.starts + lengths, self.sizes - 1 - lengths)

    def sums(self, edges: Sequence[int], least: int = -_MOST) -> list[int] | None:
        """The sums of adjacent payloads that `numbers.int_to_bytes` wrote.

        Args:
            edges: Where each sum begins, ascending from 0, and the end.
            least: No payload is less.

        Returns:
            None where they have to be read one by one, as they are large, or not sound.
        """
        numbers = self._integers()
        if numbers is None or not len(numbers) or np.min(numbers) < least:
            return None
        largest = max(int(np.max(numbers)), -int(np.min(numbers)))
        if largest * len(numbers) >= _MOST:
            return None
        sums: list[int] = np.add.reduceat(numbers, edges[:-1]).tolist()
        return sums

    def _integers(self) -> _Numbers | None:
        """Integers of 64 bits; None where there are others, or one is not as short as it gets."""
        sizes = self.sizes
        if np.min(sizes, initial=1) < 1 or np.max(sizes, initial=1) > _WORD:
            return None
        bits = 8 * sizes
        words = _words(self.data, self.starts, "<i8") << (64 - bits) >> (64 - bits)
        # As `numbers.int_from_bytes`: of n bytes is what has from 8 n - 8 to 8 n - 1 bits.
        magnitudes = np.abs(words).astype(np.uint64)
        highest = np.left_shift(np.uint64(1), (bits - 1).astype(np.uint64))
        is_short = (magnitudes < highest) & ((sizes == 1) | (magnitudes >= highest >> np.uint64(8)))
        return words if is_short.all() else None


def merge_column(aggregate: Aggregate, column: Payloads, edges: Sequence[int]) -> list[State]:
    """The merged states of adjacent payloads.

    Args:
        edges: Where each group begins, ascending from 0, and the end; no group is empty.

    Raises:
        CorruptStateError: A payload is no state of the aggregate.
    """
    load_groups = getattr(aggregate, "load_groups", None)
    merged: list[State] | None = load_groups and load_groups(column, edges)
    if merged is not None:
        return merged
    payloads = column.each()
    return [fold_stored(aggregate, payloads[start:end]) for start, end in pairwise(edges)]


def merge_groups(
    aggregates: Sequence[Aggregate], groups: Sequence[Sequence[bytes]]
) -> Iterator[list[State]]:
    """The merged states of each group of envelopes: one state for each aggregate.

    Args:
        groups: Some, of which none is empty.

    Raises:
        CorruptStateError: An envelope does not verify.
    """
    columns = unpack_columns(list(chain.from_iterable(groups)), [a.code for a in aggregates])
    edges = [0, *accumulate(map(len, groups))]
    pairs = zip(aggregates, columns, strict=True)
    return map(list, zip(*[merge_column(a, column, edges) for a, column in pairs], strict=True))


def unpack_columns(blobs: Sequence[bytes], codes: Sequence[int]) -> list[Payloads]:
    """The payloads that `envelope.unpack` takes out of each blob: one column for each code.

    Raises:
        CorruptStateError: As `envelope.unpack` does.
    """
    return _split(blobs, codes) or [
        Payloads.of(payloads)
        for payloads in zip(*[unpack(b, codes, MAX_WHOLE_BYTES) for b in blobs], strict=True)
    ]


def _split(blobs: Sequence[bytes], codes: Sequence[int]) -> list[Payloads] | None:
    """The columns of blobs that are sound; None where one may not be."""
    whole = Payloads.of(blobs)
    if np.min(whole.sizes, initial=_WORD) < _HEAD + _CHECKSUM:
        return None
    data, view = whole.data, np.frombuffer(whole.data, np.uint8)
    at, ends = whole.starts + _HEAD, whole.starts + whole.sizes - _CHECKSUM
    checks = np.fromiter([crc32(blob[:-_CHECKSUM]) for blob in blobs], np.uint32, len(blobs))
    is_sound = _words(data, ends, ">u4") == checks
    for index, byte in enumerate((0xFD, 1, len(codes))):
        is_sound &= view[whole.starts + index] == byte
    columns = []
    for code in codes:
        if not (is_sound & (at <= ends)).all():
            return None
        is_sound = view[at] == code
        sizes, at = view[at + 1].astype(np.int64), at + 2
        if (is_long := sizes == _LONG).any():
            sizes = np.where(is_long, _words(data, at, ">u4"), sizes)
            at = at + _CHECKSUM * is_long
        columns.append(Payloads(data, at, sizes))
        at = at + sizes
    return columns if (is_sound & (at == ends)).all() else None


def _words(data: bytes, starts: _Numbers, kind: str) -> NDArray[Any]:
    """The words that begin at these bytes."""
    size = np.dtype(kind).itemsize
    words: NDArray[Any] = np.frombuffer(data, np.uint8)[starts[:, None] + np.arange(size)]
    return words.view(kind)[:, 0]
