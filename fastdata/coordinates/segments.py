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
    """Per partition, the first segment that is *not* counted.

    A partition without an entry has 0: nothing of it is counted.
    """

    segments: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Drop zeros and sort, so that coverages that mean the same are equal."""
        counted = {partition: end for partition, end in sorted(self.segments.items()) if end}
        object.__setattr__(self, "segments", counted)

    def get(self, partition: int) -> int:
        """The first segment of `partition` that is not counted; 0 when none is."""
        return self.segments.get(partition, 0)

    def covers(self, partition: int, segment: int) -> bool:
        """Whether `segment` of `partition` is counted."""
        return segment < self.get(partition)

    def is_behind(self, other: "Coverage") -> bool:
        """Whether `other` counts more than this one in any partition."""
        return any(self.get(partition) < end for partition, end in other.segments.items())

    def dump(self) -> str:
        """Canonical JSON: equal coverages have equal text."""
        return json.dumps({str(partition): end for partition, end in self.segments.items()})

    @classmethod
    def load(cls, text: str) -> "Coverage":
        """The coverage that `dump` wrote."""
        return cls({int(partition): end for partition, end in json.loads(text).items()})
