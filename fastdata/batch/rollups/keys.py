"""What an hour of the archive holds, as a key: equal keys are of equal events."""

import hashlib
import json
from collections.abc import Sequence

from fastdata.archive.manifest import ObjectEntry
from fastdata.batch.plan import Hour
from fastdata.coordinates.segments import Coverage, segment_of

__all__ = ["hour_key"]

_DIGITS = 32


def hour_key(
    start: int,
    hour: Hour,
    objects: Sequence[ObjectEntry],
    coverage: Coverage,
    segment_size: int,
) -> str | None:
    """The key of what a coverage counts of an hour; None when it counts nothing of it.

    A function of the archive alone, so all stores that are fed from it agree. An hour keeps its
    key while the segments that a coverage gains hold nothing of it.

    Args:
        start: Of the hour, ms UTC.
        hour: Of the same start, as `index_hours` gave it for `objects`.
        objects: At least all up to `coverage`.
        coverage: Of a head, or of a run.

    Returns:
        32 lower-case hexadecimal digits.
    """
    held = [
        [entry.partition, entry.first, entry.digest, entry.hours[start]]
        for entry in (objects[index] for index in hour.objects)
        if coverage.covers(entry.partition, segment_of(entry.first, segment_size))
    ]
    if not held:
        return None
    return hashlib.sha256(json.dumps([start, sorted(held)]).encode()).hexdigest()[:_DIGITS]
