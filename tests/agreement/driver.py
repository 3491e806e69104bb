"""Both layers of one source in one process: a log of lists, and everything else real.

The state table is a dictionary. A crash is to drop the layer and to begin another one.
"""

from collections.abc import Mapping, Sequence

from fastdata import Metric, Source
from fastdata.archive import ArchivedRecord, ArchiveStorage, PartitionArchive
from fastdata.batch.job import Engine
from fastdata.batch.replay import replay
from fastdata.batch.reports import ReplayReport
from fastdata.events.decoder import Decoder
from fastdata.events.registry import Registry
from fastdata.speed.layer import Record, SpeedLayer
from fastdata.speed.state import DeadLetter
from fastdata.store.protocol import ServingStore
from tests.simulation.fakes import Budget, FakeTable

CHUNK = 500


class Log:
    """Partitions of values, each with the time at which it came, ms UTC."""

    def __init__(self, partitions: int) -> None:
        self.partitions: list[list[tuple[int, bytes | None]]] = [[] for _ in range(partitions)]

    def send(self, partition: int, value: bytes | None, at: int) -> int:
        """Append a record; returns its offset."""
        self.partitions[partition].append((at, value))
        return len(self.partitions[partition]) - 1

    def fill(self, segment_size: int) -> None:
        """Append records that nobody can read until the last segment of each partition closes."""
        for records in self.partitions:
            while len(records) % segment_size:
                records.append((records[-1][0], None))

    def end(self, partition: int) -> int:
        return len(self.partitions[partition])


class Loop:
    """What outlives a worker, and the worker of the moment."""

    def __init__(
        self, metrics: Sequence[Metric], registry: Registry, log: Log, storage: ArchiveStorage
    ) -> None:
        self.metrics = list(metrics)
        self.source: Source = metrics[0].source
        self.log = log
        self.now = 0
        self.letters: list[DeadLetter] = []
        self.committed: dict[int, int] = {}
        self.layer: SpeedLayer
        self.store: ServingStore
        self._decoder = Decoder(self.source, registry)
        self.archived = storage
        self._rows: dict[int, dict[bytes, bytes]] = {p: {} for p in self.partitions}
        self._read: dict[int, int] = {}

    @property
    def partitions(self) -> range:
        return range(len(self.log.partitions))

    # --- the speed layer ----------------------------------------------------------------------
    async def start(self, store: ServingStore, *, wipe: bool = False) -> None:
        """Begin a worker; `wipe` loses the state and its changelog, not what was committed."""
        if wipe:
            for rows in self._rows.values():
                rows.clear()
        self.store = store
        self.layer = SpeedLayer(
            self.source,
            self.metrics,
            self._decoder,
            table=FakeTable(self._rows, Budget()),
            store=store,
            dead_letters=self,
            commit=self._commit,
            clock=lambda: self.now,
        )
        for p in self.partitions:
            end = self.log.end(p)
            self._read[p] = await self.layer.open(p, self.committed.get(p), 0, end)

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Take dead letters."""
        self.letters += letters

    async def _commit(self, offsets: Mapping[int, int]) -> bool:
        self.committed.update(offsets)
        return True

    def fold(self, partition: int, count: int) -> int:
        """Fold up to so many records of one partition; returns how many there were."""
        records = self.log.partitions[partition]
        first = self._read[partition]
        self.layer.see_end(partition, len(records), self.now)
        for offset, (at, value) in enumerate(records[first : first + count], first):
            self.now = at
            self.layer.fold(partition, Record(offset, at, None, value))
        self._read[partition] = min(len(records), first + count)
        return self._read[partition] - first

    def position(self, partition: int) -> int:
        """The next offset to fold."""
        return self._read[partition]

    async def drain(self) -> None:
        """Fold everything, a chunk of each partition in turn, as a worker would."""
        while sum(self.fold(p, CHUNK) for p in self.partitions):
            if self.layer.is_full:
                await self.layer.flush()
        await self.layer.flush()

    # --- archive and batch --------------------------------------------------------------------
    async def archive(self) -> None:
        """Archive everything that the log holds, as an archiver that has just been started."""
        for p in self.partitions:
            writer = PartitionArchive(self.archived, self.source, self._decoder, p)
            first = await writer.open()
            for offset, (at, value) in enumerate(self.log.partitions[p][first:], first):
                writer.append(ArchivedRecord(offset, at, None, value))
            await writer.flush(force=True)

    async def replay(
        self, workers: int = 0, engine: Engine | None = None, *, force: bool = False
    ) -> ReplayReport:
        """Count everything that is archived."""
        return await replay(
            self.metrics,
            store=self.store,
            archive=self.archived,
            workers=workers,
            complete=True,
            engine=engine,
            force=force,
        )
