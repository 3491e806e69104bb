"""A derived metric over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastdata.store.opening import open_store
from tests.answer.apps import NOON, ONE, Apps
from tests.web.serving import Served, serving_only

QUERY = "/api/v1/metrics/stability/query"


@pytest.fixture
async def apps(tmp_path: Path) -> AsyncIterator[Apps]:
    async with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        apps = Apps(tmp_path, store)
        await apps.count(apps.crashes, NOON, {"1.0": "a"})
        await apps.count(apps.loads, NOON, {"1.0": "abcd"})
        for metric in (apps.crashes, apps.loads):
            await apps.reach(metric, ONE)
        yield apps


@pytest.fixture
async def served(apps: Apps, tmp_path: Path) -> AsyncIterator[Served]:
    url = f"sqlite:///{tmp_path}/store.db"
    async with serving_only(apps.loads, url, apps.stability) as served:
        yield served


async def test_it_is_listed_with_its_metrics_dimensions_and_measures(
    served: Served, apps: Apps
) -> None:
    listed = (await served.get("/api/v1/metrics")).json()

    assert ["crashes", "loads"] == [metric["name"] for metric in listed["metrics"]]
    assert [
        {
            "name": "stability",
            "definition": apps.stability.id,
            "metrics": ["crashes", "loads"],
            "zone": "UTC",
            "dimensions": [{"name": "version", "type": "string"}],
            "measures": [
                {"name": name, "declared": text, "type": "double", "is_number": True}
                for name, text in apps.stability.measures.items()
            ],
        }
    ] == listed["derived"]


async def test_it_is_queried_like_any_other(served: Served) -> None:
    response = await served.client.get(QUERY, params={"by": "version", "measures": "crash_free"})

    (row,) = response.json()["rows"]
    names = ("version", "crash_free", "crash_free_lower", "exact", "in_progress", "replayed_until")
    assert ("1.0", 0.75, 0.75, True, False, "2024-02-29T13:00:00Z") == tuple(row[n] for n in names)


async def test_its_tag_changes_with_either_of_its_metrics(served: Served, apps: Apps) -> None:
    tags = [(await served.get(QUERY)).headers["etag"]]
    assert 304 == (await served.get(QUERY, **{"If-None-Match": tags[0]})).status_code
    for metric in (apps.crashes, apps.loads):
        await apps.fold(metric, ONE, "1.0", "a")
        while (tag := (await served.get(QUERY)).headers["etag"]) == tags[-1]:
            pass  # the last look is as old as a look takes
        tags.append(tag)

    (row,) = (await served.client.get(QUERY, params={"from": "2024-02-29T13:00Z"})).json()["rows"]
    assert (1.0, False) == (row["crashes_per_load"], row["exact"])


async def test_a_page_says_of_what_it_is_made(served: Served) -> None:
    page = await served.get("/metrics/stability")

    assert 404 == page.status_code
    assert "is a derived metric, of which nothing is stored" in page.text


async def test_more_rows_than_a_server_answers_are_refused(apps: Apps, tmp_path: Path) -> None:
    await apps.count(apps.loads, ONE, {"1.0": "ab"})
    url = f"sqlite:///{tmp_path}/store.db"
    async with serving_only(apps.loads, url, apps.stability, web_max_rows=1) as served:
        assert 400 == (await served.problem(QUERY))[0]
        assert 200 == (await served.get(f"{QUERY}?every=all")).status_code
