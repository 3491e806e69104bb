"""Where tips and partials meet: the larger stamp wins.

A version counts what was archived of an open segment as tips, up to an offset. A partial of that
segment whose stamp is not below that offset has folded an event that the tip of its window,
dimensions and partition has not: it stands in place of the tip. All other partials of the segment
are in what was counted, with their events' repeats left out: the tips stand.

An event that the speed layer left out, or skipped, is in the tip alone. It goes out of sight when a
newer partial stands, so in the hours of such a partial nothing is known to be counted but what is
closed. The partial may even be of a flush that is under way, whose counts of what was left out are
not in the store yet (`SettledReading.hidden`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from fastdata.coordinates.dimensions import is_tip, split_tip
from fastdata.store import rules
from fastdata.store.protocol import Head, Partial, Reading, Total

__all__ = ["SettledReading", "settle"]

TipKey = tuple[int, str, int]  # window, dimensions, partition


@dataclass(frozen=True, slots=True)
class SettledReading:
    """What of a reading counts.

    Attributes:
        totals: Of closed segments.
        tips: Those that stand, with the dimensions alone.
        partials: Those that stand.
        unfolded: What the speed layer left out and no standing tip counts for sure.
        hidden: The hours of which a tip does not stand, ms UTC; of each, how many events may be in
            such tips that no partial and no count of what was left out tells of.
    """

    totals: Sequence[Total]
    tips: Sequence[Total]
    partials: Sequence[Partial]
    unfolded: Sequence[Partial]
    hidden: Mapping[int, int]


def settle(reading: Reading) -> SettledReading:
    """Decide between the tips and the partials of a reading."""
    heads = reading.heads
    partials = _standing(reading)
    if not any(head.coverage.has_tips for head in heads.values()):
        unfolded = [p for p in reading.unfolded if not is_in_tip(heads.get(p.window), p)]
        return SettledReading(reading.totals, (), partials, unfolded, {})
    newer = {
        (p.window, p.dims, p.partition)
        for p in partials
        if p.segment == rules.first_open(_head_of(heads, p.window), p.partition)
    }
    folded = {progress.partition: progress.next_offset for progress in reading.progress}
    totals, tips, unknown = [], [], dict[int, dict[int, int]]()
    for total in reading.totals:
        if not is_tip(total.dims):
            totals.append(total)
            continue
        dims, partition = split_tip(total.dims)
        if is_overtaken((total.window, dims, partition), newer):
            span = rules.span_of(total.window)
            until = heads[span].coverage.until.get(partition, 0)
            unknown.setdefault(span, {})[partition] = max(0, until - folded.get(partition, 0))
        else:
            tips.append(total._replace(dims=dims))
    unfolded = [
        p for p in reading.unfolded if p.window in unknown or not is_in_tip(heads.get(p.window), p)
    ]
    hidden = {span: sum(offsets.values()) for span, offsets in unknown.items()}
    return SettledReading(totals, tips, partials, unfolded, hidden)


def _standing(reading: Reading) -> Sequence[Partial]:
    """The partials that no head has read in an open segment."""
    read = {span: head for span, head in reading.heads.items() if head.coverage.until}
    if not any(rules.span_of(window) in read for window in {p.window for p in reading.partials}):
        return reading.partials
    partials = groupby(reading.partials, key=lambda partial: rules.span_of(partial.window))
    return [p for span, of_span in partials for p in of_span if not is_in_tip(read.get(span), p)]


def is_in_tip(head: Head | None, partial: Partial) -> bool:
    """Whether all that a partial has folded is counted: tips win by the stamp."""
    return head is not None and head.coverage.has_read(partial.partition, partial.stamp)


def is_overtaken(tip: TipKey, newer: Collection[TipKey]) -> bool:
    """Whether a tip does not count, as a partial of its segment has folded more: never both do.

    Args:
        newer: Of the partials that stand in the open segments.
    """
    return tip in newer


def _head_of(heads: Mapping[int, Head], window: int) -> Head | None:
    return heads.get(rules.span_of(window))
