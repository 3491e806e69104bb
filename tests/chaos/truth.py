"""A reader who asks while worker, archiver and replay are killed, and knows what must be answered.

An answer speaks of what either layer has read, so what it must say follows from the heads and the
progress that it was made of, and from what was sent: there is no need to wait for anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from fastdata import query
from fastdata.coordinates.dimensions import is_tip, split_tip
from fastdata.coordinates.segments import Coverage
from fastdata.store.protocol import Head, Partial, Reading, ServingStore
from tests.chaos.copies import SEGMENT, CopiesStage, Copy, hour_of
from tests.chaos.reading import Reader, ViolationError
from tests.chaos.stream import DIGITS, Group
from tests.support.lab import PARTITIONS

__all__ = ["Truth"]

SAID = ("exact", "gap", "n_lower", "n", "n_upper", "sum_lower", "sum", "sum_upper")

Row = Mapping[str, Any]
Tip = tuple[int, int, int, str, int]  # span, version, window, dimensions, partition


@dataclass
class Seen:
    """How often a reader saw what it is there for.

    Attributes:
        exact: Exact rows, in all answers.
        exact_of_tips: Those that count an event of an open segment.
        doubled: Events that were in a row twice, as no layer could tell.
        hidden: Events that were read and out of sight, as the speed layer had folded no copy.
        shadowed: Events that were out of sight though the speed layer has folded a copy, as batch
            had counted a late one in its place.
        tips: What replays have counted of open segments.
        overtaken: Those in whose place a partial was seen that had folded more.
    """

    exact: int = 0
    exact_of_tips: int = 0
    doubled: int = 0
    hidden: int = 0
    shadowed: int = 0
    tips: set[Tip] = field(default_factory=set)
    overtaken: set[Tip] = field(default_factory=set)

    @property
    def overtaken_versions(self) -> set[int]:
        """The replays whose tips were overtaken."""
        return {version for _, version, *_ in self.overtaken}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How often an event may be in a row.

    Attributes:
        is_read: Whether either layer has read it.
        is_folded: Whether a copy is read that the speed layer folds.
        least: 0 only when it may be out of sight.
        most: 2 only when no layer could tell that two copies are one event.
        is_tip: Whether batch has read it in an open segment alone.
        is_closed: Whether batch has read all copies in closed segments.
    """

    is_read: bool
    is_folded: bool
    least: int
    most: int
    is_tip: bool
    is_closed: bool


class Truth(Reader):
    """Asks the store of a stage; raises at the first violation.

    * An exact row holds each event that either layer has read, once, and nothing else.
    * Any other row holds what the speed layer has folded and what batch has counted of closed
      segments; twice only what has two copies that batch has not counted both. What may be missing
      from it is within its bounds.
    * What a row held all later ones hold, unless a copy of it was left out as late.
    * Neither the progress nor what is counted goes back, and nothing is skipped.

    Attributes:
        sights: What it has seen.
        open: The rows of the last answer that are missing, or not exact.
    """

    stage: CopiesStage

    def __init__(self, stage: CopiesStage) -> None:
        super().__init__(stage)
        self.sights = Seen()
        self.open: dict[Group, Row | None] = {}
        self._counted: dict[tuple[int, int], tuple[int, int]] = {}
        self._held: dict[Group, set[int]] = {}
        self._settled: dict[Group, list[object]] = {}

    async def look(self, store: ServingStore) -> None:
        """Check what one store says."""
        watched = _Watched(store)
        metric = self.stage.metric
        answer = await query(metric, every="1m", by="page", store=cast("ServingStore", watched))
        reading = watched.reading
        self.stage.learn()
        if reading.gaps:
            raise ViolationError(f"something was skipped: {reading.gaps}")
        for one in reading.progress:
            self._check_progress(one.partition, one.next_offset)
        for counted in reading.heads.values():
            self._check_head(counted)
        self._note_tips(reading)
        rows = {
            (round(row["window_start"].timestamp() * 1000), row["page"]): row
            for row in answer.to_pylist()
        }
        for group in self.stage.events.keys() | rows.keys():
            head = reading.heads.get(hour_of(group))
            self._check(group, rows.get(group), head.coverage if head else Coverage())
        self.answers += 1
        self.open = {
            group: row
            for group in self.stage.events
            if (row := rows.get(group)) is None or not row["exact"]
        }

    def _check_progress(self, partition: int, next_offset: int) -> None:
        if next_offset < self.folded.get(partition, 0):
            raise ViolationError(f"the progress of {partition} went back to {next_offset}")
        self.folded[partition] = next_offset

    def _check_head(self, head: Head) -> None:
        for p in range(PARTITIONS):
            counted = head.coverage.get(p), head.coverage.end(p, SEGMENT)
            before = self._counted.get((head.span, p), (0, 0))
            if counted[0] < before[0] or counted[1] < before[1]:
                raise ViolationError(f"{head} counts less of {p} than the one before: {before}")
            self._counted[head.span, p] = counted

    def _check(self, group: Group, row: Row | None, coverage: Coverage) -> None:
        """Check the row of a group, quickly if it has said the same since batch has counted all."""
        events = self.stage.events.get(group, {})
        said = [sum(map(len, events.values())), *(row[name] for name in SAID)] if row else []
        if said and self._settled.get(group) == said:
            self.sights.exact += 1
            return
        bounds = {digit: self._bounds(copies, coverage) for digit, copies in events.items()}
        try:
            self._check_row(group, row, bounds)
        except ViolationError as error:
            read = f"folded {self.folded}, counted {coverage}"
            raise ViolationError(f"{group}: {error}\n{row}\n{dict(events)}\n{read}") from None
        if row and row["exact"] and all(bound.is_closed for bound in bounds.values()):
            self._settled[group] = said

    def _check_row(self, group: Group, row: Row | None, bounds: Mapping[int, Bounds]) -> None:
        total = int(row["sum"]) if row else 0
        times = {digit: total >> 4 * digit & 15 for digit in range(DIGITS)}
        held = {digit for digit, number in times.items() if number}
        if total >> 4 * DIGITS or held - bounds.keys():
            raise ViolationError(f"{total:x} holds what was not sent")
        for digit, bound in bounds.items():
            if not bound.least <= times[digit] <= bound.most:
                raise ViolationError(f"{digit} is {times[digit]} times in {total:x}")
        self._check_held(group, held, bounds)
        if row is None:
            return
        if row["n"] != sum(times.values()):
            raise ViolationError(f"has {row['n']} events, and the sum of others, {total:x}")
        if row["exact"]:
            self._check_exact(row, times, bounds)
        else:
            self._check_bounds(row, times, bounds)

    def _bounds(self, copies: list[Copy], coverage: Coverage) -> Bounds:
        """How often an event may be in a row.

        Batch counts one of the copies that it has read, and first one of a closed segment. The
        speed layer counts all that it has to fold. A copy of an open segment is in sight as what
        the one or the other says of it.
        """
        left = [c for c in copies if not coverage.covers(c.partition, c.segment)]
        is_closed = len(left) < len(copies)
        in_tips = [c for c in left if coverage.has_read(c.partition, c.offset)]
        folded = [c for c in left if c.offset < self.folded.get(c.partition, 0)]
        is_late = any(copy.fate == "late" for copy in left)
        folds = sum(copy.fate == "fold" for copy in left)
        is_folded = any(copy.fate == "fold" for copy in (*in_tips, *folded))
        return Bounds(
            is_read=is_closed or bool(in_tips or folded),
            is_folded=is_folded,
            least=int(is_closed or (is_folded and not is_late)),
            most=max(1, folds + int(is_closed or is_late)),
            is_tip=not is_closed and bool(in_tips),
            is_closed=not left,
        )

    def _check_held(self, group: Group, held: set[int], bounds: Mapping[int, Bounds]) -> None:
        before = self._held.setdefault(group, set())
        for digit in before - held:
            if not any(copy.fate == "late" for copy in self.stage.events[group][digit]):
                raise ViolationError(f"{digit} is gone")
        for digit in bounds.keys() - held:
            self.sights.shadowed += bounds[digit].is_folded
            self.sights.hidden += bounds[digit].is_read and not bounds[digit].is_folded
        before |= held

    def _check_exact(
        self, row: Row, times: Mapping[int, int], bounds: Mapping[int, Bounds]
    ) -> None:
        true = {digit for digit, bound in bounds.items() if bound.is_read}
        if dict.fromkeys(true, 1) != {d: number for d, number in times.items() if number}:
            raise ViolationError(f"exact, and not {sorted(true)}")
        for name in ("n", "sum"):
            if not row[f"{name}_lower"] == row[name] == row[f"{name}_upper"]:
                raise ViolationError("exact within bounds")
        if row["gap"]:
            raise ViolationError("exact in a gap")
        self.sights.exact += 1
        self.sights.exact_of_tips += any(bound.is_tip for bound in bounds.values())

    def _check_bounds(
        self, row: Row, times: Mapping[int, int], bounds: Mapping[int, Bounds]
    ) -> None:
        read = sum(bound.is_read for bound in bounds.values())
        doubles = sum(number > 1 for number in times.values())
        if row["n_upper"] < read or row["n_lower"] > len(bounds) + doubles:
            raise ViolationError(f"{read} events are not within the bounds")
        self.sights.doubled += doubles

    def _note_tips(self, reading: Reading) -> None:
        newer = {
            (p.window, p.dims, p.partition)
            for p in reading.partials
            if _is_newer(p, reading.heads.get(p.window - p.window % 3_600_000))
        }
        for total in reading.totals:
            if is_tip(total.dims):
                dims, partition = split_tip(total.dims)
                span = total.window - total.window % 3_600_000
                tip = (span, reading.heads[span].version, total.window, dims, partition)
                self.sights.tips.add(tip)
                if tip[2:] in newer:
                    self.sights.overtaken.add(tip)

    def check_complete(self) -> None:
        """Check that the last answer has everything that was sent, and is exact."""
        if self.folded != {p: len(log) for p, log in self.stage.log.items()}:
            raise ViolationError(f"only {self.folded} is folded")
        if self.open:
            example = next(iter(self.open.items()))
            raise ViolationError(f"{len(self.open)} rows are missing or not exact, as {example}")
        sent = {group: set(events) for group, events in self.stage.events.items()}
        if sent != self._held:
            raise ViolationError("an event was lost")


def _is_newer(partial: Partial, head: Head | None) -> bool:
    """Whether a partial of the segment that a tip is of has folded an event that it has not."""
    if head is None or partial.segment != head.coverage.get(partial.partition):
        return False
    return not head.coverage.has_read(partial.partition, partial.stamp)


class _Watched:
    """A store that keeps the reading that an answer is made of."""

    reading: Reading

    def __init__(self, store: ServingStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def read(self, *args: Any, **kwargs: Any) -> Reading:
        self.reading = await self._store.read(*args, **kwargs)
        return self.reading
