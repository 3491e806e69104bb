"""Late, shuffled, repeated, early and broken events: what is answered at every moment."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from fastdata.answer.query import query
from fastdata.events.schema import encode
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.agreement.auditing import Auditor
from tests.agreement.driver import Log, Loop
from tests.agreement.stages import Deployment
from tests.agreement.traffic import HOUR, PARTITIONS, START, Sent, Traffic

DECLARED = Path(__file__).parent / "declared"
CLICKS = 4_000


@asynccontextmanager
async def opened(store: str, folder: Path) -> AsyncIterator[ServingStore]:
    made = MemoryStore() if store == "memory" else open_store(f"sqlite:///{folder / 'store.db'}")
    async with made as entered:
        yield entered


def deploy(folder: Path, segment_size: int) -> Deployment:
    agents = DECLARED / "agents" / "clicks.py"
    size = {"segment_size=100,": f"segment_size={segment_size},"}
    return Deployment(folder, agents, DECLARED / "schemas", size)


class Day:
    """Half a day of traffic: it comes, is folded, archived and replayed, and asked for."""

    def __init__(self, seed: int, deployment: Deployment, store: ServingStore) -> None:
        self.rng = Random(seed)
        self.store = store
        self.loop: Loop = deployment.loop(Log(PARTITIONS))
        self.auditor = Auditor(self.loop)
        self.traffic = Traffic(seed, CLICKS, deployment.source).sent

    def come(self, records: list[Sent]) -> None:
        """Append to the log."""
        for one in records:
            offset = self.loop.log.send(one.partition, one.value, one.came)
            self.auditor.records[one.partition, offset] = one

    def fold(self, count: int) -> None:
        """Fold so many records, in the order in which they came."""
        for _ in range(count):
            waiting = [
                (self.loop.log.partitions[p][self.loop.position(p)][0], p)
                for p in self.loop.partitions
                if self.loop.position(p) < self.loop.log.end(p)
            ]
            if not waiting:
                return
            self.loop.fold(min(waiting)[1], 1)

    async def run(self) -> None:
        """Ask after every change of either layer."""
        await self.loop.start(self.store)
        todo = self.traffic
        while todo:
            count = self.rng.randrange(100, 400)
            self.come(todo[:count])
            todo = todo[count:]
            self.fold(self.rng.choice([count // 2, 2 * count]))
            if self.rng.random() < 0.2:
                await self.loop.start(self.store)  # a crash: what was not flushed is folded again
            else:
                await self.loop.layer.flush()
                await self.auditor.audit()
            if self.rng.random() < 0.3:
                await self.replay()

    async def replay(self) -> None:
        """Archive and count again; the speed layer may be behind or ahead."""
        await self.loop.archive()
        await self.loop.replay()
        await self.auditor.audit()
        await self.loop.layer.clean_up()

    async def drain(self) -> None:
        """Fold all that has come."""
        await self.loop.drain()
        await self.auditor.audit()

    async def close_segments(self) -> None:
        """Have batch count everything."""
        self.loop.log.fill(self.loop.source.segment_size)
        await self.drain()
        await self.replay()


@pytest.mark.parametrize(
    ("segment_size", "store"),
    [
        (100, "memory"),
        (1_000, "sqlite"),
        (1_000_000, "memory"),
        pytest.param(100, "sqlite", marks=pytest.mark.nightly),
        pytest.param(1_000, "memory", marks=pytest.mark.nightly),
        pytest.param(1_000_000, "sqlite", marks=pytest.mark.nightly),
    ],
)
async def test_every_answer_is_true_at_every_moment(
    tmp_path: Path, segment_size: int, store: str
) -> None:
    async with opened(store, tmp_path) as entered:
        day = Day(segment_size, deploy(tmp_path, segment_size), entered)
        await day.run()
        await day.drain()
        if segment_size < 1_000_000:
            await day.close_segments()
        broken = {place for place, one in day.auditor.records.items() if one.fate == "bad"}
        letters = {(letter.partition, letter.record.offset) for letter in day.loop.letters}
        assert broken == {(p, o) for p, o in letters if (p, o) in day.auditor.records}


async def test_the_traffic_is_as_careless_as_it_should_be(tmp_path: Path) -> None:
    async with MemoryStore() as store:
        day = Day(1, deploy(tmp_path, 100), store)
        fates = Counter(one.fate for one in day.traffic)
        assert min(fates[fate] for fate in ("bad", "fold", "future", "late", "repeat")) >= 40
        await day.run()
        seen = day.auditor.seen
        assert min(seen.exact, seen.doubled, seen.widened, seen.after_batch) >= 100, seen


async def test_an_id_with_a_time_in_another_hour_is_another_event_for_both_layers(
    tmp_path: Path,
) -> None:
    async with MemoryStore() as store:
        loop = deploy(tmp_path, 100).loop(Log(1))
        click: dict[str, object] = {"place": None, "user": None, "amount": 1, "seconds": None}
        for at in (START, START + 1, START + HOUR):
            value = encode(loop.source.schema, {**click, "click": "same", "at": at})
            loop.log.send(0, value, at)
        await loop.start(store)
        await loop.drain()
        before = await query(loop.metrics[0], store=store)
        loop.log.fill(100)
        await loop.drain()
        await loop.archive()
        await loop.replay()
        after = await query(loop.metrics[0], store=store)
        assert [1, 1] == before["clicks"].to_pylist() == after["clicks"].to_pylist()
