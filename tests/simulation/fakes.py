"""A state table, a store and a crash for tests: it may come between any two single writes."""

from collections.abc import Iterator, Mapping, Sequence

from fastdata.speed import keys
from fastdata.speed.state import DeadLetter
from fastdata.store.protocol import Gap, Head, Partial, Progress, ServingStore


class ViolationError(AssertionError):
    """A promise was broken."""


class CrashError(Exception):
    """The process of a worker ends here."""


class Budget:
    """How many single writes may still be done before the crash; None for no crash."""

    def __init__(self) -> None:
        self.left: int | None = None

    def spend(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise CrashError


class FakeTable:
    """A changelog and its table, shared by all owners, as durable as each single write."""

    def __init__(self, rows: dict[int, dict[bytes, bytes]], budget: Budget) -> None:
        self.rows = rows
        self.budget = budget

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.rows[partition].get(key)

    def scan(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows = self.rows[partition]
        return iter([(key, rows[key]) for key in sorted(rows) if key.startswith(prefix)])

    async def write(self, rows: Mapping[int, Sequence[tuple[bytes, bytes | None]]]) -> None:
        for partition, written in rows.items():
            mine = self.rows[partition]
            for key, value in written:
                self.budget.spend()
                if value is None:
                    mine.pop(key, None)
                elif not keys.is_older(value, mine.get(key)):
                    mine[key] = value


class CutStore:
    """A worker's view of the store, in which a crash may come between any two rows."""

    def __init__(self, store: ServingStore, budget: Budget) -> None:
        self._store = store
        self._budget = budget

    async def upsert(
        self,
        partials: Sequence[Partial],
        progress: Sequence[Progress],
        expected: Sequence[Progress] = (),
    ) -> None:
        left = self._budget.left
        if left is None or left >= len(partials) + len(progress):
            await self._store.upsert(partials, progress, expected)
            for _ in range(len(partials) + len(progress)):
                self._budget.spend()
            return
        await self._store.upsert(
            partials[:left], progress[: max(0, left - len(partials))], expected
        )
        raise CrashError

    async def progress(self, topic: str) -> Sequence[Progress]:
        return await self._store.progress(topic)

    async def record_gap(self, gap: Gap) -> None:
        await self._store.record_gap(gap)

    async def heads(self, metric: str, start: int, end: int) -> dict[int, Head]:
        return await self._store.heads(metric, start, end)

    async def has_partials(self, metric: str) -> bool:
        return await self._store.has_partials(metric)


class NoDeadLetters:
    async def send(self, letters: Sequence[DeadLetter]) -> None:
        raise ViolationError(f"a dead letter: {letters[0]}")
