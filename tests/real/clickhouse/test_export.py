"""Flat tables in ClickHouse, by its own engine: what readers see, and what an end leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from fastdata import Histogram, Max, Mean, Metric, Sum, export, failpoints
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS, parse_instant
from fastdata.errors import ExportError, SettingsError, StoreUnavailableError
from fastdata.exports import clickhouse_server
from fastdata.exports.clickhouse_server import ClickHouse
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial
from tests.answer.trips import NO_FIELDS, NOON, declare, declare_source
from tests.exports.rides import Changes, Rows, answer, comparable, replay_hours
from tests.support.services.clickhouse import ClickHouseEngine

HOURS = [NOON + n * HOUR_MS for n in range(12)]
URL = "clickhouse://reader:secret@localhost"


class Flat:
    """A new database, and how a tool reads it."""

    def __init__(self, engine: ClickHouseEngine) -> None:
        self.database = engine.database()
        self.url = f"{URL}/{self.database}"
        self._client = engine.client(self.database)

    def ask(self, statement: str) -> Rows:
        found = self._client.query(statement)
        return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]

    def rows(self, table: str = "rides_1h") -> Rows:
        return list(map(_utc, self.ask(f"SELECT * FROM {table} ORDER BY window_start")))


def _utc(row: dict[str, object]) -> dict[str, object]:
    del row["row_key"]
    return {n: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for n, v in row.items()}


@pytest.fixture
def flat(clickhouse: ClickHouseEngine, monkeypatch: pytest.MonkeyPatch) -> Flat:
    """What is asked of a server is asked of the engine; all else is as with one."""

    def client(self: ClickHouse) -> Client:
        return clickhouse.client(self.database, clickhouse_server.SETTINGS)

    monkeypatch.setattr(ClickHouse, "client", client)
    return Flat(clickhouse)


@pytest.fixture(autouse=True)
def _no_failpoints() -> Iterator[None]:
    yield
    failpoints.reset()


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


@pytest.mark.parametrize("every", ["1m", "1h", "1d"])
async def test_the_table_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, flat: Flat, every: str
) -> None:
    changes = Changes(7, rides, store)
    table = flat_table(rides, every, has_bounds=True)
    async with Exporter(table, flat.url, store=store) as exporter:
        for _ in range(30):
            what = await changes.happen()
            await exporter.refresh()
            expected = comparable(await answer(rides, store, every, bounds=True))
            assert expected == comparable(flat.rows(table.name)), what
            assert 0 == (await exporter.refresh()).refreshed


async def test_rolling_days_are_the_answer(rides: Metric, store: MemoryStore, flat: Flat) -> None:
    await replay_hours(rides, store, HOURS)
    table = flat_table(rides, "day", rolling="3d")
    async with Exporter(table, flat.url, store=store) as exporter:
        assert 0 < (await exporter.refresh()).rows
        before = flat.rows(table.name)
        await replay_hours(rides, store, HOURS[:1], km=9)
        await exporter.refresh()
    assert before != flat.rows(table.name)
    assert len(before) == len(flat.rows(table.name))


async def test_values_keep_their_types(store: MemoryStore, flat: Flat, tmp_path: Path) -> None:
    by = ["day", "is_night", "at", "city"]
    metric = Metric(
        "rides",
        declare_source(tmp_path),
        by=by,
        measures={"fare": Sum("fare"), "mean": Mean("km"), "kms": Histogram("km", edges=[0, 5, 9])},
    )
    states = metric.zero()
    fields = NO_FIELDS | {"fare": Decimal("1.25"), "km": 6, "day": 1, "is_night": True, "at": 5}
    metric.add(states, fields)
    rows: list[list[Dimension]] = [[1, True, 5, "\N{SNOWMAN}\\'"], [None, None, 1 << 60, None]]
    for dims in rows:
        one = Partial(metric.id, NOON, dump_dims(dims), 0, 3, 301, metric.dump(states))
        await store.upsert([one], [])

    await export(metric, flat.url, store=store)

    row, null = sorted(flat.rows(), key=lambda row: row["city"] is None)
    at = datetime(1970, 1, 1, 0, 0, 0, 5_000, UTC)
    assert (date(1970, 1, 2), True, at, "\N{SNOWMAN}\\'") == tuple(row[name] for name in by)
    assert [None] * 4 == [null[name] for name in by]
    assert (Decimal("1.25"), 6.0) == (row["fare"], row["mean"])
    assert [0, 0, 1, 0] == json.loads(str(row["kms"]))
    types = {str(row["name"]): row["type"] for row in flat.ask("DESCRIBE rides_1h")}
    expected = {"fare": "Nullable(Decimal(38, 2))", "window_start": "DateTime64(6, 'UTC')"}
    assert expected.items() <= types.items()


async def test_a_refresh_of_many_rows_comes_in_as_a_whole(
    store: MemoryStore, flat: Flat, tmp_path: Path
) -> None:
    metric = Metric("rides", declare_source(tmp_path), by=["city"], measures={"km": Sum("km")})
    states = metric.zero()
    metric.add(states, NO_FIELDS | {"km": 1})
    dims = [dump_dims([f"{number} {'long' * 40}"]) for number in range(30_000)]
    state = metric.dump(states)
    await store.upsert(
        [Partial(metric.id, NOON + MINUTE_MS, text, 0, 3, 301, state) for text in dims], []
    )

    await export(metric, flat.url, store=store)

    parts = "SELECT rows FROM system.parts WHERE database = currentDatabase()"
    assert [30_001] == [row["rows"] for row in flat.ask(parts)]  # with the mark


async def test_no_reader_sees_half_a_refresh(rides: Metric, store: MemoryStore, flat: Flat) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    seen, done = set[tuple[object, ...]](), asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            rows = await asyncio.to_thread(flat.ask, "SELECT km FROM rides_1h")
            seen.add(tuple(sorted(int(str(row["km"])) for row in rows)))

    watching = asyncio.create_task(watch())
    async with Exporter(flat_table(rides, "1h"), flat.url, store=store) as exporter:
        for km in range(10, 40):
            await replay_hours(rides, store, HOURS, km=km)
            await exporter.refresh()
    done.set()
    await watching

    assert len(seen) > 5
    assert {len(kms) for kms in seen} == {len(HOURS)}


async def test_an_export_that_ends_before_its_insert_is_made_again(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    await replay_hours(rides, store, HOURS[:5], km=9)
    failpoints.set_action("export.before_commit", "raise")
    with pytest.raises(FailpointError):
        await export(rides, flat.url, store=store)
    assert [5] * 12 == [row["km"] for row in flat.rows()]

    assert 5 == (await export(rides, flat.url, store=store)).rows

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_another_definition_is_shown_when_it_holds_all(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    new = Metric("rides", rides.source, by=rides.by, measures={"most": Max("km")})
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    await replay_hours(new, store, HOURS, km=8)
    failpoints.set_action("export.before_commit", "raise")
    with pytest.raises(FailpointError):
        await export(new, flat.url, store=store)
    assert [5] * 12 == [row["km"] for row in flat.rows()]
    failpoints.reset()

    assert (await export(new, flat.url, store=store)).swapped

    assert [8] * 12 == [row["most"] for row in flat.rows()]
    await replay_hours(rides, store, HOURS[:1], km=7)
    assert (await export(rides, flat.url, store=store)).swapped
    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_a_table_that_was_dropped_is_made_again(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    flat.ask(f"DROP TABLE rides_1h_{flat_table(rides, '1h').definition} SYNC")

    assert 12 == (await export(rides, flat.url, store=store)).rows

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_what_no_export_made_is_never_touched(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    flat.ask("CREATE TABLE rides_1h ENGINE = Memory AS SELECT 'mine' AS whose")
    with pytest.raises(ExportError, match="that no export made"):
        await export(rides, flat.url, store=store)
    assert [{"whose": "mine"}] == flat.ask("SELECT * FROM rides_1h")


async def test_the_table_of_another_metric_is_not_taken(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    other = Metric("others", rides.source, measures={"most": Max("km")})
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    with pytest.raises(ExportError, match="is of the metric 'rides'"):
        await export(other, flat.url, store=store, table="rides_1h")


async def test_windows_that_clickhouse_cannot_say_are_left_out(
    rides: Metric, store: MemoryStore, flat: Flat, caplog: pytest.LogCaptureFixture
) -> None:
    year_one = parse_instant("0001-02-03T04:00")
    await replay_hours(rides, store, [year_one, *HOURS])

    assert 12 == (await export(rides, flat.url, store=store)).rows

    assert "left out 1 rows" in caplog.text
    assert 12 == len(flat.rows())


async def test_a_database_that_is_not_there_is_told(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    with pytest.raises(SettingsError, match="make the database with CREATE DATABASE") as caught:
        await export(rides, f"{URL}/nobody", store=store)
    assert "secret" not in str(caught.value)


async def test_a_server_that_is_not_there_is_told(rides: Metric, store: MemoryStore) -> None:
    with pytest.raises(StoreUnavailableError, match="is the server running") as caught:
        await export(rides, "clickhouse://reader:secret@127.0.0.1:1/flat", store=store)
    assert "secret" not in str(caught.value)
    assert caught.value.retriable
