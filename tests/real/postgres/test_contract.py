"""The contract of all stores on PostgreSQL."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from fastdata.coordinates.segments import Coverage
from fastdata.errors import StoreError, StoreUnavailableError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Gap, Progress, ServingStore
from tests.store.contract import StoreContract
from tests.store.samples import METRIC, NOON, TWO
from tests.support.services.postgres import Postgres

EMPTY = "truncate partials, totals, heads, runs, gaps, progress restart identity"


@pytest.fixture(scope="module")
def kept_url(postgres: Postgres) -> str:
    """One database for all, since a new one takes longer than most tests."""
    return f"{postgres.url()}?sslmode=disable"


class TestPostgres(StoreContract):
    @pytest.fixture
    async def store(self, kept_url: str) -> AsyncIterator[ServingStore]:
        async with open_store(kept_url) as store:
            await change(kept_url, EMPTY)
            yield store


async def change(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_run_numbers_are_never_used_again(url: str) -> None:
    async with open_store(url) as store:
        first = await store.open_run(METRIC, NOON, TWO, Coverage())
        await change(url, "delete from runs")
        assert (await store.open_run(METRIC, NOON, TWO, Coverage())).number > first.number


async def test_a_store_of_another_layout_is_refused(url: str) -> None:
    async with open_store(url):
        pass
    await change(url, "update layout set version = 7")
    for create in (True, False):
        with pytest.raises(StoreError, match="layout 7, this fastdata needs 2"):
            await open_store(url, create).__aenter__()


async def test_tables_of_the_layout_before_are_migrated(url: str) -> None:
    async with open_store(url) as store:
        await store.upsert([], [Progress("visits", 0, 9, 5, 7)])
        await store.record_gap(Gap("visits", 0, 1, 3))
    await change(
        url,
        "alter table progress drop column read_until, drop column is_at_end, drop column epoch;"
        "alter table gaps add column earliest bigint not null default 0,"
        " add column latest bigint not null default 0;"
        "update layout set version = 1",
    )
    async with open_store(url, create=False) as store:
        assert [Progress("visits", 0, 9, 5, 7)] == list(await store.progress("visits"))
        assert [Gap("visits", 0, 1, 3)] == list(await store.gaps("visits"))


async def test_a_reader_makes_no_tables(url: str) -> None:
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="start a worker or a replay first"):
            await open_store(url, create=False).__aenter__()


async def test_dimensions_are_sorted_in_the_same_way_in_every_language(url: str) -> None:
    # In most languages "a" comes before "B", in Python and in SQLite it does not.
    connection = await asyncpg.connect(url)
    await connection.execute("create database swiss locale 'C.UTF-8' template template0")
    async with open_store(url.rpartition("/")[0] + "/swiss"):
        pass
    other = await asyncpg.connect(url.rpartition("/")[0] + "/swiss")
    collations = await other.fetch(
        "select distinct collation_name from information_schema.columns"
        " where table_name in ('partials', 'totals', 'heads') and column_name in ('metric', 'dims')"
    )
    await other.close()
    await connection.close()
    assert ["C"] == [row["collation_name"] for row in collations]
