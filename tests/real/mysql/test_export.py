"""Flat tables in MySQL, on a real MariaDB: what its readers see, and what a crash leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pymysql
import pytest

from fastdata import Histogram, Max, Mean, Metric, Sum, export, failpoints
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import ExportError, FastdataError, SettingsError, StoreUnavailableError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial
from fastdata.store.sql import dialect
from tests.answer.trips import NO_FIELDS, NOON, declare, declare_source
from tests.exports.rides import Changes, Rows, answer, comparable, replay_hours
from tests.support.services.mariadb import MariaDb

HOURS = [NOON + n * HOUR_MS for n in range(12)]


class Flat:
    """A new database, and how a tool reads it."""

    def __init__(self, server: MariaDb) -> None:
        self.server = server
        self.url = server.url()
        self.database = self.url.rpartition("/")[2]

    def ask(self, statement: str) -> Rows:
        with (
            self.server.connect(self.database) as connection,
            connection.cursor(pymysql.cursors.DictCursor) as cursor,
        ):
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()]

    def rows(self, table: str = "rides_1h") -> Rows:
        return [_utc(row) for row in self.ask(f"SELECT * FROM {table} ORDER BY window_start")]


def _utc(row: dict[str, object]) -> dict[str, object]:
    del row["row_key"]
    for name, value in row.items():
        if isinstance(value, datetime):
            row[name] = value.replace(tzinfo=UTC)
    return row | {"exact": bool(row["exact"])}


@pytest.fixture
def flat(mariadb: MariaDb) -> Flat:
    return Flat(mariadb)


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
    assert (date(1970, 1, 2), 1, at, "\N{SNOWMAN}\\'") == tuple(row[name] for name in by)
    assert [None] * 4 == [null[name] for name in by]
    assert (Decimal("1.25"), 6.0) == (row["fare"], row["mean"])
    assert [0, 0, 1, 0] == json.loads(str(row["kms"]))
    types = flat.ask("SELECT column_name AS c, column_type AS t FROM information_schema.columns")
    expected = {"fare": "decimal(38,2)", "window_start": "datetime(6)", "row_key": "varchar(64)"}
    assert expected.items() <= {str(row["c"]): row["t"] for row in types}.items()


async def test_texts_that_differ_in_case_are_two_rows_and_two_values(
    store: MemoryStore, flat: Flat, tmp_path: Path
) -> None:
    metric = Metric("rides", declare_source(tmp_path), by=["city"], measures={"last": Max("rider")})
    async with Exporter(flat_table(metric, "1h"), flat.url, store=store) as exporter:
        for stamp, rider in ((301, "ANNA"), (302, "anna"), (303, "anna ")):
            states = metric.zero()
            metric.add(states, NO_FIELDS | {"rider": rider})
            for city in ("Oslo", "oslo", "oslo "):
                dims = dump_dims([city])
                one = Partial(metric.id, NOON, dims, 0, 3, stamp, metric.dump(states))
                await store.upsert([one], [])
            await exporter.refresh()
            found = [(row["city"], row["last"]) for row in flat.rows()]
            assert sorted(found) == [("Oslo", rider), ("oslo", rider), ("oslo ", rider)]


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


async def test_an_export_that_ends_before_its_commit_is_made_again(
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


async def test_an_entry_without_a_table_is_of_one_yet_to_be_made(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    flat.ask("DROP TABLE rides_1h")

    assert 12 == (await export(rides, flat.url, store=store)).rows

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_another_definition_takes_another_name(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    new = Metric("rides", rides.source, by=rides.by, measures={"most": Max("km")})
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    await replay_hours(new, store, HOURS, km=8)

    with pytest.raises(ExportError, match="name a new table with --table"):
        await export(new, flat.url, store=store)
    assert [5] * 12 == [row["km"] for row in flat.rows()]
    await export(new, flat.url, store=store, table="most")

    assert [8] * 12 == [row["most"] for row in flat.rows("most")]


async def test_what_no_export_made_is_never_touched(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    flat.ask("CREATE TABLE rides_1h AS SELECT 'mine' AS whose")
    with pytest.raises(ExportError, match="that no export made"):
        await export(rides, flat.url, store=store)
    assert [{"whose": "mine"}] == flat.ask("SELECT * FROM rides_1h")


async def test_a_server_that_was_away_is_written_to_again(
    rides: Metric, store: MemoryStore, flat: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "_PATIENCE_S", 0)
    await replay_hours(rides, store, HOURS)
    async with Exporter(flat_table(rides, "1h"), flat.url, store=store) as exporter:
        await exporter.refresh()
        await replay_hours(rides, store, HOURS[:5], km=9)
        flat.server.kill()
        with pytest.raises(StoreUnavailableError, match="is the server running") as caught:
            await exporter.refresh()
        assert caught.value.retriable
        flat.server.start()
        await exporter.refresh()

    assert comparable(await answer(rides, store)) == comparable(flat.rows())


async def test_tls_is_spoken_with_a_server_that_the_file_vouches_for(
    rides: Metric, store: MemoryStore, flat: Flat
) -> None:
    await replay_hours(rides, store, HOURS)
    url = flat.url.replace("127.0.0.1", "localhost")
    assert 12 == (await export(rides, f"{url}?ssl_ca={flat.server.ca}", store=store)).rows
    with pytest.raises(StoreUnavailableError, match="certificate"):
        await export(rides, f"{url}?ssl_ca={flat.server.other_ca}", store=store)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("secret", "wrong", "check the user and password"),
        ("/test_", "/no_", "make the database with CREATE DATABASE"),
        ("127.0.0.1", "no-such-host.invalid", "is the server running"),
    ],
)
async def test_errors_say_what_to_do(
    rides: Metric, store: MemoryStore, flat: Flat, old: str, new: str, message: str
) -> None:
    url = flat.url.replace(old, new)
    with pytest.raises(FastdataError, match=message) as caught:
        await export(rides, url, store=store)
    assert isinstance(caught.value, SettingsError | StoreUnavailableError)
    assert "secret" not in str(caught.value)
