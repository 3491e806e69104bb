"""What an answer must say at a moment, from the records alone, and whether it does."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastdata import Metric, Source
from fastdata.answer.query import query
from fastdata.coordinates.instants import DAY_MS, floor_to, to_datetime
from fastdata.coordinates.segments import Coverage
from fastdata.store.protocol import Head, ServingStore
from tests.agreement import counting
from tests.agreement.sets import Record
from tests.agreement.traffic import HOUR, START, Sent

__all__ = ["Auditor", "Seen"]

_FOREVER = 1 << 60
_MEASURES: dict[str, counting.Measured] = {
    "clicks": len,
    "amount": counting.values("amount", sum),
    "seconds": counting.values("seconds", counting.floats, nothing=0.0),
    "mean_seconds": counting.values("seconds", counting.mean),
    "largest": counting.values("amount", max),
    "users": counting.distinct("user"),
}
# A click that is counted twice does not show in them.
_IDEMPOTENT = ("largest", "users")


@dataclass
class Seen:
    """How often an audit saw what it is there for."""

    rows: int = 0
    exact: int = 0
    doubled: int = 0
    widened: int = 0
    after_batch: int = 0


@dataclass
class _Group:
    """The clicks of one row.

    Attributes:
        included: By identity, as often as the answer must count them: a repeat that nobody can
            tell before batch does is in it twice.
        true: All that either layer has read, each once.
        missing: How many the speed layer has left to batch, which has not counted them.
        after_batch: How many are included that came after batch had covered their hour.
    """

    included: list[tuple[object, Record]] = field(default_factory=list)
    covered: set[object] = field(default_factory=set)
    true: dict[object, Record] = field(default_factory=dict)
    missing: int = 0
    after_batch: int = 0

    def add(self, identity: object, one: Sent, *, is_counted: bool, has_head: bool) -> None:
        """Take a record that a layer has read.

        Args:
            is_counted: Whether what batch says of it stands.
        """
        assert one.click is not None
        self.true[identity] = one.click
        if is_counted and identity not in self.covered:
            self.covered.add(identity)
            self.included.append((identity, one.click))
        elif not is_counted and one.fate == "fold":
            self.included.append((identity, one.click))
            self.after_batch += has_head
        elif not is_counted:
            self.missing += one.fate in ("late", "future")

    @property
    def doubles(self) -> int:
        return len(self.included) - len({identity for identity, _ in self.included})


class Asked(Protocol):
    """What is asked."""

    metrics: list[Metric]
    source: Source
    store: ServingStore


class Auditor:
    """Asks, and compares with the records that were sent so far.

    Args:
        start: No record is older, ms UTC; none is two days younger.
    """

    def __init__(self, loop: Asked, start: int = START) -> None:
        self.seen = Seen()
        self.records: dict[tuple[int, int], Sent] = {}
        self._loop = loop
        midnight = floor_to(start - HOUR, DAY_MS)
        self._days = to_datetime(midnight), to_datetime(midnight + 3 * DAY_MS)

    async def audit(self) -> None:
        """Compare hours by place, half hours and everything with what must be answered."""
        await self._ask("1h", HOUR, ["place"])
        await self._ask("30m", HOUR // 2, [])
        await self._ask("all", _FOREVER, [])

    async def _ask(self, every: str, every_ms: int, by: Sequence[str]) -> None:
        loop = self._loop
        table = await query(loop.metrics[0], *self._days, every=every, by=by, store=loop.store)
        groups = await self._groups(every_ms, by)
        rows = {
            (row["window_start"].timestamp() * 1000 // every_ms, *(row[name] for name in by)): row
            for row in table.to_pylist()
        }
        assert {key for key, group in groups.items() if group.included} == rows.keys()
        for key, row in rows.items():
            self._check(groups[key], row)

    async def _groups(self, every_ms: int, by: Sequence[str]) -> Mapping[object, _Group]:
        store, metric, source = self._loop.store, self._loop.metrics[0], self._loop.source
        heads = await store.heads(metric.id, 0, 1 << 42)
        folded = {each.partition: each.next_offset for each in await store.progress(source.topic)}
        groups: dict[object, _Group] = defaultdict(_Group)
        size, newer = source.segment_size, self._newer(heads, folded)
        counted_ids: set[object] = set()

        def closed_first(item: tuple[tuple[int, int], Sent]) -> tuple[bool, tuple[int, int]]:
            (partition, offset), one = item
            return not _coverage(heads, one).covers(partition, offset // size), (partition, offset)

        readable = [item for item in self.records.items() if item[1].click is not None]
        for (partition, offset), one in sorted(readable, key=closed_first):
            assert one.click is not None
            coverage = _coverage(heads, one)
            is_closed = coverage.covers(partition, offset // size)
            is_read = is_closed or coverage.has_read(partition, offset)
            if not is_read and offset >= folded.get(partition, 0):
                continue
            hour = one.at // HOUR * HOUR
            name = one.click["click"]
            identity = (partition, offset) if name is None else (name, hour)
            is_first = is_read and identity not in counted_ids
            if is_read:
                counted_ids.add(identity)
            is_counted = is_closed or (is_read and self._cell(partition, offset, one) not in newer)
            key = (one.at // every_ms, *(one.click[each] for each in by))
            if is_counted and not is_first:
                groups[key].true[identity] = one.click
            elif is_counted or offset < folded.get(partition, 0):
                has_head = hour in heads
                groups[key].add(identity, one, is_counted=is_counted, has_head=has_head)
            else:  # read by batch alone, and hidden by a partial that stands
                groups[key].true[identity] = one.click
                groups[key].missing += 1
        return groups

    def _newer(self, heads: Mapping[int, Head], folded: Mapping[int, int]) -> set[object]:
        """The cells of open segments whose partials stand: they have folded what batch has not."""
        size = self._loop.source.segment_size
        return {
            self._cell(partition, offset, one)
            for (partition, offset), one in self.records.items()
            if one.click is not None
            and one.fate == "fold"
            and offset < folded.get(partition, 0)
            and not _coverage(heads, one).covers(partition, offset // size)
            and not _coverage(heads, one).has_read(partition, offset)
        }

    def _cell(self, partition: int, offset: int, one: Sent) -> object:
        assert one.click is not None
        metric, segment = self._loop.metrics[0], offset // self._loop.source.segment_size
        dims = tuple(one.click[each] for each in metric.by)
        return partition, segment, one.at // metric.window_ms, dims

    def _check(self, group: _Group, row: Mapping[str, object]) -> None:
        included = [click for _, click in group.included]
        expected = {name: measure(included) for name, measure in _MEASURES.items()}
        true = {name: measure(list(group.true.values())) for name, measure in _MEASURES.items()}
        context = f"{row}\n{expected}\n{true}\n{group.missing} missing, {group.doubles} doubles"
        for name in _MEASURES:
            lower, value, upper = (row[name + suffix] for suffix in ("_lower", "", "_upper"))
            assert name == "users" or value == expected[name], f"{name} of {context}"
            if row["exact"]:
                assert [true[name]] * 3 == [lower, value, upper], f"{name}, exact, of {context}"
            elif not group.doubles or name in _IDEMPOTENT:
                assert _is_within(true[name], lower, upper), f"bounds of {name} of {context}"
        assert not row["gap"]
        assert not (row["exact"] and (group.doubles or group.missing)), context
        self._note(group, row)

    def _note(self, group: _Group, row: Mapping[str, object]) -> None:
        self.seen.rows += 1
        self.seen.exact += row["exact"] is True
        self.seen.doubled += group.doubles > 0
        self.seen.widened += group.missing > 0
        self.seen.after_batch += group.after_batch > 0


def _coverage(heads: Mapping[int, Head], one: Sent) -> Coverage:
    head = heads.get(one.at // HOUR * HOUR)
    return head.coverage if head else Coverage()


def _is_within(value: object, lower: object, upper: object) -> bool:
    """Whether the bounds that are known hold."""
    if value is None:
        return lower is None and upper is None
    above = lower is None or lower <= value  # type: ignore[operator]
    below = upper is None or value <= upper  # type: ignore[operator]
    return above and below
