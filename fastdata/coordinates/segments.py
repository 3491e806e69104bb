"""Segments: runs of offsets, the unit that both layers split by."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Coverage", "segment_of", "segment_start"]


def segment_of(offset: int, size: int) -> int:
    """The segment that holds `offset`, of segments of `size` offsets."""
    return offset // size


def segment_start(segment: int, size: int) -> int:
    """The first offset of a segment of `size` offsets."""
    return segment * size


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a version of a span has counted: whole segments, and of an open one what there was.

    Attributes:
        segments: Per partition, the first segment that is *not* closed and counted; without an
            entry 0, nothing of it is.
        until: Per partition, the offset up to which (exclusive) that next segment is counted as
            well, as tips; without an entry nothing of it is.
        has_tips: Whether the version has any tip. Versions of one run differ in it alone.
    """

    segments: Mapping[int, int] = field(default_factory=dict)
    until: Mapping[int, int] = field(default_factory=dict)
    has_tips: bool = False

    def __post_init__(self) -> None:
        """Drop zeros and sort, so that coverages that mean the same are equal."""
        for name in ("segments", "until"):
            ends = {partition: end for partition, end in sorted(getattr(self, name).items()) if end}
            object.__setattr__(self, name, ends)

    def get(self, partition: int) -> int:
        """The first segment of `partition` that is not closed and counted; 0 when none is."""
        return self.segments.get(partition, 0)

    def covers(self, partition: int, segment: int) -> bool:
        """Whether `segment` of `partition` is closed and counted."""
        return segment < self.get(partition)

    def has_read(self, partition: int, offset: int) -> bool:
        """Whether `offset`, of a segment that it does not cover, is counted as a tip."""
        return offset < self.until.get(partition, 0)

    def end(self, partition: int, segment_size: int) -> int:
        """The first offset of `partition` that is not counted, whether in totals or in tips."""
        closed = segment_start(self.get(partition), segment_size)
        return max(closed, self.until.get(partition, 0))

    def is_behind(self, other: "Coverage") -> bool:
        """Whether `other` counts more than this one in any partition."""
        return any(
            (self.get(p), self.until.get(p, 0)) < (other.get(p), other.until.get(p, 0))
            for p in other.segments.keys() | other.until.keys()
        )

    def closed(self) -> "Coverage":
        """The same without what is counted of open segments."""
        return Coverage(self.segments)

    def dump(self) -> str:
        """Canonical JSON: equal coverages have equal text.

        The segments stand at its top, by partition: there the stores look for them.
        """
        body: dict[str, object] = {str(p): segment for p, segment in self.segments.items()}
        if self.until:
            body["until"] = {str(p): offset for p, offset in self.until.items()}
        if self.has_tips:
            body["tips"] = True
        return json.dumps(body)

    @classmethod
    def load(cls, text: str) -> "Coverage":
        """The coverage that `dump` wrote."""
        body = json.loads(text)
        until, has_tips = body.pop("until", {}), body.pop("tips", False)
        return cls(_by_partition(body), _by_partition(until), has_tips)


def _by_partition(ends: Mapping[str, int]) -> dict[int, int]:
    return {int(partition): end for partition, end in ends.items()}
