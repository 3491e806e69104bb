"""A speed layer of one source over a dictionary, the memory store and a clock that stands."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fastdata import Count, Metric, Source, Sum
from fastdata.coordinates.instants import DAY_MS, HOUR_MS, MINUTE_MS
from fastdata.declare.unfolded import unfolded_of
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.events.schema import encode
from fastdata.speed.keys import unstamp
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.speed.state import DeadLetter
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial

NOW = 1_000 * DAY_MS
SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "id", "type": ["null", "string"], "default": None},
        {"name": "page", "type": ["null", "string"], "default": None},
        {"name": "size", "type": ["null", "long"], "default": None},
    ],
}


class DictTable:
    """Rows of state in a dictionary, with the rule of the larger stamp."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[bytes, bytes]] = {}
        self.writes: list[tuple[bytes, bytes | None]] = []

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.rows.get(partition, {}).get(key)

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = self.rows.get(partition, {})
        return iter([(key, rows[key]) for key in sorted(rows) if key.startswith(prefix)])

    async def write(self, rows: Mapping[int, Sequence[tuple[bytes, bytes | None]]]) -> None:
        for partition, written in rows.items():
            mine = self.rows.setdefault(partition, {})
            for key, value in written:
                self.writes.append((key, value))
                if value is None:
                    mine.pop(key, None)
                elif key not in mine or unstamp(value)[0] >= unstamp(mine[key])[0]:
                    mine[key] = value


@dataclass
class Bench:
    """Everything around a layer; `layer()` starts another owner over the same table."""

    folder: Path
    segment_size: int = 10
    store: MemoryStore = field(default_factory=MemoryStore)
    table: DictTable = field(default_factory=DictTable)
    letters: list[DeadLetter] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    now: int = NOW
    measures: tuple[str, ...] = ("n", "size")

    def __post_init__(self) -> None:
        path = self.folder / "event.avsc"
        path.write_text(json.dumps(SCHEMA))
        self.source = Source(
            "events", topic="events", schema=str(path), time="at", id="id", lateness="1h",
            skew="5m", segment_size=self.segment_size, repeat_horizon=20,
        )  # fmt: skip
        self.metric = Metric(
            "m", self.source, by=["page"], measures={"n": Count(), "size": Sum("size")}
        )

    def layer(self, *metrics: Metric, **arguments: Any) -> SpeedLayer:
        return SpeedLayer(
            self.source,
            metrics or [self.metric],
            Decoder(self.source, FolderRegistry(self.folder)),
            table=self.table,
            store=self.store,
            dead_letters=self,
            commit=self.commit,
            clock=lambda: self.now,
            **arguments,
        )

    async def folded(self, count: int) -> SpeedLayer:
        """A layer that has folded and flushed as many events of partition 0."""
        layer = self.layer()
        await layer.open(0, None, 0, count)
        for offset in range(count):
            layer.fold(0, self.record(offset))
        await layer.flush()
        return layer

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        self.order.append("dead letters")
        self.letters.extend(letters)

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        self.order.append("commit")
        self.committed.update(offsets)
        return True

    def record(self, offset: int, at: int | None = NOW, **fields: object) -> Record:
        value = encode(self.source.schema, {"at": at, **fields})
        return Record(offset, NOW, None, value)

    async def partials(self, metric: Metric | None = None) -> list[Partial]:
        id = (metric or self.metric).id
        return sorted(
            await self.store.partials(id, -(1 << 50), 1 << 50),
            key=lambda p: (p.partition, p.segment, p.window, p.dims),
        )

    async def counts(self) -> dict[str, int]:
        """Events by dimensions, over all partials."""
        found: dict[str, int] = {}
        for partial in await self.partials():
            count = self.metric.load(partial.state)[0]
            assert isinstance(count, int)
            found[partial.dims] = found.get(partial.dims, 0) + count
        return found

    async def unfolded(self) -> dict[tuple[int, str], int]:
        """Events left out, by hour and reason."""
        found: dict[tuple[int, str], int] = {}
        for partial in await self.partials(unfolded_of(self.source)):
            key = (partial.window, json.loads(partial.dims)[0])
            count = unfolded_of(self.source).load(partial.state)[0]
            assert isinstance(count, int)
            found[key] = found.get(key, 0) + count
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS", "NOW", "Bench"]
