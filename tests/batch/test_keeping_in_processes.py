"""Hours that are kept by commands in processes of their own, and by one that is killed."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.batch.sales import Sales, count
from tests.batch.test_keeping_hours import names
from tests.batch.test_processes import NEW, OLD, finish, start

pytestmark = pytest.mark.processes

HOURS = 20


@pytest.fixture
def world(tmp_path: Path) -> Sales:
    storage = open_archive_storage(str(tmp_path / "archive"))
    return Sales(tmp_path, storage, segment_size=100, rollups='rollups=["day"]')


@pytest.fixture
async def database(world: Sales) -> AsyncIterator[ServingStore]:
    async with open_store(f"sqlite:///{world.folder / 'store.db'}") as store:
        yield store


async def objects(world: Sales) -> dict[str, bytes | None]:
    return {name: await world.storage.get(name) for name in await names(world)}


async def test_worker_processes_keep_what_this_process_would(
    world: Sales, database: ServingStore
) -> None:
    await world.archive(OLD)
    await world.replay(database)
    here = await objects(world)
    await world.storage.delete(*here)

    code, out, err = finish(start(world, "--metric", "by_shop", "--workers", "2", "--json"))

    assert (code, err) == (0, "")
    assert json.loads(out)["metrics"][0]["kept"] == HOURS
    assert len(here) == HOURS
    assert await objects(world) == here


async def test_a_replay_killed_while_it_keeps_hours_is_made_up_for(
    world: Sales, database: ServingStore
) -> None:
    await world.archive(OLD)
    await world.replay(database)
    old = await objects(world)
    await world.archive(NEW)

    process = start(world, "--workers", "0", "--metric", "by_shop")
    while process.poll() is None and await names(world) <= set(old):
        continue
    process.kill()
    code, _, _ = finish(process)
    between = await world.shown(database)
    interrupted = await objects(world)
    again = finish(start(world, "--resume", "--metric", "by_shop"))
    last = finish(start(world, "--metric", "by_shop", "--json"))
    after = await objects(world)

    assert code in (-signal.SIGKILL, 0)
    # Each hour is shown as it was or as it is.
    assert set(between.items()) <= set(count({0: OLD}).items()) | set(count({0: OLD + NEW}).items())
    assert interrupted.items() - old.items() <= after.items()
    assert (again[0], last[0]) == (0, 0)
    assert json.loads(last[1])["metrics"][0]["kept"] == 0
    assert await world.shown(database) == count({0: OLD + NEW})
    await world.storage.delete(*await objects(world))
    await world.replay(database)
    assert await objects(world) == after
