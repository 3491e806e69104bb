"""A worker of the simulation: one owner of all partitions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fastdata.coordinates.epochs import FIRST_EPOCH
from fastdata.events.decoder import Event
from fastdata.speed.intake import Intake
from fastdata.speed.layer import SpeedLayer
from fastdata.speed.opening import announce
from fastdata.speed.state import Partition, Record
from tests.simulation.fakes import Budget, CutStore, FakeTable, NoDeadLetters
from tests.simulation.log import PARTITIONS

if TYPE_CHECKING:
    from tests.simulation.system import System


class LeavingOut(Intake):
    """Leaves out which events the schedule has drawn, as if they were late."""

    def __init__(self, system: "System", layer: SpeedLayer) -> None:
        super().__init__(system.source, [system.metric], system.decoder, layer.clock)
        self._system = system

    def take_ordinary(
        self, owned: Partition, records: Sequence[Record], start: int, stop: int
    ) -> int:
        log = self._system.log[owned.number]
        drawn = (i for i in range(start, stop) if log[records[i].offset].is_left_out)
        stop = next(drawn, stop)
        return super().take_ordinary(owned, records, start, stop) if start < stop else start

    def _reason_to_leave_out(
        self, owned: Partition, offset: int, event: Event, is_vouched: bool
    ) -> str | None:
        if self._system.log[owned.number][offset].is_left_out:
            return None if is_vouched else "late"
        return super()._reason_to_leave_out(owned, offset, event, is_vouched)


class Worker:
    """One owner of all partitions and the writes that it may still do."""

    def __init__(self, system: "System") -> None:
        self.system = system
        self.budget = Budget()
        self.is_fenced = False
        self.layer = SpeedLayer(
            system.source,
            [system.metric],
            system.decoder,
            table=FakeTable(system.table, self.budget),
            store=CutStore(system.store, self.budget),  # type: ignore[arg-type]
            dead_letters=NoDeadLetters(),
            commit=self.commit,
            clock=lambda: system.now,
            max_cells=4,
        )
        self.layer.intake = LeavingOut(system, self.layer)

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        for partition, offset in offsets.items():
            self.budget.spend()
            if not self.is_fenced:  # the broker refuses the commit of a zombie, not its writes
                self.system.committed[partition] = offset
        return not self.is_fenced

    async def start(self) -> "Worker":
        await announce(self.layer.store, self.system.source.topic, FIRST_EPOCH, PARTITIONS)
        for p, log in self.system.log.items():
            log_start, committed = self.system.first_to_fold(p), self.system.committed.get(p)
            await self.layer.open(p, committed, log_start, len(log))
        return self

    @property
    def dirty(self) -> int:
        return sum(p.cells.dirty for p in self.layer.partitions.values())
