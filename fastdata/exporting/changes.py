"""Which parts of a flat table the store has something new for. Pure.

A table is kept up to date in *parts*: an hour, or a window where that is longer, or what else a
place writes at once. The **mark** of a part is a digest of all that its rows depend on: versions
of its spans, the partials that these do not cover, what was not folded, gaps, and how far the
speed layer has come. So a part whose mark is the one it was written with needs no look at all.
What a replay merely confirms (the same version, at another coverage) has the same mark.
"""

import hashlib
import json
from collections import defaultdict

from fastdata.segments import segment_start
from fastdata.serving.stores import Gap, Head, Survey
from fastdata.windows import HOUR_MS, floor_to

__all__ = ["EARLIEST", "LATEST", "marks_of"]

EARLIEST, LATEST = -62_135_596_800_000, 253_402_214_400_000
"""What is exported: years 1 to 9999, without the last day."""

_Part = list[object]


def marks_of(
    survey: Survey, fresh: int | None, part_ms: int, every_ms: int, segment_size: int
) -> dict[int, str]:
    """The mark of each part of which anything is stored, by its start.

    Args:
        survey: Over whole parts.
        fresh: How far the speed layer has come, ms UTC.
        part_ms: Length of a part, a multiple of an hour and of `every_ms`.
        every_ms: Length of a window.
        segment_size: Of the source.
    """
    held = {floor_to(span, part_ms) for span in survey.heads.keys() | survey.partials.keys()}
    spans: dict[int, list[int]] = defaultdict(list)
    for span in sorted(survey.heads.keys() | survey.partials.keys() | survey.unfolded.keys()):
        spans[floor_to(span, part_ms)].append(span)
    return {
        start: _digest(
            [
                _clip(fresh, start, part_ms, every_ms),
                [_of_span(survey, span) for span in own],
                _gaps(survey, start, start + part_ms, segment_size),
            ]
        )
        for start, own in spans.items()
        if start in held and EARLIEST <= start and start + part_ms <= LATEST
    }


def _of_span(survey: Survey, span: int) -> _Part:
    head = survey.heads.get(span)
    tallies = (survey.partials.get(span), survey.unfolded.get(span))
    counts = [[tally.partials, tally.stamps] if tally else None for tally in tallies]
    return [span, head.version if head else None, *counts]


def _gaps(survey: Survey, start: int, end: int, segment_size: int) -> _Part:
    """What of each gap may be in a part, and how much of it batch has not counted, by span."""
    found: _Part = []
    for gap in survey.gaps:
        earliest, latest = max(gap.earliest, start), min(gap.latest, end)
        if earliest < latest:
            spans = range(floor_to(earliest, HOUR_MS), latest, HOUR_MS)
            missing = [_missing(gap, survey.heads.get(span), segment_size) for span in spans]
            found.append([gap.topic, gap.partition, gap.start, earliest, latest, missing])
    return found


def _missing(gap: Gap, head: Head | None, segment_size: int) -> int:
    counted = segment_start(head.coverage.get(gap.partition), segment_size) if head else 0
    return max(0, gap.end - max(gap.start, counted))


def _clip(fresh: int | None, start: int, part_ms: int, every_ms: int) -> int | None:
    """How far the windows of a part are complete: `exact` depends on it."""
    if fresh is None:
        return None
    return max(start, min(start + part_ms, floor_to(fresh, every_ms)))


def _digest(part: object) -> str:
    return hashlib.blake2b(json.dumps(part).encode(), digest_size=10).hexdigest()
