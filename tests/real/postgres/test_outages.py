"""The server stops, or undoes a transaction, while somebody works with it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from fastdata.archive import open_archive_storage
from fastdata.errors import CommitUnknownError, StoreUnavailableError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Gap, ServingStore
from tests.batch.sales import Sale, Sales, count
from tests.real.postgres.commands import finish, start
from tests.store.samples import METRIC, NOON, ONE, TOPIC, partial
from tests.support.services.postgres import Postgres

FIRST, SECOND = partial(segment=1, stamp=7), partial(segment=2, stamp=7)
WAITING = "select count(*) from pg_locks where not granted"


@pytest.fixture
def server(restartable_postgres: Postgres) -> Postgres:
    """One that may be stopped."""
    return restartable_postgres


@pytest.fixture
async def store(url: str) -> AsyncIterator[ServingStore]:
    async with open_store(url) as store:
        yield store


@pytest.fixture
async def other(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection that others have."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def until_one_waits(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until a transaction waits for a lock."""
    async with asyncio.timeout(120):
        while not await connection.fetchval(WAITING):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.01)


async def crash(server: Postgres) -> None:
    server.kill()
    await start_again(server)


async def restart(server: Postgres) -> None:
    """As an operator does it: whoever is connected is sent away."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGINT)
    await asyncio.to_thread(server.stop)
    await start_again(server)


async def start_again(server: Postgres) -> None:
    # Not in a thread, since it would end with that thread.
    server.launch()
    await asyncio.to_thread(server.wait_until_ready)


@pytest.mark.parametrize("stop", [crash, restart])
async def test_a_replay_goes_on_after_the_server_stopped_in_its_middle(
    server: Postgres, tmp_path: Path, stop: Callable[[Postgres], Awaitable[None]]
) -> None:
    world = Sales(tmp_path, open_archive_storage(str(tmp_path / "archive")), segment_size=100)
    sales = [Sale(f"o{n}", n * 3 % 1200, "north", n, f"b{n % 7}") for n in range(400)]
    await world.archive(sales)
    url = server.url()
    async with open_store(url) as store:
        holder = await asyncpg.connect(url)
        name = world.by_shop.id
        await holder.execute(f"select pg_advisory_lock(hashtextextended('{name}', 0))")
        process = start(world, url, "replay", "--metric", "by_shop", "--workers", "1", "--json")
        await until_one_waits(holder)
        await stop(server)
        holder.terminate()

        assert (0, "") == (await asyncio.to_thread(finish, process))[::2]
        assert count({0: sales}) == await world.shown(store)
        run = await store.last_run(name)
        assert run is not None
        assert run.is_done


async def test_what_was_acknowledged_is_there_after_the_server_was_restarted(
    server: Postgres,
) -> None:
    async with open_store(server.url()) as store:
        done = asyncio.Event()

        async def write(partition: int) -> int:
            stamp = 0
            while not done.is_set():
                try:
                    await store.upsert([partial(partition=partition, stamp=stamp + 1)], [])
                except CommitUnknownError:
                    continue
                stamp += 1
            return stamp

        writers = [asyncio.create_task(write(partition)) for partition in range(3)]
        for stop in (restart, crash):
            await stop(server)
        done.set()
        stamps = await asyncio.gather(*writers)
        stored = await store.partials(METRIC, NOON, ONE)
    assert min(stamps) > 0
    assert stamps == [p.stamp for p in stored]


async def test_a_deadlock_is_tried_again(
    store: ServingStore, other: "asyncpg.Connection[asyncpg.Record]", url: str
) -> None:
    await store.upsert([partial(segment=1), partial(segment=2)], [])
    was_undone = True
    while was_undone:
        # Who has waited for a second finds out and is undone: the store, unless this is slow.
        with suppress(asyncpg.DeadlockDetectedError):
            async with other.transaction():
                await other.execute("update partials set stamp = 3 where segment = 2")
                writing = asyncio.create_task(store.upsert([FIRST, SECOND], []))
                await until_one_waits(other)
                await other.execute("update partials set stamp = 3 where segment = 1")
            was_undone = False
        await writing
    assert [FIRST, SECOND] == list(await store.partials(METRIC, NOON, ONE))


async def test_a_connection_lost_in_a_commit_has_an_unknown_outcome(
    store: ServingStore, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await other.execute(at_the_end("perform pg_terminate_backend(pg_backend_pid());"))
    with pytest.raises(CommitUnknownError, match="do it again"):
        await store.record_gap(Gap(TOPIC, 0, 1, 2))


async def test_a_commit_that_the_server_refuses_was_not_done(
    store: ServingStore, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await other.execute(at_the_end("raise exception sqlstate '23514';"))
    with pytest.raises(StoreUnavailableError):
        await store.record_gap(Gap(TOPIC, 0, 1, 2))
    assert [] == list(await store.gaps(TOPIC))


def at_the_end(do: str) -> str:
    """What makes the server do something while it commits a gap."""
    return (
        f"create function interfere() returns trigger language plpgsql as"
        f" $$ begin {do} return null; end $$;"
        " create constraint trigger late after insert on gaps deferrable initially deferred"
        " for each row execute function interfere()"
    )


async def test_cancelled_calls_leave_the_store_usable(store: ServingStore) -> None:
    rows = [partial(segment=n, state=bytes(200)) for n in range(3_000)]
    for after in range(20):
        call = asyncio.create_task(store.upsert(rows, []))
        await asyncio.wait([call], timeout=after / 1_000)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert len(await store.partials(METRIC, NOON, ONE)) in (0, len(rows))
