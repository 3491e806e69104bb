"""Flat tables in PostgreSQL: what its readers see, and what is left of an exporter that dies."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fastdata import Histogram, Max, Mean, Metric, Sum, export
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import ExportError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Partial
from tests.answer.trips import (
    DECLARATION,
    NO_FIELDS,
    NOON,
    SCHEMA,
    declare,
    declare_source,
    progress,
    total,
)
from tests.exports.rides import Changes, Rows, answer, comparable, replay_hours
from tests.real.postgres.commands import COMMAND

HOURS = [NOON + n * HOUR_MS for n in range(40)]
ROOT = Path(__file__).parents[3]
COVERAGE = Coverage({0: 1})

Connection = Any


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with MemoryStore() as store:
        yield store


@pytest.fixture
async def reader(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def rows_of(reader: Connection, table: str = "rides_1h") -> Rows:
    found = await reader.fetch(f'SELECT * FROM {table} ORDER BY "window_start", row_key')
    rows: Rows = [dict(row) for row in found]
    for row in rows:
        del row["row_key"]
    return rows


@pytest.mark.parametrize("every", ["1m", "1h", "1d"])
async def test_the_table_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, url: str, reader: Connection, every: str
) -> None:
    changes = Changes(7, rides, store)
    flat = flat_table(rides, every, has_bounds=True)
    async with Exporter(flat, url, store=store) as exporter:
        for _ in range(40):
            what = await changes.happen()
            await exporter.refresh()
            expected = comparable(await answer(rides, store, every, bounds=True))
            assert expected == comparable(await rows_of(reader, flat.name)), what
            assert 0 == (await exporter.refresh()).refreshed


async def test_a_store_in_the_same_database_is_exported_beside(
    rides: Metric, url: str, reader: Connection
) -> None:
    async with open_store(url) as store:
        await replay_hours(rides, store, HOURS)
        assert 40 == (await export(rides, store=url)).rows
        await replay_hours(rides, store, HOURS[3:4], km=9)
        assert 1 == (await export(rides, store=url)).rows
        assert comparable(await answer(rides, store)) == comparable(await rows_of(reader))


async def test_values_keep_their_types(
    store: MemoryStore, url: str, reader: Connection, tmp_path: Path
) -> None:
    metric = Metric(
        "rides",
        declare_source(tmp_path),
        by=["day", "is_night", "at", "city"],
        measures={"fare": Sum("fare"), "mean": Mean("km"), "kms": Histogram("km", edges=[0, 5, 9])},
    )
    states = metric.zero()
    fields = NO_FIELDS | {"fare": Decimal("1.25"), "km": 6, "day": 1, "is_night": True, "at": 5}
    metric.add(states, fields)
    rows: list[list[Dimension]] = [[1, True, 5, "a\0b"], [None, None, 1 << 60, None]]
    for dims in rows:
        text = dump_dims(dims)
        one = Partial(metric.id, NOON, text, 0, 3, 301, metric.dump(states))
        await store.upsert([one], [])
    await export(metric, url, bounds=True, store=store)
    found = {row["city"]: row for row in await rows_of(reader)}
    row, null = found["a\N{REPLACEMENT CHARACTER}b"], found[None]
    assert (Decimal("1.25"), 6.0) == (row["fare"], row["mean"])
    assert ["1970-01-02", "True"] == [str(row["day"]), str(row["is_night"])]
    assert "1970-01-01 00:00:00.005000+00:00" == str(row["at"])
    assert (None, None, None) == (null["day"], null["is_night"], null["at"])
    assert [0, 0, 1, 0] == json.loads(str(row["kms"]))
    types = await reader.fetch(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_name = 'rides_1h'"
    )
    expected = {"fare": "numeric", "kms": "jsonb", "window_start": "timestamp with time zone"}
    assert expected.items() <= dict(types).items()


async def test_no_reader_sees_half_a_refresh(rides: Metric, url: str, reader: Connection) -> None:
    """Each version of an hour has one number in all of its rows, and says how many they are."""
    cities = [f"city {n}" for n in range(5)]
    async with MemoryStore() as store:

        async def fold(km: int) -> None:
            for hour in HOURS[:8]:
                run = await store.open_run(rides.id, hour, hour + HOUR_MS, COVERAGE)
                rows = [
                    total(rides, hour, [city, 1], [(km, "anna")]) for city in cities[: 2 + km % 4]
                ]
                held = await store.write_totals(rides.id, run.number, {hour: rows})
                head = (await store.heads(rides.id, hour, hour + 1)).get(hour)
                expected = (head.version, head.coverage) if head else None
                flip = Flip(hour, expected, run.number, COVERAGE, held[hour])
                await store.publish(rides.id, [flip])

        await fold(1)
        await export(rides, url, store=store)
        done = asyncio.Event()
        watching = asyncio.create_task(watch(reader, done.is_set))
        async with Exporter(flat_table(rides, "1h"), url, store=store) as exporter:
            for km in range(2, 60):
                await fold(km)
                await exporter.refresh()
        done.set()
        seen = await watching
    assert len(seen) > 20
    assert sorted(seen) == seen


async def watch(reader: Connection, is_done: Callable[[], bool]) -> list[int]:
    """The sums of what is seen; each hour must be whole in each look."""
    seen = []
    while not is_done():
        rows = await reader.fetch(
            'SELECT "window_start", min(km), max(km), count(*) FROM rides_1h GROUP BY 1 ORDER BY 1'
        )
        assert 8 == len(rows)
        for _, least, most, count in rows:
            assert least == most
            assert 2 + least % 4 == count
        seen.append(sum(row[1] for row in rows))
    return seen


async def test_a_swap_is_one_moment_and_keeps_the_old_table(
    rides: Metric, store: MemoryStore, url: str, reader: Connection
) -> None:
    await replay_hours(rides, store, HOURS)
    await export(rides, url, store=store)
    await reader.execute("CREATE VIEW best AS SELECT max(km) AS km FROM rides_1h")
    new = Metric("rides", rides.source, by=["city"], measures={"most": Max("km")})
    states = new.zero(exact=True)
    new.add(states, NO_FIELDS | {"km": 8})
    one = Partial(new.id, NOON, dump_dims(["Oslo"]), 0, 3, 301, new.dump(states))
    await store.upsert([one], [])
    with pytest.warns(UserWarning, match="an earlier definition of the metric rides"):
        assert (await export(new, url, store=store)).swapped
    [row] = await rows_of(reader)
    assert (8, "Oslo") == (row["most"], row["city"])
    assert 5 == await reader.fetchval("SELECT km FROM best")
    kept = f"rides_1h_{flat_table(rides, '1h').definition}"
    assert 40 == len(await rows_of(reader, kept))


async def test_a_table_of_a_former_layout_gets_the_column_that_it_lacks(
    rides: Metric, store: MemoryStore, url: str, reader: Connection
) -> None:
    await replay_hours(rides, store, HOURS[:1])
    await store.upsert([], [progress(HOURS[1], read_until=HOURS[1])])
    await export(rides, url, store=store)
    before = await rows_of(reader)
    former = flat_table(rides, "1h").former_definitions[0]
    await reader.execute("ALTER TABLE rides_1h DROP COLUMN read_until")
    await reader.execute('ALTER TABLE rides_1h RENAME COLUMN window_start TO "window"')
    await reader.execute("UPDATE fastdata_exports SET definition = $1", former)

    report = await export(rides, url, store=store)

    assert (0, False) == (report.refreshed, report.swapped)
    assert [row | {"read_until": None} for row in before] == await rows_of(reader)
    await replay_hours(rides, store, HOURS[:1], km=9)
    await export(rides, url, store=store)
    assert [before[0]["read_until"]] == [row["read_until"] for row in await rows_of(reader)]


async def test_two_exporters_at_once_leave_one_table(
    rides: Metric, store: MemoryStore, url: str, reader: Connection
) -> None:
    await replay_hours(rides, store, HOURS)
    await asyncio.gather(*(export(rides, url, store=store) for _ in range(4)))
    assert comparable(await answer(rides, store)) == comparable(await rows_of(reader))


async def test_a_table_that_no_export_made_is_left_alone(
    rides: Metric, store: MemoryStore, url: str, reader: Connection
) -> None:
    await reader.execute("CREATE TABLE rides_1h (mine text)")
    with pytest.raises(ExportError, match="that no export made"):
        await export(rides, url, store=store)


@pytest.mark.parametrize("where", ["export.before_commit", "export.after_part"])
async def test_an_exporter_that_was_killed_goes_on(
    tmp_path: Path, url: str, reader: Connection, where: str
) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "trips.py").write_text(DECLARATION)
    (tmp_path / "trip.avsc").write_text(json.dumps(SCHEMA))
    rides = declare(tmp_path)
    async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        # Apart, so that each is a transaction of its own.
        hours = HOURS[::3]
        for hour in hours:
            await replay_hours(rides, store, [hour])
        assert -signal.SIGKILL == await run(tmp_path, url, f"{where}=kill@5")
        part = await rows_of(reader)
        assert 4 <= len(part) <= 5
        await replay_hours(rides, store, hours[:1], km=9)
        assert 0 == await run(tmp_path, url)
        assert comparable(await answer(rides, store)) == comparable(await rows_of(reader))


async def run(folder: Path, url: str, failpoints: str = "") -> int:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "export",
        "rides",
        "--to",
        url,
        "--json",
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "FASTDATA_STORE": "sqlite:///store.db",
            "FASTDATA_FAILPOINTS": failpoints,
        },
    )
    return await process.wait()
