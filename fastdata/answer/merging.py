"""Stored states, merged: of many groups by columns, or one by one."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from fastdata.declare.metric import Metric, States
from fastdata.measures.columns import merge_groups
from fastdata.store.rules import portions

__all__ = ["merged", "merged_groups"]

_BYTES_AT_ONCE = 1 << 20
_FEW = 16  # envelopes, for which columns do not pay


def merged(metric: Metric, envelopes: Sequence[bytes]) -> States:
    """The merged states of stored envelopes, of which there is at least one.

    Raises:
        CorruptStateError: One does not verify.
    """
    (states,) = merged_groups(metric, [envelopes])
    return states


def merged_groups(metric: Metric, groups: Iterable[Sequence[bytes]]) -> Iterator[States]:
    """The merged states of each group of stored envelopes; no group is empty.

    Some groups are merged at a time, so that their states are not all in memory.

    Raises:
        CorruptStateError: An envelope does not verify.
    """
    for batch in portions(groups, _BYTES_AT_ONCE, _size):
        if len(batch) == 1 and _size(batch[0]) > _BYTES_AT_ONCE:
            yield _large(metric, batch[0])
        elif sum(map(len, batch)) < _FEW:
            yield from [_one_by_one(metric, envelopes) for envelopes in batch]
        else:
            yield from merge_groups(metric.aggregates, batch)


def _size(envelopes: Sequence[bytes]) -> int:
    return sum(map(len, envelopes))


def _one_by_one(metric: Metric, envelopes: Sequence[bytes]) -> States:
    states = metric.load(envelopes[0])
    for envelope in envelopes[1:]:
        metric.merge(states, metric.load(envelope))
    return states


def _large(metric: Metric, envelopes: Sequence[bytes]) -> States:
    """A group that is more than should be taken apart at once."""
    # Only what is canonical presents the same, whatever is merged with what.
    if not all(getattr(aggregate, "is_canonical", True) for aggregate in metric.aggregates):
        return _one_by_one(metric, envelopes)
    pieces = portions(envelopes, _BYTES_AT_ONCE, len)
    parts = chain.from_iterable(merge_groups(metric.aggregates, [piece]) for piece in pieces)
    merged = next(parts)
    for states in parts:
        metric.merge(merged, states)
    return merged
