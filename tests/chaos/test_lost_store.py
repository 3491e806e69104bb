"""The store is deleted while worker, archiver and replays run, and somebody reads."""

import asyncio
import re
import threading
from collections import Counter
from pathlib import Path

import pytest

from fastdata import query
from fastdata.errors import StoreUnavailableError
from fastdata.store.opening import open_store
from tests.support.lab import FIRST_MS, PARTITIONS, Lab, page, stop
from tests.support.mockbroker import MockBroker

pytestmark = pytest.mark.processes


@pytest.fixture
def lab(tmp_path: Path, broker: MockBroker) -> Lab:
    topic = re.sub(r"\W|_", "-", tmp_path.name)
    broker.create(topic, PARTITIONS)
    return Lab(tmp_path, broker.address, topic, segment_size=100)


class Supervisor(threading.Thread):
    """Starts the worker again whenever it ends."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self.lab, self.done = lab, threading.Event()
        self.starts = 0

    def run(self) -> None:
        while not self.done.is_set():
            self.starts += 1
            with self.lab.worker() as worker:
                while worker.poll() is None and not self.done.wait(0.1):
                    pass
                if worker.poll() is None:
                    stop(worker)


def groups(offsets: dict[int, int]) -> Counter[tuple[int, str]]:
    """Events per minute and page, of those before an offset of each partition."""
    found = Counter[tuple[int, str]]()
    for partition, end in offsets.items():
        for offset in range(end):
            n = offset * PARTITIONS + partition
            minute = (FIRST_MS + 10 * n) // 60_000 * 60_000
            found[minute, page(n)] += 1
    return found


async def count_exact(lab: Lab) -> tuple[int, int]:
    """Rows, and exact ones among them; each of these has all that the store calls folded."""
    async with open_store(lab.store, create=False) as store:
        progress = await store.progress(lab.topic)
        table = await query(lab.pages, every="1m", by="page", store=store)
    read = groups({report.partition: report.next_offset for report in progress})
    sent = groups(dict.fromkeys(range(PARTITIONS), lab.produced // PARTITIONS))
    rows = table.to_pylist()
    for row in rows:
        key = (round(row["window_start"].timestamp() * 1000), row["page"])
        if row["exact"]:
            assert read[key] <= row["n"], f"{key} says exact"
        assert row["n"] <= sent[key]
        assert row["n_lower"] <= row["n"] <= row["n_upper"]
    return len(rows), sum(row["exact"] for row in rows)


async def read_until(lab: Lab, done: asyncio.Event, answers: Counter[str]) -> None:
    while not done.is_set():
        try:
            _, exact = await count_exact(lab)
            answers["exact"] += bool(exact)
            answers["all"] += 1
        except StoreUnavailableError:
            answers["away"] += 1
        await asyncio.sleep(0.05)


async def until_all_exact(lab: Lab) -> None:
    async with asyncio.timeout(180):
        while True:
            for command in (("archive", "--once"), ("replay", "--json")):
                await asyncio.to_thread(lab.fastdata, *command)
            try:
                rows, exact = await count_exact(lab)
                if (
                    rows
                    == exact
                    == len(groups(dict.fromkeys(range(PARTITIONS), lab.produced // PARTITIONS)))
                ):
                    return
            except StoreUnavailableError:
                continue


@pytest.mark.parametrize("losses", [1, pytest.param(3, marks=pytest.mark.nightly)])
async def test_no_answer_claims_what_a_lost_store_had(lab: Lab, losses: int) -> None:
    lab.produce(600)
    (lab.folder / "worker.log").touch()
    supervisor = Supervisor(lab)
    supervisor.start()
    done, answers = asyncio.Event(), Counter[str]()
    await asyncio.to_thread(lab.wait_until_folded, 600)
    reading = asyncio.create_task(read_until(lab, done, answers))
    for _ in range(losses):
        for command in (("archive", "--once"), ("replay", "--json")):
            await asyncio.to_thread(lab.fastdata, *command)
        for file in (lab.folder / "data").glob("fastdata.db*"):
            file.unlink()
        lab.produce(400)
        await asyncio.to_thread(lab.wait_until_folded, lab.produced)
    await until_all_exact(lab)
    done.set()
    await reading
    supervisor.done.set()
    await asyncio.to_thread(supervisor.join)

    assert supervisor.starts == losses + 1
    assert answers["all"] > 20
    assert answers["exact"] > 0
