"""Which parts of a flat table the store has something new for. Pure.

A table is kept up to date in *parts*: an hour, or a window where that is longer, or what else a
place writes at once. The **mark** of a part is a digest of all that its rows depend on: versions
of its spans, the partials that these do not cover, what was not folded, gaps, and how far the
speed layer has come. So a part whose mark is the one it was written with needs no look at all.
What a replay merely confirms (the same version, at another coverage) has the same mark.
"""

import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping

from fastdata.coordinates.instants import HOUR_MS, floor_to
from fastdata.exports.parts import Part, Parts
from fastdata.store.protocol import Gap, Head, Survey
from fastdata.store.rollups import span_of_window

__all__ = ["MarkParts", "marks_of", "span_marks"]

MarkParts = list[object]
"""What a mark is a digest of."""


def span_marks(survey: Survey, segment_size: int) -> dict[int, MarkParts]:
    """By start of each hour of which anything is stored, ms UTC, what the rows of it depend on.

    Args:
        survey: Over these hours.
        segment_size: Of the source.
    """
    spans = survey.heads.keys() | survey.partials.keys() | survey.unfolded.keys()
    return {
        span: [*_of_span(survey, span), _gaps(survey, span, span + HOUR_MS, segment_size)]
        for span in sorted(spans)
    }


def marks_of(
    survey: Survey,
    ready: Mapping[int, Head],
    fresh: int | None,
    parts: Parts,
    start: int,
    end: int,
    segment_size: int,
) -> dict[int, str]:
    """The mark of each part of `[start, end)` of which anything is stored, by its start.

    Args:
        survey: Over all windows of these parts.
        ready: The heads of the windows that batch keeps ready, by span; they may be more exact than
            what their hours merge to.
        fresh: How far the speed layer has come, ms UTC.
        parts: How the table is cut.
        start: ms UTC, where a part begins.
        end: Exclusive, where one ends.
        segment_size: Of the source.
    """
    held = sorted(survey.heads.keys() | survey.partials.keys())
    spans = sorted(survey.heads.keys() | survey.partials.keys() | survey.unfolded.keys())
    tallies = [_of_span(survey, span) for span in spans]
    latest = max((progress.watermark for progress in survey.progress), default=start)
    marks = {}
    for part in parts.near(held):
        if part.start < start or end < part.end or not _has_rows(part, held, latest):
            continue
        clip = None if fresh is None else parts.clip(part, fresh)
        gaps = _gaps(survey, part.begins, part.end, segment_size)
        first, after = _within(spans, part.begins, part.end)
        whole = ready.get(span_of_window(part.end))
        more = [] if whole is None else [whole.version]
        content = json.dumps([clip, tallies[first:after], gaps, *more]).encode()
        marks[part.start] = hashlib.blake2b(content, digest_size=10).hexdigest()
    return marks


def _has_rows(part: Part, held: list[int], latest: int) -> bool:
    """Whether it may have some; of rolling days, those that have not come yet have none."""
    first, end = _within(held, part.start if part.start > latest else part.begins, part.end)
    return first < end


def _within(spans: list[int], start: int, end: int) -> tuple[int, int]:
    """Where the hours are that `[start, end)` touches."""
    return bisect_left(spans, floor_to(start, HOUR_MS)), bisect_left(spans, end)


def _of_span(survey: Survey, span: int) -> MarkParts:
    head = survey.heads.get(span)
    tallies = (survey.partials.get(span), survey.unfolded.get(span))
    counts = [[tally.partials, tally.stamps] if tally else None for tally in tallies]
    return [span, head.version if head else None, *counts]


def _gaps(survey: Survey, start: int, end: int, segment_size: int) -> MarkParts:
    """Of each gap how much of it batch has not counted, by span of a part."""
    heads = [survey.heads.get(span) for span in range(floor_to(start, HOUR_MS), end, HOUR_MS)]
    return [
        [gap.topic, gap.partition, gap.start, [_missing(gap, head, segment_size) for head in heads]]
        for gap in survey.gaps
    ]


def _missing(gap: Gap, head: Head | None, segment_size: int) -> int:
    counted = head.coverage.end(gap.partition, segment_size) if head else 0
    return max(0, gap.end - max(gap.start, counted))
