"""What a serving store promises. One contract suite runs on every implementation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from fastdata.coordinates.segments import Coverage
from fastdata.store.hours import Hours
from fastdata.store.pace import Pace

__all__ = [
    "EVER",
    "NEVER",
    "Flip",
    "Gap",
    "Head",
    "Partial",
    "Progress",
    "Reading",
    "Run",
    "ServingStore",
    "SpanTotals",
    "Survey",
    "Tally",
    "Total",
    "TotalRow",
]


NEVER = -(1 << 62)
"""A moment before all others, ms UTC: that of what has not been yet."""

EVER = (-(1 << 52), 1 << 52)
"""A range of all moments, ms UTC."""


class Partial(NamedTuple):
    """The state of one (metric, window, dimensions) over one segment, from the speed layer.

    Attributes:
        metric: Id of the metric's definition.
        window: Start of the window, ms UTC.
        dims: Canonical JSON list of the dimension values.
        stamp: The last offset that is folded in.
        state: An envelope, at most 1 MiB.
    """

    metric: str
    window: int
    dims: str
    partition: int
    segment: int
    stamp: int
    state: bytes


class Total(NamedTuple):
    """The exact state of one (window, dimensions) of a span, at most 1 MiB."""

    window: int
    dims: str
    state: bytes


TotalRow = tuple[int, str, bytes]
"""What a `Total` is, without its name: a replay writes very many."""
SpanTotals = Mapping[int, Sequence[TotalRow]]
"""Totals by the start of their span, ms UTC."""


@dataclass(frozen=True, slots=True)
class Head:
    """What readers of one span see: the pointer to a version of its totals.

    Attributes:
        span: Start of the span, ms UTC.
        version: The version of the rows; a re-labelled span keeps its rows. It is the number of a
            run, or of a ready window the mark of what it was made of, of 63 bits.
        coverage: What that version has counted.
        previous: Version and coverage of the head before, kept to undo; None at first.
    """

    span: int
    version: int
    coverage: Coverage
    previous: tuple[int, Coverage] | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """One move of a pointer.

    Attributes:
        span: Start of the span, ms UTC.
        expected: Version *and* coverage of the head that was planned on; None for no head.
        version: The rows to point to. The expected head's own version re-labels it.
        rows: How many totals that version must hold, checked in the same transaction.
            None when re-labelling.
    """

    span: int
    expected: tuple[int, Coverage] | None
    version: int
    coverage: Coverage
    rows: int | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets `[start, end)` of one partition that the speed layer skipped.

    Of what times their events are nobody knows: only clocks could tell, and clocks are wrong.

    Attributes:
        topic: The topic; or the id of a metric, when only that metric has not folded them
            because it was declared later.
    """

    topic: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the speed layer has folded one partition.

    Attributes:
        next_offset: The next offset to fold; all before it are in the store.
        watermark: The largest event time seen, ms UTC.
        updated: When this was written, ms UTC of the worker's clock; `NEVER` of who has just begun
            and does not know `read_until` yet, so that at this offset any other report stands.
        read_until: All that was written to the partition before is folded, ms UTC: the moment when
            its end was seen, if all up to there is; else the timestamp of the last record that is,
            or the last such moment, whichever is later. `NEVER` when it is not known.
        is_at_end: Whether it is the moment when the end was seen.
        epoch: Which log the partition is of, as `str(LogIdentity)`; empty when that is not known.
    """

    topic: str
    partition: int
    next_offset: int
    watermark: int
    updated: int
    read_until: int = NEVER
    is_at_end: bool = False
    epoch: str = ""

    @property
    def fresh_until(self) -> int:
        """How far in event time the partition is folded, ms UTC.

        What is read to its end is fresh, also when no event came for a day.
        """
        return self.read_until if self.is_at_end else self.watermark


@dataclass(frozen=True, slots=True)
class Run:
    """A run of batch over one metric: a range of spans at one coverage.

    Attributes:
        number: Grows with each run of the store; also the version of the rows it writes.
        is_done: Whether it is over, because it has published its spans or another one does: rows
            that it has not published may be dropped.
    """

    number: int
    metric: str
    start: int
    end: int
    coverage: Coverage
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One consistent view of a metric over `[start, end)`: all of it held at one moment.

    Totals, and the partials that they have not counted, only add up when the same heads divided
    them; so a store reads in one snapshot, or reads again when a head has moved meanwhile.

    Attributes:
        heads: Per span start.
        totals: Only of the versions that the heads point to.
        partials: Only those whose segment the head of their own span does not cover.
        unfolded: The same for the source's system metric, judged by the heads of *this* metric.
        gaps: All of the topic and of the metric.
        progress: All of the topic.
    """

    heads: dict[int, Head]
    totals: Sequence[Total]
    partials: Sequence[Partial]
    unfolded: Sequence[Partial]
    gaps: Sequence[Gap]
    progress: Sequence[Progress]


@dataclass(frozen=True, slots=True)
class Tally:
    """What tells whether the partials of a span have changed since they were last counted.

    While the head of the span has one version, the partials that it does not cover only become
    more, or get larger stamps: another set of them is another tally.

    Attributes:
        partials: How many there are.
        stamps: The sum of their stamps; a store may leave out multiples of 2**64.
    """

    partials: int
    stamps: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What a `Reading` of the same range would be made of, without any state.

    Attributes:
        partials: A tally of those that a reading has, per span start; `unfolded` likewise.
    """

    heads: dict[int, Head]
    partials: dict[int, Tally]
    unfolded: dict[int, Tally]
    gaps: Sequence[Gap]
    progress: Sequence[Progress]


class ServingStore(Protocol):
    """Partials and totals, kept apart, read together.

    Every method raises `StoreUnavailableError` when the store did not do it, and
    `CommitUnknownError` when it cannot tell. Either may be answered by calling again:
    every method is idempotent, but for what `open_run` and `undo` say. Safe for concurrent use
    by many processes.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def upsert(
        self,
        partials: Sequence[Partial],
        progress: Sequence[Progress],
        expected: Sequence[Progress] = (),
    ) -> None:
        """Write partials and progress.

        Atomic per row and durable when it returns; progress never before the partials that it
        tells of. Of two partials of one (metric, window, dims, partition, segment) the larger
        stamp wins, whatever the order of arrival: it has folded all that the other one has. Of
        two progresses of one (topic, partition) the larger `next_offset` wins, and of equal ones
        the later `updated`. The caller may repeat a key.

        Args:
            expected: What the store has told of these partitions, or was told: it must have that
                still, or more.

        Raises:
            StoreError: A state is larger than 1 MiB; nothing was written.
            StoreLostError: It has less than it is known to have; no progress was written.
        """

    async def record_gap(self, gap: Gap) -> None:
        """Remember a gap; of one (topic, partition, start) the wider one, as `rules.merge_gaps`."""

    async def read(
        self,
        metric: str,
        unfolded: str,
        topic: str,
        start: int,
        end: int,
        totals: Sequence[tuple[int, int]] | None = None,
        dims: Sequence[str] = ("",),
        hours: Hours | None = None,
        windows: tuple[int, int] | None = None,
    ) -> Reading:
        """Everything that an answer over the windows in `[start, end)` is made of.

        One consistent snapshot: no reading mixes two versions of a span, and none misses a
        partial that a version it shows does not cover.

        Args:
            metric: Id of the metric's definition.
            unfolded: Id of the source's system metric, which is read from `rules.first_timed` on.
            start: ms UTC, the start of a span; `end` likewise, exclusive.
            totals: The intervals `[start, end)` of spans whose totals are wanted, in order and
                apart; the reading has no others. None for all.
            dims: Totals and partials of the metric whose dimensions begin with none of these texts
                are not needed, and not in the reading. None begins with another one.
            hours: Where totals of hours, with the start of theirs, replace those of minutes.
            windows: The interval `[start, end)` of the windows whose partials are needed: those of
                other windows may be left out. None for all.
        """

    async def survey(self, metric: str, unfolded: str, topic: str, start: int, end: int) -> Survey:
        """What `read` would read, so that a caller finds the spans that have changed.

        No state is fetched; the work is a row for each head and a look at each partial. Heads and
        tallies are of one moment, as in a reading.
        """

    async def heads(self, metric: str, start: int, end: int) -> dict[int, Head]:
        """The heads of the spans in `[start, end)`, by span start."""

    async def open_run(self, metric: str, start: int, end: int, coverage: Coverage) -> Run:
        """Record a new run and give it a number that no other run has.

        Called again after a `CommitUnknownError`, it may leave a run that nobody uses.
        """

    async def close_run(self, number: int) -> None:
        """Record that the run is over: it has published its spans, or another one does."""

    async def last_run(self, metric: str) -> Run | None:
        """The newest run of the metric, done or not."""

    async def replayed(self, prefix: str) -> Sequence[str]:
        """The ids of all metrics with a run that begin with `prefix`: first that of the newest run.

        The work is a look at each run.
        """

    async def write_totals(
        self,
        metric: str,
        version: int,
        spans: SpanTotals,
        pace: Pace | None = None,
        hours: SpanTotals | None = None,
    ) -> dict[int, int]:
        """Write all totals of some spans under a version that no reader sees yet.

        Replaces whatever an interrupted attempt left of these spans under the same version.
        In transactions of some 5,000 rows at most, so that other writers do not wait long; what
        is written of several is of no use, and of no harm, until `publish` counts all of it.

        Args:
            spans: Of two totals of one window and dimensions the last counts.
            pace: Waited for before the rows of each write.
            hours: Of some of the spans, totals of the whole hour: of no tips. See `Hours`.

        Returns:
            How many rows the version has of each span, of minutes and of the hour.

        Raises:
            SpanConflictError: The head of one of the spans, or the one before it, is of that
                version already. Its rows are as they were; those of others may be written.
            StoreError: A state is larger than 1 MiB; nothing was written.
        """

    async def publish(self, metric: str, flips: Sequence[Flip]) -> None:
        """Move the pointers of some spans; the head before becomes `previous`.

        Atomic: all of them or none. A flip whose head already has that version and
        coverage is done already.

        Raises:
            SpanConflictError: A head is not the expected one, or the rows are not as many
                as said; nothing was changed.
        """

    async def undo(self, metric: str, span: int) -> bool:
        """Make the head before the head again; False when there is none. Atomic.

        After a re-label that is the same version at an older coverage. Called again after a
        `CommitUnknownError`, it gives False when it was done.
        """

    async def clean_up(self, metric: str, start: int, end: int, unfolded: str = "") -> int:
        """Drop what no version needs any more in the spans of `[start, end)`.

        That is: partials (of the metric, and of `unfolded` from `rules.first_timed` on, when given)
        that the *previous* head of their own span covers, and totals of versions that are neither
        the head's nor the previous one's and belong to no run that is still open.

        Returns:
            How many partials were dropped.
        """

    async def progress(self, topic: str) -> Sequence[Progress]:
        """How far each partition of the topic is folded."""

    async def gaps(self, topic: str) -> Sequence[Gap]:
        """All gaps of the topic, or of the metric, when `topic` is the id of one."""

    async def partials(self, metric: str, start: int, end: int) -> Sequence[Partial]:
        """All stored partials of the windows in `[start, end)`, covered or not."""

    async def has_partials(self, metric: str) -> bool:
        """Whether there is any partial of the metric, of whatever window; reads no state."""
