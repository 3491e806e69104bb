"""A derived metric, as an assistant asks for it."""

from pathlib import Path

from fastdata import Settings
from fastdata.declare.catalog import catalog_of
from fastdata.mcp.tools import call
from fastdata.store.opening import open_store
from fastdata.web.desk import Desk
from tests.answer.apps import NOON, ONE, Apps


async def test_it_is_listed_and_answered_like_any_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    async with open_store(url) as store:
        apps = Apps(tmp_path, store)
        await apps.count(apps.crashes, NOON, {"1.0": "a"})
        await apps.count(apps.loads, NOON, {"1.0": "abcd"})
        for metric in (apps.crashes, apps.loads):
            await apps.reach(metric, ONE)
    catalog = catalog_of([apps.stability])

    async with Desk.open(Settings.load(store=url), catalog, samples=False) as desk:
        listed = await call(desk, "list_metrics", {})
        asked = await call(desk, "query_metric", {"metric": "stability"})
        empty = await call(desk, "query_metric", {"metric": "stability", "from": "2025-01-01"})

    assert [["crashes", "loads"]] == [metric["metrics"] for metric in listed["derived"]]
    assert [(0.25, True)] == [(row["crashes_per_load"], row["exact"]) for row in asked["rows"]]
    assert "crashes is stored from 2024-02-29T12:00" in empty["hint"]
