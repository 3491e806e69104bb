"""The rules of the design, and what stands in the place of each when a test takes it away.

Each rule is one function of the code, and beside it one of each kind of store that follows it in a
language of its own.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, select

from fastdata.answer import merge, tips
from fastdata.archive import reader
from fastdata.archive.chains import Chain
from fastdata.batch import row_engine
from fastdata.batch.job import Piece
from fastdata.coordinates.segments import Coverage, segment_of
from fastdata.events.decoder import Event
from fastdata.speed import folding, keys, layer, opening, start
from fastdata.speed.flush import FlushSnapshot
from fastdata.speed.layer import SpeedLayer
from fastdata.speed.repeats import Repeats
from fastdata.speed.state import Partition
from fastdata.store import rules
from fastdata.store.cassandra import schema
from fastdata.store.protocol import NEVER, Head
from fastdata.store.sql import statements, tables

__all__ = ["RULES", "rules_in", "without"]

_ALL_SEGMENTS = 1 << 62
_publish = SpeedLayer._publish


async def _commit_first(speed: SpeedLayer, snapshot: FlushSnapshot) -> None:
    await speed.commit(snapshot.positions)
    await _publish(speed, snapshot)


async def _position(_table: object, _metrics: object, opened: Partition) -> int:
    return opened.position


async def _record_nothing(*_: object) -> None:
    pass


def _open_ones_too(chain: Chain, size: int) -> int:
    return segment_of((chain.end or 0) + size - 1, size)


def _of_any_span(by_span: Mapping[int, Head | int], _span: int) -> Head | int | None:
    return max(by_span.values(), key=_how_far, default=None)


def _how_far(judge: Head | int) -> int:
    return judge if isinstance(judge, int) else judge.previous is not None


def _is_of_any_span() -> ColumnElement[bool]:
    heads = tables.heads.alias().c
    judged = heads.metric == tables.heads.c.metric, heads.previous_coverage.is_not(None)
    return tables.heads.c.span == select(func.min(heads.span)).where(*judged).scalar_subquery()


def _the_furthest(moments: Mapping[int, int]) -> int:
    return max(moments.values(), default=NEVER)


class _ByPartition:
    """Has batch tell ids apart by their partition, as the speed layer does."""

    def __init__(self) -> None:
        self.partition = 0
        self._in_order, self._add = row_engine._in_order, row_engine._add

    def in_order(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Any]]:
        for piece, records in self._in_order(pieces):
            self.partition = piece.partition
            yield piece, records

    def add(self, span: Any, event: Event, tip: int | None) -> None:
        self._add(span, replace(event, id=f"{event.id} of {self.partition}"), tip)


_by_partition = _ByPartition()

# Per rule: where its functions are, their names, and what is called instead of them.
RULES: dict[str, list[tuple[object, str, Callable[..., object] | property]]] = {
    "join by segment": [
        (rules, "first_open", lambda head, _partition: _ALL_SEGMENTS if head else 0),
        (statements, "is_open", lambda _dialect: tables.heads.c.span.is_(None)),
    ],
    "closed segments only": [(reader, "closed_segments", _open_ones_too)],
    "larger stamp": [
        (rules, "is_newer", lambda _stamp, _than: True),
        (statements, "is_newer", lambda _new: None),
        (schema, "write_time", lambda _partial: time.time_ns() // 1_000),
    ],
    "re-emit": [(folding, "re_emit", lambda *_: None)],
    "commit last": [(SpeedLayer, "_publish", _commit_first)],
    "monotone state": [(keys, "is_older", lambda _value, _known: False)],
    "marker": [(start, "vouched_start", lambda position, _marker, _size: position)],
    "skip to an edge": [(start, "edge_after", lambda offset, _size: offset)],
    "record the gap": [(layer, "record_gap", _record_nothing)],
    "drop by own span": [
        (rules, "of_own_span", _of_any_span),
        (statements, "is_of_own_span", _is_of_any_span),
    ],
    "gaps in exact": [(merge.Doubts, "_skipped", lambda *_: 0)],
    "read by all partitions": [(merge, "of_all_partitions", _the_furthest)],
    "read to the end": [(Partition, "is_at_end", property(lambda p: p.end_seen > NEVER))],
    "tip or partial": [(tips, "is_overtaken", lambda _tip, _newer: False)],
    "tip wins by stamp": [(tips, "is_in_tip", lambda _head, _partial: False)],
    "know the store": [(opening, "has_all", lambda _stored, _folded: True)],
    "gap to the largest stamp": [(opening, "end_of_gap", _position)],
    "repeats of a partition": [(Repeats, "is_repeat", lambda *_: False)],
    "repeats over partitions": [
        (row_engine, "_in_order", _by_partition.in_order),
        (row_engine, "_add", _by_partition.add),
    ],
    "clean one behind": [
        (rules, "previous_coverage", lambda head: head.coverage if head else Coverage()),
        (statements, "previous_coverage", lambda: tables.heads.c.coverage),
    ],
}


def rules_in(module: object) -> list[str]:
    """The rules that have a function in a module."""
    return [rule for rule, functions in RULES.items() if any(f[0] is module for f in functions)]


@contextmanager
def without(rule: str) -> Iterator[None]:
    """Take a rule away for a while."""
    with pytest.MonkeyPatch.context() as patch:
        for place, name, instead in RULES[rule]:
            patch.setattr(place, name, instead)
        yield
