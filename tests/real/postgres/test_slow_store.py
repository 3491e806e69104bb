"""A worker whose store is slow, or away for a minute, while more comes than the store can take."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.support.lab import Lab, stop
from tests.support.mockbroker import MockBroker
from tests.support.services.postgres import Postgres
from tests.support.supervising import supervised

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]

# Each statement that writes partials waits first: one of a flush, whatever it writes.
SLOW = """
create function wait() returns trigger language plpgsql
as 'begin perform pg_sleep(0.2); return null; end';
create trigger wait before insert or update on partials for each statement execute function wait();
"""
MOST_GROWTH_MIB = 64


@pytest.fixture
def server(restartable_postgres: Postgres) -> Postgres:
    return restartable_postgres


@pytest.fixture
def lab(tmp_path: Path, broker: MockBroker, server: Postgres) -> Lab:
    topic = re.sub(r"\W|_", "-", tmp_path.name)
    broker.create(topic)
    return Lab(tmp_path, broker.address, topic, FASTDATA_STORE=server.url())


class Memory:
    """The memory of a process, over time."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.mib: list[int] = []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look once a second until the end of the block."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()

    async def _look(self) -> None:
        while True:
            (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", self._status.read_text())
            self.mib.append(int(kib) // 1024)
            await asyncio.sleep(1)


async def send_for(lab: Lab, seconds: float, partition: int | None = None) -> None:
    """Some 400 events a second; all into one partition where that is said."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.to_thread(lab.produce, 80, None, partition)
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("partition", [None, 2], ids=["all partitions", "one hot partition"])
async def test_a_slow_store_holds_the_worker_back_and_it_catches_up(
    lab: Lab, server: Postgres, partition: int | None
) -> None:
    lab.produce(400, partition=partition)
    with lab.worker() as worker:
        await asyncio.to_thread(lab.wait_until_folded, 400)
        connection = await asyncpg.connect(lab.store)
        await connection.execute(SLOW)
        memory = Memory(worker.pid)
        async with memory.watched():
            await send_for(lab, 20, partition)
            begun = len(memory.mib)
            await send_for(lab, 40, partition)
        assert worker.poll() is None
        await connection.execute("drop trigger wait on partials")
        await connection.close()
        await asyncio.to_thread(lab.wait_until_folded, lab.produced)
        assert 0 == await asyncio.to_thread(stop, worker)
    assert max(memory.mib[begun:]) < max(memory.mib[:begun]) + MOST_GROWTH_MIB
    assert await lab.answer() == lab.expected()


async def test_workers_whose_store_is_away_for_a_minute_start_again_and_catch_up(
    lab: Lab, server: Postgres
) -> None:
    lab.produce(400)
    with supervised(lab) as workers:
        await asyncio.to_thread(lab.wait_until_folded, 400)
        await send_for(lab, 5)
        server.kill()
        await send_for(lab, 60)
        server.launch()
        await asyncio.to_thread(server.wait_until_ready)
        assert workers.poll() is None
        await asyncio.to_thread(lab.wait_until_folded, lab.produced)
        assert 0 == await asyncio.to_thread(stop, workers)
    assert await lab.answer() == lab.expected()
