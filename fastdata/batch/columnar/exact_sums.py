"""Exact sums of whole columns of numbers, of their squares, and how many lie where.

A float is an integer of 53 bits over a power of two. The integers of one group and exponent are
added up in halves of 32 bits, of which 64 bits hold two billion, and Python adds these sums: so
nothing is ever rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Sums", "add_up", "count_between"]

_Array = np.ndarray[Any, np.dtype[Any]]
_HALF_BITS, _MANTISSA_BITS = 32, 53
_LOW_HALF = (1 << _HALF_BITS) - 1
# Exponents are -1127 to 971.
_EXPONENTS, _LEAST_EXPONENT = 1 << 12, -2_000
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(slots=True)
class Sums:
    """Of the finite values of a group, in parts of 2**exponent.

    Attributes:
        count: Of all values.
        exponent: The largest up to 0 in parts of which all values are integers.
        squares: In parts of 2**(2 * exponent).
        flags: What is not finite: 1 a NaN, 2 and 4 the infinities.
    """

    count: int
    exponent: int = 0
    total: int = 0
    squares: int = 0
    flags: int = 0


def add_up(column: pa.ChunkedArray, lengths: Sequence[int], squares: bool) -> list[Sums] | None:
    """The sums of each group; None if a decimal has more than 64 bits.

    Args:
        column: Integers, floats or decimals (in their units), group by group.
        lengths: How many rows each group has, nulls included.
        squares: Whether to sum them, too.
    """
    values, groups = _values(column, lengths)
    if values is None:
        return None
    sums = [Sums(count) for count in np.bincount(groups, minlength=len(lengths)).tolist()]
    exponents = np.zeros(len(values), np.int64)
    if values.dtype == np.float64:
        values, groups = _finite(values, groups, sums)
        mantissas, powers = np.frexp(values)
        values = np.ldexp(mantissas, _MANTISSA_BITS).astype(np.int64)
        exponents = powers.astype(np.int64) - _MANTISSA_BITS
        _set_exponents(values, exponents, groups, sums)
    bins = groups * _EXPONENTS + (exponents - _LEAST_EXPONENT)
    order = np.argsort(bins)
    _add_bins(values[order], bins[order], sums, squares)
    return sums


def count_between(
    column: pa.ChunkedArray, lengths: Sequence[int], edges: Sequence[int | float]
) -> list[list[int]] | None:
    """How many values of each group lie below, between and above edges; one that is NaN nowhere.

    None if a decimal has more than 64 bits.

    Args:
        column: Integers, floats or decimals (in their units), group by group.
        lengths: How many rows each group has, nulls included.
        edges: Ascending; a value that is one lies above it.
    """
    values, groups = _values(column, lengths)
    if values is None:
        return None
    size = len(edges) + 1
    if values.dtype == np.float64:
        is_number = ~np.isnan(values)
        values, groups = values[is_number], groups[is_number]
        bounds = np.array(edges, np.float64)
    else:
        # No value is as large as those that are left out, and none is below the smallest.
        fitting = [max(int(edge), _INT64[0]) for edge in edges if edge <= _INT64[-1]]
        bounds = np.array(fitting, np.int64)
    places = np.searchsorted(bounds, values, side="right")
    counts = np.bincount(groups * size + places, minlength=size * len(lengths))
    return counts.reshape(-1, size).tolist()


def _values(column: pa.ChunkedArray, lengths: Sequence[int]) -> tuple[_Array | None, _Array]:
    """What is not null, as int64 or float64, and the number of the group of each."""
    groups = np.repeat(np.arange(len(lengths)), lengths)
    if column.null_count:
        groups = groups[column.is_valid().to_numpy()]
    values = column.drop_null().combine_chunks()
    if not pa.types.is_decimal(values.type):
        return values.to_numpy(zero_copy_only=False), groups
    if not pa.types.is_decimal128(values.type):
        return None, groups
    words = np.frombuffer(values.buffers()[1], "<i8")[2 * values.offset :][: 2 * len(values)]
    low, high = words[::2], words[1::2]
    return low if np.array_equal(low >> 63, high) else None, groups


def _finite(values: _Array, groups: _Array, sums: Sequence[Sums]) -> tuple[_Array, _Array]:
    """Those that are; the others are noted."""
    is_finite = np.isfinite(values)
    others = zip(values[~is_finite].tolist(), groups[~is_finite].tolist(), strict=True)
    for value, group in others:
        sums[group].flags |= 1 if value != value else 2 if value > 0 else 4
    return values[is_finite], groups[is_finite]


def _set_exponents(values: _Array, exponents: _Array, groups: _Array, sums: Sequence[Sums]) -> None:
    last_bits = np.frexp((values & -values).astype(np.float64))[1] - 1
    least = np.where(values == 0, 0, np.minimum(exponents + last_bits, 0))
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    if len(starts):
        lowest = np.minimum.reduceat(least, starts).tolist()
        for group, exponent in zip(groups[starts].tolist(), lowest, strict=True):
            sums[group].exponent = exponent


def _add_bins(values: _Array, bins: _Array, sums: Sequence[Sums], squares: bool) -> None:
    """Add values in order of their bins: of one group and exponent."""
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    if not len(starts):
        return
    totals = _totals(values, starts)
    squared = _squares(values, starts) if squares else totals
    for number, total, square in zip(bins[starts].tolist(), totals, squared, strict=True):
        group, exponent = divmod(number, _EXPONENTS)
        of_group = sums[group]
        shift = exponent + _LEAST_EXPONENT - of_group.exponent
        of_group.total += total << shift if shift > 0 else total >> -shift
        if squares:
            of_group.squares += square << 2 * shift if shift > 0 else square >> -2 * shift


def _totals(values: _Array, starts: _Array) -> list[int]:
    """The sums of stretches of 64-bit integers."""
    high = np.add.reduceat(values >> values.dtype.type(_HALF_BITS), starts)
    low = np.add.reduceat(values & values.dtype.type(_LOW_HALF), starts)
    return [(a << _HALF_BITS) + b for a, b in zip(high.tolist(), low.tolist(), strict=True)]


def _squares(values: _Array, starts: _Array) -> list[int]:
    high, low = values >> _HALF_BITS, values & _LOW_HALF
    unsigned = low.astype(np.uint64)
    parts = [_totals(part, starts) for part in (high * high, high * low, unsigned * unsigned)]
    return [
        (a << 2 * _HALF_BITS) + (b << _HALF_BITS + 1) + c for a, b, c in zip(*parts, strict=True)
    ]
