"""What a replay has to do: a pure function of the archive, of the heads and of the range."""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self, get_args

from fastdata.archive.manifest import ObjectEntry
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, ceil_to, floor_to, to_datetime
from fastdata.coordinates.segments import Coverage, segment_of
from fastdata.errors import ReplayError
from fastdata.store.protocol import Head

__all__ = [
    "Contents",
    "Group",
    "Hour",
    "Plan",
    "choose_spans",
    "index_hours",
    "make_groups",
    "plan_spans",
]

# Some eleven years of hours. In a longer range, days without events get no heads; but between two
# days with events that are at most a year apart they do, if these are not too many.
_MAX_SPANS = 100_000
_SILENCE_MS = 366 * DAY_MS
_KEY_DIGITS = 32

_Verdict = Literal["recompute", "relabel", "empty", "ahead", "unchanged"]


@dataclass(slots=True)
class Hour:
    """What the archive holds of one hour of event time.

    Attributes:
        ends: Per partition, where the last object ends that has an event of it, exclusive.
        objects: Which objects hold it, by their index.
    """

    events: int
    ends: dict[int, int]
    objects: list[int]

    def is_new(self, before: Coverage, after: Coverage, segment_size: int) -> bool:
        """Whether a version at `after` has other totals or tips of it than one at `before`.

        Events of an open segment that were read before are new in the totals once it is closed.
        """
        for partition, end in self.ends.items():
            segment = segment_of(end - 1, segment_size)
            is_tip = before.has_read(partition, end - 1) and not after.covers(partition, segment)
            if not before.covers(partition, segment) and not is_tip:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Contents:
    """What the archive holds of a source.

    Attributes:
        coverage: Where it ends.
        objects: Of events, all up to there: first those of closed segments, then those of open
            ones, each in order of partition and first offset.
        hours: What these hold, by the start of the hour.
    """

    coverage: Coverage
    objects: Sequence[ObjectEntry]
    segment_size: int
    hours: Mapping[int, Hour]

    @classmethod
    def of(cls, coverage: Coverage, objects: Sequence[ObjectEntry], segment_size: int) -> Self:
        """The contents with their hours.

        Args:
            objects: In order of partition and first offset.
        """

        def is_open(entry: ObjectEntry) -> bool:
            return not coverage.covers(entry.partition, segment_of(entry.first, segment_size))

        ordered = sorted(objects, key=is_open)
        return cls(coverage, ordered, segment_size, index_hours(ordered))

    def hour_key(self, start: int, coverage: Coverage) -> str | None:
        """The key of what a coverage closes of an hour: equal keys are of equal totals.

        A function of the archive alone, so all stores that are fed from it agree. An hour keeps its
        key while the segments that a coverage gains hold nothing of it.

        Args:
            start: Of the hour, ms UTC.
            coverage: Of a head, or of a run; at most that of the contents.

        Returns:
            32 lower-case hexadecimal digits; None when nothing of the hour is in totals.
        """
        counted = [
            [entry.partition, entry.first, entry.digest, entry.hours[start]]
            for entry, segment in self._objects_of(start)
            if coverage.covers(entry.partition, segment)
        ]
        if not counted:
            return None
        text = json.dumps([start, sorted(counted)])
        return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]

    def uncounted_events(self, start: int, coverage: Coverage) -> int:
        """How many events of an hour a coverage does not count, repeats included.

        Args:
            start: Of the hour, ms UTC.
        """
        return sum(
            entry.hours[start]
            for entry, segment in self._objects_of(start)
            if not coverage.covers(entry.partition, segment)
            and not coverage.has_read(entry.partition, entry.next - 1)
        )

    def _objects_of(self, start: int) -> Iterator[tuple[ObjectEntry, int]]:
        """The objects that hold events of an hour, and their segments."""
        hour = self.hours.get(start)
        for entry in (self.objects[index] for index in hour.objects) if hour else ():
            yield entry, segment_of(entry.first, self.segment_size)


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of each span; all that change end at one coverage.

    Attributes:
        heads: What readers had when it was made.
        recompute: Spans with events that their head has not counted; when forced, all with events.
        relabel: Spans of which the segments after their head's coverage hold nothing.
        empty: Spans without any event, which get a head that says so.
        ahead: Spans whose readers have a newer coverage; they are left alone.
        keep: Of the others that are not recomputed, those whose states are to be kept, as they
            are missing.
    """

    coverage: Coverage
    heads: Mapping[int, Head]
    recompute: tuple[int, ...]
    relabel: tuple[int, ...]
    empty: tuple[int, ...]
    ahead: tuple[int, ...]
    keep: frozenset[int]

    @property
    def computed(self) -> frozenset[int]:
        """What is to be folded from the archive."""
        return self.keep.union(self.recompute)

    @property
    def moves(self) -> int:
        """How many spans readers would see change, if only in their coverage."""
        return len(self.recompute) + len(self.relabel) + len(self.empty)


@dataclass(frozen=True, slots=True)
class Group:
    """Spans that are computed together, so that an object is read once for many of them.

    Attributes:
        spans: How many events the manifest counts, by span.
        objects: What to read, by index, in order of partition and offset.
    """

    spans: Mapping[int, int]
    objects: Sequence[int]

    @property
    def events(self) -> int:
        """How many events the spans hold, repeats included."""
        return sum(self.spans.values())


def index_hours(objects: Iterable[ObjectEntry]) -> dict[int, Hour]:
    """What objects hold, by the start of the hour; `Hour.objects` are their indexes.

    Args:
        objects: Those of a partition in order of first offset.
    """
    hours: dict[int, Hour] = {}
    for index, entry in enumerate(objects):
        for start, events in entry.hours.items():
            hour = hours.setdefault(start, Hour(0, {}, []))
            hour.events += events
            hour.ends[entry.partition] = entry.next
            hour.objects.append(index)
    return hours


def choose_spans(
    hours: Mapping[int, Hour], start: int | None, end: int | None, dense_until: int | None = None
) -> Sequence[int]:
    """The spans of a range, also those without events: a head is what makes an answer exact.

    There are none while nothing is archived. In a range that is too long for a head an hour, as one
    to the year 9999 for an event whose time is a mistake, a year without events has none.

    Args:
        hours: What is archived.
        start: ms UTC, widened to the hour; None for the first day that has events.
        end: ms UTC, exclusive, widened to the hour; None for the last day that has events.
        dense_until: ms UTC, of a schedule: of later hours only those with events, and none where
            nothing is archived from `start` on. None: all.

    Raises:
        ReplayError: The range is empty.
    """
    days = sorted({floor_to(hour, DAY_MS) for hour in hours})
    if not days:
        return ()
    first = days[0] if start is None else floor_to(start, HOUR_MS)
    last = days[-1] + DAY_MS if end is None else ceil_to(end, HOUR_MS)
    if dense_until is not None and end is None:
        if first >= last:
            return ()
        first = max(first, days[0])
    if first >= last:
        raise ReplayError(
            f"there is nothing from {to_datetime(first)} to {to_datetime(last)}: "
            "the end must be after the start (without one it is the archive's)"
        )
    edge = last if dense_until is None else min(max(first, ceil_to(dense_until, HOUR_MS)), last)
    later = sorted(hour for hour in hours if edge <= hour < last)
    spans = range(first, edge, HOUR_MS)
    if len(spans) <= _MAX_SPANS:
        return [*spans, *later] if later else spans
    every_hour = (hour for day in _near(days) for hour in range(day, day + DAY_MS, HOUR_MS))
    return [*(hour for hour in every_hour if hour in spans), *later]


def _near(days: Sequence[int]) -> Sequence[int]:
    """The days, and those between two that are at most a year apart, unless they are too many."""
    near = list(days[:1])
    for before, day in pairwise(days):
        first = before + DAY_MS if day - before <= _SILENCE_MS else day
        near += range(first, day + DAY_MS, DAY_MS)
    return near if len(near) * DAY_MS // HOUR_MS <= _MAX_SPANS else days


def plan_spans(
    spans: Iterable[int],
    contents: Contents,
    heads: Mapping[int, Head],
    *,
    force: bool = False,
    forced_version: int | None = None,
    missing: Container[int] = (),
) -> Plan:
    """Decide what becomes of each span, so that all of them end at the coverage of the contents.

    Args:
        heads: What readers have.
        force: Compute anew what is up to date, too; never what is ahead.
        forced_version: With `force`, the version that the run has given to spans already.
        missing: Spans with events of which there are no states that shall be kept.
    """
    coverage, hours = contents.coverage, contents.hours
    spans_by: dict[_Verdict, list[int]] = {verdict: [] for verdict in get_args(_Verdict)}
    for span in spans:
        head, hour = heads.get(span), hours.get(span)
        if head is None or (force and not coverage.is_behind(head.coverage)):
            is_done = head is not None and head.version == forced_version
            verdict: _Verdict = "unchanged" if is_done else "recompute" if hour else "empty"
        else:
            verdict = _judge(head, hour, contents)
        spans_by[verdict].append(span)
    recompute, relabel, empty, ahead, unchanged = map(tuple, spans_by.values())
    keep = frozenset(span for span in (*relabel, *unchanged) if span in missing)
    return Plan(coverage, heads, recompute, relabel, empty, ahead, keep)


def _judge(head: Head, hour: Hour | None, contents: Contents) -> _Verdict:
    coverage, size = contents.coverage, contents.segment_size
    if coverage.is_behind(head.coverage):
        return "ahead"
    if not head.coverage.is_behind(coverage):
        return "unchanged"
    return "recompute" if hour and hour.is_new(head.coverage, coverage, size) else "relabel"


def make_groups(spans: Iterable[int], hours: Mapping[int, Hour], max_events: int) -> list[Group]:
    """Neighboring spans, as many as stay below `max_events` events; a span is never split."""
    events_by_span: list[dict[int, int]] = []
    total = 0
    for span in sorted(spans):
        events = hours[span].events
        if not events_by_span or total + events > max_events:
            events_by_span.append({})
            total = 0
        events_by_span[-1][span] = events
        total += events
    return [
        Group(events, sorted({index for span in events for index in hours[span].objects}))
        for events in events_by_span
    ]
