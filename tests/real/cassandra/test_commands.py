"""Replay and query by the command line, end to end on Cassandra."""

import asyncio
import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.store.opening import open_store
from tests.batch.sales import Sale, Sales, count
from tests.real.postgres.commands import finish, start
from tests.support.services.cassandra import Cassandra

SALES = [Sale(f"o{n}", n * 3 % 1200, f"shop {n % 3}", n, f"b{n % 7}") for n in range(400)]


@pytest.fixture
def url(cassandra: Cassandra, keyspace: str) -> str:
    return cassandra.url(keyspace)


@pytest.fixture
async def world(tmp_path: Path) -> Sales:
    world = Sales(tmp_path, open_archive_storage(str(tmp_path / "archive")), segment_size=50)
    await world.archive(SALES)
    await world.archive(SALES[100:300], partition=1)
    return world


async def run(world: Sales, url: str, *arguments: str) -> str:
    """What a command printed, which has nothing to complain of."""
    process = start(world, url, *arguments)
    code, out, err = await asyncio.to_thread(finish, process)
    assert (0, "") == (code, err)
    return out


async def test_a_query_answers_what_worker_processes_replayed(world: Sales, url: str) -> None:
    reports = []
    for _ in range(2):
        out = await run(world, url, "replay", "--workers", "2", "--json")
        (report,) = [m for m in json.loads(out)["metrics"] if m["metric"] == "by_shop"]
        reports.append((report["recomputed"] > 0, report["unchanged"]))
    assert [(True, 0), (False, 24)] == reports
    async with open_store(url, create=False) as store:
        assert count({0: SALES, 1: SALES[100:300]}) == await world.shown(store)

    asked = ("query", "by_shop", "--from", "2013-01-01", "--to", "2013-01-02", "--by", "shop")
    amounts = Counter[tuple[int, str]]()
    for sale in SALES:
        assert sale.minute is not None
        amounts[sale.minute // 60, str(sale.shop)] += sale.amount
    rows = json.loads(await run(world, url, *asked, "--json"))["rows"]
    assert amounts == {
        (datetime.fromisoformat(row["window_start"]).hour, row["shop"]): row["amount"]
        for row in rows
    }


async def test_two_replays_at_once_give_one_result(world: Sales, url: str) -> None:
    await asyncio.gather(*(run(world, url, "replay", "--workers", "0", "--json") for _ in range(2)))
    async with open_store(url, create=False) as store:
        assert count({0: SALES, 1: SALES[100:300]}) == await world.shown(store)


async def test_a_store_that_is_not_there_is_one_line(world: Sales, url: str) -> None:
    process = start(world, url, "query", "by_shop")
    code, out, err = await asyncio.to_thread(finish, process)
    assert (1, "") == (code, out)
    assert 1 == len(err.splitlines())
    assert "holds no store yet" in err
