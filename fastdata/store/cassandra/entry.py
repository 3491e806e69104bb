"""What the Cassandra store knows of one span: one cell, changed only by compare-and-set.

Which version readers see, which one is behind it, and whose rows are (or are being) written:
all of it is decided in this cell, so that publishing, undoing and dropping cannot pass each other.
An *attempt* is one call of `write_totals`; its rows lie in partitions of its own, so two processes
that resume one version cannot mix theirs, and nothing is ever written over.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from fastdata.errors import StoreUnavailableError
from fastdata.store import rules
from fastdata.store.protocol import Head

__all__ = ["Attempt", "SpanEntry", "heads_of", "rows_of"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The totals that one call of `write_totals` writes for one span.

    Attributes:
        id: A UUID.
        parts: How many partitions hold its rows.
        rows: How many they are; None until all of them are written.
        is_dropped: Its rows are being deleted, and nobody can publish them any more.
    """

    id: str
    version: int
    parts: int
    rows: int | None = None
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class SpanEntry:
    """What is decided about one span.

    Attributes:
        span: Start of the span, ms UTC.
        moves: How often the head moved: two equal heads at different times differ in it.
        shown: The attempt whose rows the head shows; empty when there are none.
        behind: The attempt of the head before.
        attempts: All that may have rows.
        text: What is stored; empty when nothing is.
    """

    span: int
    moves: int = 0
    head: Head | None = None
    shown: str = ""
    behind: str = ""
    attempts: tuple[Attempt, ...] = ()
    text: str = field(default="", compare=False)

    @classmethod
    def load(cls, span: int, text: str, coverages: rules.Coverages) -> Self:
        """The entry that `dump` wrote."""
        stored = json.loads(text)
        head, shown, behind = None, "", ""
        if stored["head"]:
            version, coverage, shown = stored["head"]
            previous = None
            if stored["previous"]:
                number, covered, behind = stored["previous"]
                previous = (number, coverages[covered])
            head = Head(span, version, coverages[coverage], previous)
        attempts = tuple(Attempt(*values) for values in stored["attempts"])
        return cls(span, stored["moves"], head, shown, behind, attempts, text)

    def dump(self) -> str:
        """JSON; equal entries have equal text."""
        head = previous = None
        if self.head:
            head = [self.head.version, self.head.coverage.dump(), self.shown]
            if self.head.previous:
                version, coverage = self.head.previous
                previous = [version, coverage.dump(), self.behind]
        attempts = [[a.id, a.version, a.parts, a.rows, a.is_dropped] for a in self.attempts]
        return json.dumps(
            {"moves": self.moves, "head": head, "previous": previous, "attempts": attempts}
        )

    def attempt(self, id: str) -> Attempt | None:
        """The attempt of that id."""
        return next((attempt for attempt in self.attempts if attempt.id == id), None)

    def written(self, version: int) -> Attempt | None:
        """The attempt whose rows are those of a version; None when it has none."""
        if self.head and version == self.head.version:
            return self.attempt(self.shown)
        if self.head and self.head.previous and version == self.head.previous[0]:
            return self.attempt(self.behind)
        whole = (
            attempt
            for attempt in reversed(self.attempts)
            if attempt.version == version and attempt.rows is not None and not attempt.is_dropped
        )
        return next(whole, None)

    def begin(self, attempt: Attempt) -> "SpanEntry":
        """With one more attempt, of which nothing is written yet."""
        if self.attempt(attempt.id):
            return self
        return replace(self, attempts=(*self.attempts, attempt))

    def complete(self, done: Attempt) -> "SpanEntry":
        """With all rows of an attempt written; the last one of a version counts.

        Raises:
            StoreUnavailableError: A clean-up has dropped it meanwhile.
        """
        begun = self.attempt(done.id)
        if begun is None or begun.is_dropped:
            raise StoreUnavailableError(
                f"the rows of version {done.version} for span {self.span} were dropped while they"
                " were written, its run is closed: write them again"
            )
        others = tuple(attempt for attempt in self.attempts if attempt is not begun)
        return replace(self, attempts=(*others, done))

    def move(self, head: Head) -> "SpanEntry":
        """With another head, which `rules.move_heads` has allowed."""
        shown = self.written(head.version)
        behind = self.written(head.previous[0]) if head.previous else None
        return replace(
            self,
            moves=self.moves + 1,
            head=head,
            shown=shown.id if shown else "",
            behind=behind.id if behind else "",
        )

    def obsolete(self, closed: Collection[int]) -> set[str]:
        """The attempts that nobody needs, when the runs of `closed` will publish nothing more."""
        published = rules.versions_of(self.head)
        return {
            attempt.id
            for attempt in self.attempts
            if attempt.id not in (self.shown, self.behind)
            and (attempt.version in closed or attempt.version in published)
        }

    def drop(self, ids: Collection[str]) -> "SpanEntry":
        """With some attempts that can no longer be published."""
        attempts = (replace(a, is_dropped=a.is_dropped or a.id in ids) for a in self.attempts)
        return replace(self, attempts=tuple(attempts))

    def forget(self, ids: Collection[str]) -> "SpanEntry":
        """Without the attempts that are dropped, once their rows are deleted."""
        left = (a for a in self.attempts if not (a.is_dropped and a.id in ids))
        return replace(self, attempts=tuple(left))


def heads_of(entries: Mapping[int, SpanEntry]) -> dict[int, Head]:
    """The heads of the spans that have one."""
    return {span: entry.head for span, entry in entries.items() if entry.head}


def rows_of(entries: Iterable[SpanEntry]) -> dict[tuple[int, int], int]:
    """How many totals are stored whole for each (span, version)."""
    rows: dict[tuple[int, int], int] = {}
    for entry in entries:
        for version in {attempt.version for attempt in entry.attempts}:
            if (attempt := entry.written(version)) and attempt.rows is not None:
                rows[entry.span, version] = attempt.rows
    return rows
