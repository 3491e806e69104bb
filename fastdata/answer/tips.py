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

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

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
    totals: list[Total] = []
    read: list[Total] = []
    for total in reading.totals:
        (read if is_tip(total.dims) else totals).append(total)
    by_window, windows = _HeadsByWindow(heads.values()), {tip.window for tip in read}
    newer = {
        (p.window, p.dims, p.partition)
        for p in partials
        if p.window in windows and p.segment == rules.first_open(by_window[p.window], p.partition)
    }
    folded = {progress.partition: progress.next_offset for progress in reading.progress}
    tips, unknown = [], dict[int, dict[int, int]]()
    for tip in read:
        dims, partition = split_tip(tip.dims)
        if is_overtaken((tip.window, dims, partition), newer):
            span = rules.span_of(tip.window)
            until = heads[span].coverage.until.get(partition, 0)
            unknown.setdefault(span, {})[partition] = max(0, until - folded.get(partition, 0))
        else:
            tips.append(Total(tip.window, dims, tip.state))
    unfolded = [
        p for p in reading.unfolded if p.window in unknown or not is_in_tip(heads.get(p.window), p)
    ]
    hidden = {span: sum(offsets.values()) for span, offsets in unknown.items()}
    return SettledReading(totals, tips, partials, unfolded, hidden)


class _HeadsByWindow(dict[int, Head | None]):
    """By start of a window the head of its span, if it is one of these: many rows have one."""

    def __init__(self, heads: Iterable[Head]) -> None:
        self._by_span = {head.span: head for head in heads}

    def __missing__(self, window: int) -> Head | None:
        head = self[window] = self._by_span.get(rules.span_of(window))
        return head


def _standing(reading: Reading) -> Sequence[Partial]:
    """The partials that no head has read in an open segment."""
    heads = [head for head in reading.heads.values() if head.coverage.until]
    read = _HeadsByWindow(heads)
    if not heads or not any(read[window] for window in {p.window for p in reading.partials}):
        return reading.partials
    return [p for p in reading.partials if not ((head := read[p.window]) and is_in_tip(head, p))]


def is_in_tip(head: Head | None, partial: Partial) -> bool:
    """Whether all that a partial has folded is counted: tips win by the stamp."""
    return head is not None and head.coverage.has_read(partial.partition, partial.stamp)


def is_overtaken(tip: TipKey, newer: Collection[TipKey]) -> bool:
    """Whether a tip does not count, as a partial of its segment has folded more: never both do.

    Args:
        newer: Of the partials that stand in the open segments.
    """
    return tip in newer
