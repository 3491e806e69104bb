"""Flat tables in a DuckDB file, as readers of another process find them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from fastdata import Histogram, Max, Mean, Metric, Sum, export, failpoints
from fastdata.coordinates.dimensions import Dimension, dump_dims
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import ExportError, FastdataError, SettingsError, StoreUnavailableError
from fastdata.exports.duckdb_file import DuckDb
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial
from fastdata.store.sql import dialect
from tests.answer.trips import NO_FIELDS, NOON, declare_source
from tests.exports.rides import Changes, DuckDbFile, answer, comparable, replay_hours

HOURS = [NOON + n * HOUR_MS for n in range(3)]
OPEN = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
READ = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).sql('SELECT sum(km) FROM rides_1h'))"


@pytest.fixture
def flat(tmp_path: Path) -> DuckDbFile:
    return DuckDbFile(tmp_path)


@contextmanager
def opened_elsewhere(file: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process has the file open, until its stdin is closed."""
    code = [sys.executable, "-c", OPEN, str(file)]
    with subprocess.Popen(
        code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


@pytest.mark.parametrize("every", ["1m", "1h", "1d"])
async def test_the_table_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, flat: DuckDbFile, every: str
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


async def test_values_keep_their_types(
    store: MemoryStore, flat: DuckDbFile, tmp_path: Path
) -> None:
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
    rows: list[list[Dimension]] = [[1, True, 5, "b"], [None, None, 1 << 60, None]]
    for dims in rows:
        one = Partial(metric.id, NOON, dump_dims(dims), 0, 3, 301, metric.dump(states))
        await store.upsert([one], [])

    await export(metric, flat.url, store=store)

    row, null = sorted(flat.rows(), key=lambda row: row["city"] is None)
    at = datetime(1970, 1, 1, 0, 0, 0, 5_000, UTC)
    assert (date(1970, 1, 2), True, at, "b") == tuple(row[name] for name in by)
    assert [None] * 4 == [null[name] for name in by]
    assert (Decimal("1.25"), 6.0, "[0, 0, 1, 0]") == tuple(row[name] for name in metric.measures)
    with duckdb.connect(flat.file) as connection:
        described = connection.execute("DESCRIBE rides_1h").fetchall()
    types = {
        "window_start": "TIMESTAMP WITH TIME ZONE",
        "day": "DATE",
        "is_night": "BOOLEAN",
        "city": "VARCHAR",
        "fare": "DECIMAL(38,2)",
        "mean": "DOUBLE",
        "kms": "JSON",
        "row_key": "VARCHAR",
    }
    assert types.items() <= {name: type for name, type, *_ in described}.items()
    assert ["window_start", "row_key"] == [row[0] for row in described if row[3] == "PRI"]


async def test_others_can_open_the_file_between_two_refreshes(
    rides: Metric, store: MemoryStore, flat: DuckDbFile
) -> None:
    read = [sys.executable, "-c", READ, str(flat.file)]
    async with Exporter(flat_table(rides, "1h"), flat.url, store=store) as exporter:
        for km in (5, 9):
            await replay_hours(rides, store, HOURS, km=km)
            await exporter.refresh()
            shown = await asyncio.to_thread(subprocess.check_output, read, text=True)
            assert f" {3 * km} " in shown


async def test_a_file_that_another_process_has_open_is_an_error_that_can_be_tried_again(
    rides: Metric, store: MemoryStore, flat: DuckDbFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect, "_PATIENCE_S", 0)
    await replay_hours(rides, store, HOURS)
    with opened_elsewhere(flat.file) as process:
        with pytest.raises(StoreUnavailableError) as caught:
            await export(rides, flat.url, store=store)
        assert f"(PID {process.pid})" in str(caught.value)
        assert "end that process or let it close the file" in str(caught.value)
        assert caught.value.retriable
    assert 3 == (await export(rides, flat.url, store=store)).rows


async def test_a_refresh_waits_until_another_process_has_closed_the_file(
    rides: Metric, store: MemoryStore, flat: DuckDbFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replay_hours(rides, store, HOURS)
    failures = []
    failure = DuckDb.failure
    with opened_elsewhere(flat.file) as process:

        def close(*args: object) -> FastdataError:
            assert process.stdin is not None
            process.stdin.close()
            failures.append(failure(*args))  # type: ignore[arg-type]
            return failures[-1]

        monkeypatch.setattr(DuckDb, "failure", close)
        assert 3 == (await export(rides, flat.url, store=store)).rows
    assert "Conflicting lock" in str(failures[0])


async def test_another_definition_takes_the_place_when_it_is_whole(
    rides: Metric, store: MemoryStore, flat: DuckDbFile
) -> None:
    new = Metric("rides", rides.source, by=rides.by, measures={"most": Max("km")})
    await replay_hours(rides, store, HOURS)
    await export(rides, flat.url, store=store)
    await replay_hours(new, store, HOURS, km=8)
    failpoints.set_action("export.before_swap", "raise")
    with pytest.raises(FailpointError):
        await export(new, flat.url, store=store)
    assert [5] * 3 == [row["km"] for row in flat.rows()]

    assert (await export(new, flat.url, store=store)).swapped

    assert [8] * 3 == [row["most"] for row in flat.rows()]
    kept = f"rides_1h_{flat_table(rides, '1h').definition}"
    assert [5] * 3 == [row["km"] for row in flat.rows(kept)]


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
async def test_what_no_export_made_is_never_touched(
    rides: Metric, store: MemoryStore, flat: DuckDbFile, kind: str
) -> None:
    with duckdb.connect(flat.file) as connection:
        connection.execute(f"CREATE {kind} Rides_1H AS SELECT 'mine' AS whose")
    with pytest.raises(ExportError, match="that no export made"):
        await export(rides, flat.url, store=store)
    with duckdb.connect(flat.file) as connection:
        assert ("mine",) == connection.execute("FROM rides_1h").fetchone()


async def test_a_file_of_something_else_is_left_alone(
    rides: Metric, store: MemoryStore, flat: DuckDbFile
) -> None:
    flat.file.write_bytes(b"something else")
    with pytest.raises(ExportError, match=r"not a valid DuckDB .* Name another file with --to"):
        await export(rides, flat.url, store=store)
    assert b"something else" == flat.file.read_bytes()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "duckdb:///no/such/folder/flat.duckdb",
            "file or directory; check that the folder exists",
        ),
        ("duckdb:///", "names no file: write duckdb:///flat.duckdb"),
        ("duckdb:///:memory:", "names no file"),
        ("duckdb://flat.duckdb", "names no file"),
        ("flat.duckdb", "give it as in"),
    ],
)
async def test_a_place_that_is_no_file_is_an_error_that_says_what_to_write(
    rides: Metric, store: MemoryStore, url: str, message: str
) -> None:
    with pytest.raises(FastdataError, match=message) as caught:
        await export(rides, url, store=store)
    assert isinstance(caught.value, ExportError | SettingsError | StoreUnavailableError)


async def test_without_the_extra_the_error_says_how_to_install_it(
    rides: Metric, store: MemoryStore, flat: DuckDbFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "fastdata.exports.duckdb_file")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(SettingsError, match=r"pip install 'fastdata-lambda\[duckdb\]'"):
        await export(rides, flat.url, store=store)
