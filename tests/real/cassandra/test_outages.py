"""The node is killed and started again while somebody works with it."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fastdata.archive import open_archive_storage
from fastdata.errors import CommitUnknownError, FastdataError, StoreUnavailableError
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.batch.sales import Sale, Sales, count
from tests.real.postgres.commands import finish, start
from tests.store.samples import METRIC, NOON, ONE, partial
from tests.support.services.cassandra import Cassandra

Answer = TypeVar("Answer")

SALES = [Sale(f"o{n}", n * 7 % 1_440, f"shop {n % 50}", n, f"b{n % 7}") for n in range(50_000)]


@pytest.fixture
async def store(durable_cassandra: Cassandra, keyspace: str) -> AsyncIterator[ServingStore]:
    async with open_store(durable_cassandra.url(keyspace)) as store:
        yield store


async def start_again(node: Cassandra) -> None:
    # Not in a thread, since it would end with that thread.
    node.launch()
    await asyncio.to_thread(node.wait_until_ready)


async def until_answered(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """What it is told as soon as the driver of this process has found the node again."""
    async with asyncio.timeout(180):
        while True:
            try:
                return await ask()
            except StoreUnavailableError:
                await asyncio.sleep(0.1)


async def watch(world: Sales, store: ServingStore, done: asyncio.Event) -> int:
    """Read all the time; how often it was answered, each time without half a version."""
    expected = count({0: SALES})
    answers = 0
    while not done.is_set():
        try:
            shown = await world.shown(store)
        except FastdataError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(0.05)
            continue
        answers += 1
        hours = {minute // 3_600_000 for minute, _ in shown}
        whole = {key: row for key, row in expected.items() if key[0] // 3_600_000 in hours}
        assert whole == shown
    return answers


async def test_a_replay_is_resumed_after_the_node_was_killed(
    durable_cassandra: Cassandra, keyspace: str, store: ServingStore, tmp_path: Path
) -> None:
    world = Sales(tmp_path, open_archive_storage(str(tmp_path / "archive")), segment_size=2_500)
    await world.archive(SALES)
    url = f"{durable_cassandra.url(keyspace)}&writes_per_s=6000"
    done = asyncio.Event()
    watching = asyncio.create_task(watch(world, store, done))
    process = start(world, url, "replay", "--metric", "by_shop", "--workers", "1", "--json")
    # A node that has much to do beside this may answer late.
    read = functools.partial(store.heads, world.by_shop.id, 0, 1 << 60)
    while not (heads := await until_answered(read)):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.005)
    assert len(heads) < 24
    durable_cassandra.kill()
    await start_again(durable_cassandra)
    await asyncio.to_thread(finish, process)
    again = start(world, url, "replay", "--metric", "by_shop", "--resume", "--json")
    assert (0, "") == (await asyncio.to_thread(finish, again))[::2]
    done.set()

    assert count({0: SALES}) == await until_answered(lambda: world.shown(store))
    run = await store.last_run(world.by_shop.id)
    assert run is not None
    assert run.is_done
    assert await watching > 10


async def test_what_was_acknowledged_is_there_after_the_node_was_killed(
    durable_cassandra: Cassandra, store: ServingStore
) -> None:
    done = asyncio.Event()
    refused: list[type[FastdataError]] = []

    async def write(partition: int) -> int:
        stamp = 0
        while not done.is_set():
            try:
                await store.upsert([partial(partition=partition, stamp=stamp + 1)], [])
            except (CommitUnknownError, StoreUnavailableError) as error:
                refused.append(type(error))
                await asyncio.sleep(0.05)
                continue
            stamp += 1
        return stamp

    writers = [asyncio.create_task(write(partition)) for partition in range(3)]
    before = await progress_of(store, 20)
    durable_cassandra.kill()
    await start_again(durable_cassandra)
    await progress_of(store, before + 20)
    done.set()
    stamps = await asyncio.gather(*writers)
    assert {StoreUnavailableError, CommitUnknownError} >= set(refused) >= {StoreUnavailableError}
    assert stamps == [p.stamp for p in await store.partials(METRIC, NOON, ONE)]


async def progress_of(store: ServingStore, stamp: int) -> int:
    """Wait until all writers have got that far; how far the first one is."""
    async with asyncio.timeout(180):
        while True:
            try:
                stored = await store.partials(METRIC, NOON, ONE)
            except StoreUnavailableError:
                stored = []
            if len(stored) == 3 and min(p.stamp for p in stored) >= stamp:
                return stored[0].stamp
            await asyncio.sleep(0.05)
