"""A reader who asks all the time, and checks every answer against what was sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastdata import query
from fastdata.coordinates.instants import DAY_MS
from fastdata.declare.unfolded import unfolded_of
from fastdata.store.opening import open_store
from fastdata.store.protocol import Partial, ServingStore
from tests.chaos.stream import DIGITS, CellKey, Group, Stage, key_of

_ONES = int("1" * DIGITS, 16)
_ALL = (0, 100_000 * DAY_MS)


class ViolationError(AssertionError):
    """An answer is wrong."""


class Reader:
    """Asks the store of a stage; raises at the first violation.

    * A partial with the stamp s holds exactly the events of its cell up to the offset s.
    * What the progress says to be folded is in the partials.
    * No stamp goes back, and no partial vanishes.
    * No answer of `query` holds an event twice or one that was not sent, and what an answer held,
      all later ones hold.
    """

    def __init__(self, stage: Stage) -> None:
        self.answers = 0
        self.stage = stage
        self.stamps: dict[CellKey, int] = {}
        self.seen: dict[Group, int] = {}
        self.folded: dict[int, int] = {}

    @property
    def progress(self) -> int:
        """How many records are folded, as far as the store says."""
        return sum(self.folded.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask until the end of the block, and once more; a violation ends the block."""
        async with open_store(self.stage.store, create=False) as store:
            asking = asyncio.create_task(self._ask(store, asyncio.current_task()))
            try:
                yield
            finally:
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
            await self.look(store)

    async def _ask(self, store: ServingStore, scenario: "asyncio.Task[object] | None") -> None:
        while True:
            try:
                await self.glance(store)
                await asyncio.sleep(0.05)
            except Exception:
                assert scenario is not None
                scenario.cancel()
                raise

    async def ask(self) -> None:
        """Check everything once."""
        async with open_store(self.stage.store, create=False) as store:
            await self.look(store)

    async def glance(self, store: ServingStore) -> None:
        """Check what can be checked again and again."""
        await self.look(store)

    async def look(self, store: ServingStore) -> None:
        """Check what one store says."""
        metric = self.stage.metric
        progress = await store.progress(self.stage.topic)
        partials = [
            *await store.partials(metric.id, *_ALL),
            *await store.partials(unfolded_of(metric.source).id, *_ALL),
        ]
        answer = await query(metric, every="1m", by="page", store=store)
        if gaps := await store.gaps(self.stage.topic):
            raise ViolationError(f"something was skipped: {gaps}")
        self.stage.learn()
        self._check_partials(partials)
        for one in progress:
            self._check_progress(one.partition, one.next_offset)
        for row in answer.to_pylist():
            group = (round(row["window_start"].timestamp() * 1000), row["page"])
            self._check_answer(group, int(row["n"]), int(row["sum"]))
        self.answers += 1

    def _check_partials(self, partials: list[Partial]) -> None:
        found = {key_of(partial): partial for partial in partials}
        if gone := self.stamps.keys() - found.keys():
            raise ViolationError(f"partials are gone: {sorted(gone)[:3]}")
        for key, partial in found.items():
            known = self.stamps.get(key, -1)
            if partial.stamp < known:
                raise ViolationError(f"the stamp of {key} went back to {partial.stamp}")
            if partial.stamp > known:
                self._check_partial(key, partial)
                self.stamps[key] = partial.stamp

    def _check_partial(self, key: CellKey, partial: Partial) -> None:
        if key not in self.stage.cells:
            raise ViolationError(f"a partial of nothing that was sent: {key}")
        cell = self.stage.cells[key]
        held, expected = self.stage.held(partial), cell.until(partial.stamp)
        if held != expected or partial.stamp not in cell.offsets:
            raise ViolationError(
                f"{key} up to {partial.stamp} holds {_shown(held)}, not {_shown(expected)}"
            )

    def _check_progress(self, partition: int, next_offset: int) -> None:
        before = self.folded.get(partition, 0)
        if next_offset < before:
            raise ViolationError(f"the progress of {partition} went back to {next_offset}")
        for offset in range(before, next_offset):
            key = self.stage.log[partition][offset]
            if self.stamps.get(key, -1) < offset:
                raise ViolationError(f"{partition}@{offset} is called folded, but not in {key}")
        self.folded[partition] = next_offset

    def _check_answer(self, group: Group, count: int, total: int) -> None:
        if total & ~_ONES:
            raise ViolationError(f"{group} holds an event twice: {total:x}")
        if total & ~self.stage.sums.get(group, 0):
            raise ViolationError(f"{group} holds what was not sent: {total:x}")
        if count != total.bit_count():
            raise ViolationError(f"{group} has {count} events, and the sum of others: {total:x}")
        if lost := self.seen.get(group, 0) & ~total:
            raise ViolationError(f"{group} has lost what was seen: {lost:x}")
        self.seen[group] = total

    def check_complete(self) -> None:
        """Check that the last answer has everything that was sent."""
        if self.seen != self.stage.sums:
            raise ViolationError("an event was lost")
        ends = {key: cell.offsets[-1] for key, cell in self.stage.cells.items()}
        if self.stamps != ends:
            raise ViolationError(f"not folded: {sorted(ends.items() - self.stamps.items())[:3]}")


class PatientReader(Reader):
    """Follows the progress, and checks all the rest at the end: for more than can be read often."""

    async def glance(self, store: ServingStore) -> None:
        for one in await store.progress(self.stage.topic):
            if one.next_offset < self.folded.get(one.partition, 0):
                raise ViolationError(f"the progress of {one.partition} went back")
            self.folded[one.partition] = one.next_offset

    async def look(self, store: ServingStore) -> None:
        self.folded.clear()  # so that each offset is looked for in the partials
        await super().look(store)


def _shown(held: tuple[int, int]) -> str:
    return f"{held[0]} events ({held[1]:x})"
