"""What is known of each metric: looked up once for all who ask, and no more often than need be."""

import hashlib
import json
import time
from bisect import bisect_left
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, cast

from fastdata.answer.merge import fresh_until, read_until
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, floor_to
from fastdata.declare.metric import Metric
from fastdata.declare.unfolded import unfolded_of
from fastdata.exports.marks import MarkParts, span_marks
from fastdata.exports.parts import EARLIEST, LATEST
from fastdata.store import rules
from fastdata.store.protocol import Run, ServingStore, Survey
from fastdata.store.rollups import kept_of, rollup_id
from fastdata.web.readers import Deadline, Readers
from fastdata.web.recent import Recent

__all__ = ["Look", "Looks"]


@dataclass(frozen=True, slots=True)
class Look:
    """What the store had of a metric at one moment.

    Attributes:
        hours: By start of each hour of which anything is stored, ms UTC: all that its rows depend
            on.
        held: From the first of these to the end of the last one; None when there is none.
        replayed: The same, of those that batch has counted.
        fresh_until: How far in event time the speed layer has come, ms UTC.
        read_until: Up to when the log is read, by its own time, ms UTC.
        run: The newest one of batch.
        taken_ns: When it was, as of a clock that only goes on: no other one of the metric has it.
    """

    hours: dict[int, MarkParts]
    held: tuple[int, int] | None
    replayed: tuple[int, int] | None
    fresh_until: int | None
    read_until: int | None
    run: Run | None
    taken_ns: int
    _counted: AbstractSet[int]  # hours of which batch has counted all that was folded
    _starts: Sequence[int]
    _whole: MarkParts  # what rows of any hour depend on
    _marks: dict[tuple[int, int], str] = field(default_factory=dict)

    @classmethod
    async def at(cls, metric: Metric, store: ServingStore) -> "Look":
        """Look now.

        Raises:
            StoreError: The store failed.
        """
        source = metric.source
        unfolded = unfolded_of(source).id
        survey = await store.survey(metric.id, unfolded, source.topic, EARLIEST, LATEST)
        ready = []
        for kept in kept_of(metric.rollups):
            id = rollup_id(metric.id, kept.grain, metric.calendar.zone, kept.is_small)
            heads = await store.heads(id, EARLIEST, LATEST)
            ready.append([(head.span, head.version) for head in heads.values()])
        run = await store.last_run(metric.id)
        hours = span_marks(survey, source.segment_size)
        held = sorted(survey.heads.keys() | survey.partials.keys())
        gaps = [(gap.topic, gap.partition, gap.start, gap.end) for gap in survey.gaps]
        return cls(
            hours=hours,
            held=(held[0], held[-1] + HOUR_MS) if held else None,
            replayed=(min(survey.heads), max(survey.heads) + HOUR_MS) if survey.heads else None,
            fresh_until=fresh_until(survey),
            read_until=read_until(survey),
            run=run,
            taken_ns=time.monotonic_ns(),
            _counted=_counted(survey, source.segment_size),
            _starts=list(hours),
            _whole=[gaps, ready],
        )

    @property
    def unreplayed(self) -> list[tuple[int, int]]:
        """The stretches of hours of which a replay has something to count, ms UTC."""
        stretches: list[tuple[int, int]] = []
        for hour, (_, version, partials, unfolded, gaps) in self.hours.items():
            if hour in self._counted:
                continue
            is_counted = version is not None and not partials and not unfolded
            if is_counted and not any(missing for *_, [missing] in cast("list[Any]", gaps)):
                continue
            if stretches and stretches[-1][1] == hour:
                stretches[-1] = stretches[-1][0], hour + HOUR_MS
            else:
                stretches.append((hour, hour + HOUR_MS))
        return stretches

    def mark(self, start: int, end: int) -> str:
        """A digest of all that an answer over `[start, end)` is made of but how far it is read.

        While it is the same, only `fresh_until` and `read_until` of the rows move on.

        Args:
            start: ms UTC, where an hour begins; `end` likewise, exclusive.
        """
        if (mark := self._marks.get((start, end))) is None:
            within = self._starts[bisect_left(self._starts, start) : bisect_left(self._starts, end)]
            hours = [self.hours[hour] for hour in within]
            fresh = None if self.fresh_until is None else min(self.fresh_until, end)
            ends = None if fresh is None else floor_to(fresh, MINUTE_MS)
            content = json.dumps([hours, ends, self.held, self._whole]).encode()
            mark = hashlib.blake2b(content, digest_size=12).hexdigest()
            self._marks[start, end] = mark
        return mark


def _counted(survey: Survey, segment_size: int) -> frozenset[int]:
    """The hours whose totals, or tips, count all that was folded of any partition."""
    folded = {report.partition: report.next_offset for report in rules.living(survey.progress)}
    return frozenset(
        span
        for span, head in survey.heads.items()
        if all(head.coverage.end(p, segment_size) >= end for p, end in folded.items())
    )


class Looks:
    """The last look at each metric, for all who ask.

    Args:
        readers: In which to look.
        timeout_s: How long it may take.
    """

    def __init__(self, readers: Readers, timeout_s: float) -> None:
        self._readers = readers
        self._timeout_s = timeout_s
        self._recent: dict[str, Recent[Look]] = {}

    async def at(self, metric: Metric) -> Look:
        """What is known of the metric; about as old as `Recent` says at most.

        Raises:
            BusyError: It took too long.
            StoreError: The store failed.
        """

        async def timed(store: ServingStore, _deadline: Deadline) -> tuple[Look, float]:
            began = time.monotonic()
            return await Look.at(metric, store), time.monotonic() - began

        async def look() -> tuple[Look, float]:
            return await self._readers.run(timed, self._timeout_s)

        return await self._recent.setdefault(metric.id, Recent()).get(look)
