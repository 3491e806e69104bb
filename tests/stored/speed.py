"""A speed layer over the state folder that a worker of version 0.1.0 has left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import faust
from faust.types import TP

from fastdata.speed.keys import StateRow
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.speed.producer import AckedProducer
from fastdata.speed.state import DeadLetter
from fastdata.speed.table import ChangelogTable, FaustTable, rocksdb_options
from fastdata.store.protocol import ServingStore
from tests.stored.written import (
    PARTITIONS,
    changelog,
    committed,
    declared,
    decoder,
    records,
)

# Long after all events but the one of the future.
NOW = 1_800_000_000_000


class _Changelog(AckedProducer):
    """Keeps what is sent."""

    def __init__(self, ends: Mapping[int, int]) -> None:
        self.rows: dict[int, list[StateRow]] = {partition: [] for partition in ends}
        self._ends = ends

    async def send_rows(self, topic: str, rows: Mapping[int, Sequence[StateRow]]) -> dict[int, int]:
        for partition, some in rows.items():
            self.rows[partition] += some
        return {p: self._ends[p] + len(self.rows[p]) - 1 for p in rows}


@dataclass
class Worker:
    """What a worker does for one source, without its broker.

    Attributes:
        ends: By partition, where its changelog ends.
    """

    topic: str
    state: Path
    store: ServingStore
    letters: list[DeadLetter] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = declared().sources[self.topic]
        self.metrics = declared().of_source(self.source)
        self.table = self._open_table()
        tps = [TP(changelog(self.topic), p) for p in range(PARTITIONS[self.topic])]
        self.ends = {tp.partition: (self.table.persisted_offset(tp) or 0) + 1 for tp in tps}
        self.changelog = _Changelog(self.ends)
        self.rows = FaustTable(self.table, self.changelog)
        self.layer = SpeedLayer(
            self.source,
            self.metrics,
            decoder(self.source),
            table=self.rows,
            store=self.store,
            dead_letters=self,
            commit=self.commit,
            clock=lambda: NOW,
        )

    async def fold(self, start: Sequence[int | None], end: Sequence[int] | None = None) -> None:
        """Open all partitions, where they were committed, fold the log, and flush once."""
        for partition, before in enumerate(start):
            log = records(self.topic, partition)[: None if end is None else end[partition]]
            position = await self.layer.open(partition, before, 0, len(log))
            for record in log[position:]:
                content = (record.key, record.value, record.headers)
                self.layer.fold(partition, Record(record.offset, record.timestamp_ms, *content))  # type: ignore[arg-type]
            self.layer.see_end(partition, len(log), NOW)
        await self.layer.flush()

    async def finish(self) -> None:
        """Fold what came after all was kept."""
        await self.fold(committed(self.topic))

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        self.committed.update(offsets)
        return True

    def _open_table(self) -> ChangelogTable:
        app = faust.App(
            "fastdata", broker="kafka://localhost:1", store="rocksdb://", datadir=self.state
        )

        async def nothing() -> None: ...

        def fail(what: str, error: BaseException) -> None:
            raise error

        name = f"fastdata-{self.source.name}"
        table = ChangelogTable(app, name, before_close=nothing, fail=fail)
        table.options = rocksdb_options(2)
        return table
