"""Replay and query by the command line, end to end on PostgreSQL."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from fastdata.store.opening import open_store
from tests.batch.sales import Sale, Sales, count
from tests.real.postgres.commands import finish, start

SALES = [Sale(f"o{n}", n * 3 % 1200, f"shop {n % 3}", n, f"b{n % 7}") for n in range(400)]


@pytest.fixture
async def world(tmp_path: Path) -> Sales:
    world = Sales(tmp_path, open_archive_storage(str(tmp_path / "archive")), segment_size=50)
    await world.archive(SALES)
    await world.archive(SALES[100:300], partition=1)
    return world


async def test_worker_processes_replay_what_a_query_answers(world: Sales, url: str) -> None:
    code, _, err = finish(start(world, url, "replay", "--workers", "2", "--json"))
    assert (0, "") == (code, err)
    async with open_store(url, create=False) as store:
        assert count({0: SALES, 1: SALES[100:300]}) == await world.shown(store)

    asked = ("query", "by_shop", "--from", "2013-01-01", "--to", "2013-01-02", "--by", "shop")
    code, out, err = finish(start(world, url, *asked, "--json"))
    assert (0, "") == (code, err)
    amounts = Counter[tuple[int, str]]()
    for sale in SALES:
        assert sale.minute is not None
        amounts[sale.minute // 60, str(sale.shop)] += sale.amount
    rows = json.loads(out)["rows"]
    assert amounts == {
        (datetime.fromisoformat(row["window_start"]).hour, row["shop"]): row["amount"]
        for row in rows
    }


async def test_a_second_replay_finds_nothing_to_do(world: Sales, url: str) -> None:
    reports = []
    for _ in range(2):
        code, out, err = finish(start(world, url, "replay", "--workers", "0", "--json"))
        assert (0, "") == (code, err)
        (report,) = [m for m in json.loads(out)["metrics"] if m["metric"] == "by_shop"]
        reports.append((report["recomputed"] > 0, report["unchanged"]))
    assert [(True, 0), (False, 24)] == reports


async def test_two_replays_at_once_give_one_result(world: Sales, url: str) -> None:
    both = [start(world, url, "replay", "--workers", "0", "--json") for _ in range(2)]
    assert [0, 0] == [finish(process)[0] for process in both]
    async with open_store(url, create=False) as store:
        assert count({0: SALES, 1: SALES[100:300]}) == await world.shown(store)


async def test_a_wrong_password_is_one_line(world: Sales, url: str) -> None:
    process = start(world, url.replace(":secret@", ":secret2@"), "query", "by_shop")
    code, out, err = finish(process)
    assert (1, "") == (code, out)
    assert 1 == len(err.splitlines())
    assert "password authentication failed" in err
    assert "secret" not in err
