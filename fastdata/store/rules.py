"""The rules that every store follows, as pure functions over the words of `protocol`.

Where a store says one in its own language, that is a function, too: `is_newer`, `is_open`,
`is_of_own_span` and `previous_coverage` in `sql/statements.py`, `write_time` in
`cassandra/schema.py`; both have their own comparison of progress. Some rules are
one line, so that a test can take the rule away and see it missed.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastdata.coordinates.instants import HOUR_MS, floor_to
from fastdata.coordinates.segments import Coverage
from fastdata.errors import SpanConflictError, StoreError, StoreLostError
from fastdata.store.protocol import Flip, Gap, Head, Partial, Progress, TotalRow

__all__ = [
    "DEAD_LETTERS_WINDOW",
    "MAX_STATE_BYTES",
    "Coverages",
    "PartialKey",
    "after",
    "beginning",
    "between",
    "check_kept",
    "first_open",
    "first_timed",
    "furthest",
    "is_further",
    "is_newer",
    "living",
    "merge_gaps",
    "move_heads",
    "newest",
    "of_own_span",
    "portions",
    "previous_coverage",
    "refuse_published",
    "span_of",
    "touches_dead_letters",
    "unique",
    "versions_of",
    "within",
]

MAX_STATE_BYTES = 1 << 20

DEAD_LETTERS_WINDOW = 0
"""The window in which a system metric counts dead letters, which have no time.

Events that were left out of the first hour of 1970, where event times begin, are counted in it as
well. So it is in no reading and never dropped, and of that hour no answer is exact.
"""

PartialKey = tuple[str, int, str, int, int]

_T = TypeVar("_T")
_Row = TypeVar("_Row", bound=Sequence[Any])


class Coverages(dict[str, Coverage]):
    """Coverages by the text that a store has of them: those of one run are all the same."""

    def __missing__(self, text: str) -> Coverage:
        self[text] = coverage = Coverage.load(text)
        return coverage


def span_of(window: int) -> int:
    """The start of the span that a window, by its start, lies in; ms UTC."""
    return floor_to(window, HOUR_MS)


def within(spans: Iterable[int], intervals: Sequence[tuple[int, int]] | None) -> list[int]:
    """Those of some spans that lie in some intervals, in order and apart; in None all do."""
    if intervals is None:
        return list(spans)
    ends = [end for _, end in intervals]
    chosen = ((span, bisect_right(ends, span)) for span in spans)
    return [s for s, at in chosen if at < len(intervals) and intervals[at][0] <= s]


def first_timed(start: int) -> int:
    """The first window from `start` on in which a system metric counts events with a time."""
    return max(start, DEAD_LETTERS_WINDOW + HOUR_MS)


def touches_dead_letters(start: int, end: int) -> bool:
    """Whether `[start, end)` has a part of the hour of which no reading has what was left out."""
    return start < DEAD_LETTERS_WINDOW + HOUR_MS and end > DEAD_LETTERS_WINDOW


def _check_state(state: bytes, metric: str, window: int, dims: str) -> None:
    if len(state) > MAX_STATE_BYTES:
        raise StoreError(
            f"the state of {metric} at window {window}, dimensions {dims[:200]}, has {len(state):,}"
            f" bytes and may have {MAX_STATE_BYTES:,}; declare measures with smaller states"
        )


def is_newer(stamp: int, than: int) -> bool:
    """Whether a partial with `stamp` replaces one of the same key: the larger stamp wins."""
    return stamp > than


def newest(partials: Collection[Partial]) -> dict[PartialKey, Partial]:
    """One partial for each key, sorted by key, so that writers lock rows in one order.

    Raises:
        StoreError: A state is larger than 1 MiB.
    """
    if max([len(p.state) for p in partials], default=0) > MAX_STATE_BYTES:
        for p in partials:
            _check_state(p.state, p.metric, p.window, p.dims)
    # A partial begins with its key, and goes on with its stamp: the last of a key is the newest.
    return {p[:5]: p for p in sorted(partials)}


def unique(metric: str, totals: Sequence[TotalRow]) -> Sequence[TotalRow]:
    """One total for each window and dimensions.

    Raises:
        StoreError: A state is larger than 1 MiB.
    """
    if max([len(state) for _, _, state in totals], default=0) > MAX_STATE_BYTES:
        for window, dims, state in totals:
            _check_state(state, metric, window, dims)
    kept = dict(zip([total[:2] for total in totals], totals, strict=True))
    return totals if len(kept) == len(totals) else list(kept.values())


def portions(
    items: Iterable[_T], room: int, size_of: Callable[[_T], int] = lambda _: 1
) -> Iterator[list[_T]]:
    """Items in order, as many at a time as have room together; one that has none is alone."""
    portion: list[_T] = []
    left = room
    for item in items:
        size = size_of(item)
        if portion and size > left:
            yield portion
            portion, left = [], room
        portion.append(item)
        left -= size
    if portion:
        yield portion


def after(begin: str) -> str:
    """Behind all texts of dimensions with that beginning, and before all others.

    After a comma stands another dimension, after the bracket `@` and the partition of a tip.
    """
    return begin + "~"


def between(dims: Sequence[str]) -> tuple[str, ...]:
    """The first text of dimensions with one of some beginnings, and what is behind all; or nothing.

    There is nothing where all texts are asked for.
    """
    if "" in dims:
        return ()
    return (min(dims), after(max(dims))) if dims else ("", "")


def beginning(rows: Sequence[_Row], column: int, dims: Sequence[str]) -> Sequence[_Row]:
    """Of rows that lie `between`, those whose dimensions begin with one of some texts.

    Args:
        column: Where a row has its dimensions.
    """
    if len(dims) == 1 or "" in dims:
        return rows
    begins = tuple(dims)
    return [row for row in rows if row[column].startswith(begins)]


def living(reports: Sequence[Progress]) -> list[Progress]:
    """The partitions of the newest epoch; the log of the others has ended, and they with it."""
    newest = max(reports, key=lambda report: report.partition, default=None)
    log = newest.epoch if newest else ""
    return [p for p in reports if p.epoch == log or not (p.epoch and log)]


def check_kept(expected: Iterable[Progress], stored: Iterable[Progress], shown: str) -> None:
    """Make sure that a store has still what it had.

    Args:
        expected: What it is known to have had, of one topic.
        stored: What it says of that topic now.
        shown: The store, for messages.

    Raises:
        StoreLostError: It has less.
    """
    has = {(p.topic, p.partition): p.next_offset for p in stored}
    for p in expected:
        if has.get((p.topic, p.partition), 0) < p.next_offset:
            raise StoreLostError(
                f"{shown} does not know any more that {p.topic}, partition {p.partition}, is folded"
                f" up to {p.next_offset}: it was deleted, replaced, or restored from a copy. The"
                " next start of a worker writes to it all that the worker has"
            )


def is_further(report: Progress, than: Progress) -> bool:
    """Whether a report replaces the other one; at the same offset the later one does."""
    return (report.next_offset, report.updated) > (than.next_offset, than.updated)


def furthest(progress: Iterable[Progress]) -> dict[tuple[str, int], Progress]:
    """One progress for each partition, sorted."""
    kept: dict[tuple[str, int], Progress] = {}
    for report in progress:
        other = kept.get((report.topic, report.partition))
        if other is None or is_further(report, other):
            kept[report.topic, report.partition] = report
    return dict(sorted(kept.items(), key=lambda item: item[0]))


def merge_gaps(gap: Gap, other: Gap) -> Gap:
    """The one gap that two records of the same start make."""
    return replace(gap, end=max(gap.end, other.end))


def move_heads(
    heads: Mapping[int, Head], flips: Sequence[Flip], rows: Mapping[tuple[int, int], int]
) -> dict[int, Head]:
    """The heads that `flips` put in place of `heads`; those that are done already are left out.

    The compare of a store's compare-and-set: it reads heads and counts rows, calls this, and
    writes what comes out, so that nobody else can write one of the heads in between. A version
    alone does not tell a head: a re-labelled one has the same rows and another coverage.

    Args:
        heads: The present heads, by span.
        flips: The moves.
        rows: How many totals are stored for each (span, version).

    Raises:
        SpanConflictError: A head is not the expected one, or the rows are not as many as said.
    """
    moved: dict[int, Head] = {}
    for flip in flips:
        head = moved.get(flip.span, heads.get(flip.span))
        if head and _is_at(head, flip.version, flip.coverage):
            continue
        _check_expected(head, flip)
        stored = rows.get((flip.span, flip.version), 0)
        if flip.rows is not None and flip.rows != stored:
            raise SpanConflictError(
                f"span {flip.span} should get {flip.rows} rows of version {flip.version}, the store"
                f" holds {stored}: another process writes or drops them; plan the span again"
            )
        previous = (head.version, head.coverage) if head else None
        moved[flip.span] = Head(flip.span, flip.version, flip.coverage, previous)
    return moved


def first_open(head: Head | None, partition: int) -> int:
    """The first segment whose partials count beside the totals of `head`: they join by segment."""
    return head.coverage.get(partition) if head else 0


def previous_coverage(head: Head | None) -> Coverage:
    """What may be dropped below `head`: one version behind, so that the newest can be undone."""
    return head.previous[1] if head and head.previous else Coverage()


def of_own_span(by_span: Mapping[int, _T], span: int) -> _T | None:
    """Who judges what may be dropped of a span: it alone, never another one, or age."""
    return by_span.get(span)


def versions_of(head: Head | None) -> set[int]:
    """The versions whose rows readers may see, now or after an undo."""
    if head is None:
        return set()
    return {head.version, head.previous[0]} if head.previous else {head.version}


def refuse_published(metric: str, version: int, published: Collection[int]) -> None:
    """Raise where a version that is to be written is published already: its rows must stay.

    Args:
        published: The spans to be written whose head, or the one before it, is of `version`.

    Raises:
        SpanConflictError: There are some.
    """
    if published:
        raise SpanConflictError(
            f"version {version} of {metric} is published already for {len(published)} of the spans,"
            f" first of {min(published)}: plan them again"
        )


def _is_at(head: Head, version: int, coverage: Coverage) -> bool:
    return head.version == version and head.coverage == coverage


def _check_expected(head: Head | None, flip: Flip) -> None:
    if head is None:
        is_expected = flip.expected is None
    else:
        is_expected = flip.expected is not None and _is_at(head, *flip.expected)
    if not is_expected:
        raise SpanConflictError(
            f"the head of span {flip.span} is {_shown(head)}, planned on was"
            f" {flip.expected}: another run moved it first; plan the span again"
        )
    if flip.rows is None and (head is None or flip.version != head.version):
        raise SpanConflictError(
            f"span {flip.span} cannot be re-labelled to version {flip.version}: its head is"
            f" {_shown(head)}; say how many rows the version holds"
        )


def _shown(head: Head | None) -> str:
    return f"version {head.version} at {head.coverage.dump()}" if head else "missing"
