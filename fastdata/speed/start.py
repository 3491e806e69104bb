"""Where a partition is folded from."""

from dataclasses import dataclass

from fastdata.coordinates.segments import segment_of, segment_start

__all__ = ["Start", "edge_after", "edge_before", "plan_start", "vouched_start"]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition is folded from.

    Attributes:
        position: The next offset to fold.
        gap: Offsets `[start, end)` that will not be folded: from what the store has, part of which
            the log no longer holds or is too old, up to the segment edge at which folding goes on.
    """

    position: int
    gap: tuple[int, int] | None = None

    @property
    def durable(self) -> int:
        """Where a crash before the first flush would begin: what it needs must be kept."""
        return self.position if self.gap is None else self.gap[0]


def edge_before(offset: int, size: int) -> int:
    """The first offset of the segment of `offset`."""
    return segment_start(segment_of(offset, size), size)


def edge_after(offset: int, size: int) -> int:
    """The first segment edge at or after `offset`."""
    return edge_before(offset + size - 1, size)


def plan_start(
    committed: int | None, marker: int | None, log_start: int, size: int, first: int = 0
) -> Start:
    """Decide where to fold from, so that no segment is replaced by a part of it.

    What the log does not hold any more, or is too old to be folded, is skipped up to the next
    edge. So does a group that knows
    nothing: the store may have a state of the segment that it would begin in, by another group.

    Args:
        committed: The group's offset; None when it never committed.
        marker: How far the state says it has folded; None when it does not say.
        log_start: The first offset that the log holds, or from where on it is to be folded.
        size: Offsets in a segment.
        first: Offsets before it are nobody's: the epoch begins here.
    """
    log_start = max(log_start, first)
    if committed is None and marker is None:
        begin = edge_after(log_start, size) if log_start > first else first
        return Start(begin, (first, begin) if begin > first else None)
    position = committed if committed is not None else log_start
    position = max(vouched_start(position, marker, size), first)
    if position >= log_start:
        return Start(position)
    # What was committed is in the store, even when the state that it was folded into is lost.
    in_store = committed if committed is not None else marker or 0
    target = edge_after(max(log_start, in_store), size)
    return Start(target, (in_store, target) if in_store < target else None)


def vouched_start(position: int, marker: int | None, size: int) -> int:
    """The offset at or before `position` from where the state can go on.

    A state whose marker is missing or behind has lost what was folded before. To go on in the
    middle of a segment would put a part in the place of the whole, so it is folded again from its
    edge.
    """
    if marker is not None and marker >= position:
        return position
    return edge_before(position if marker is None else marker, size)
