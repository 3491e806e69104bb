"""Which tables there are, and what happens when a declaration has changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fastdata import Count, Max, Metric, Rate, Ratio, export, failpoints
from fastdata.coordinates.instants import DAY_MS
from fastdata.errors import ExportError, FastdataError, SettingsError, StoreUnavailableError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import ServingStore
from tests.answer.trips import NOON, declare_source
from tests.exports.rides import ParquetFolder, SqliteFile, replay_hours


def changed(rides: Metric) -> Metric:
    """Another definition under the same name."""
    return Metric(
        "rides",
        rides.source,
        by=["city", "line"],
        measures=dict(rides.measures)
        | {
            "shortest": Max("km"),
        },
    )


def tables(place: SqliteFile) -> set[str]:
    with closing(sqlite3.connect(place.file)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in found if not name.startswith("fastdata_")}


@pytest.fixture
def flat(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path)


async def test_a_derived_measure_is_another_table_of_the_same_metric(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, flat.url, store=store)
    measures = {**rides.measures, "each": Ratio("km", "n"), "speed": Rate("km")}
    new = Metric("rides", rides.source, by=["city", "line"], measures=measures)

    assert new.id == rides.id
    report = await export(new, flat.url, store=store)
    assert report.swapped
    assert [(5, 5.0, 5 / 3600)] == [(r["km"], r["each"], r["speed"]) for r in flat.rows()]


async def test_another_definition_takes_the_place_when_it_is_whole(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    days = [NOON + n * DAY_MS for n in range(5)]
    await replay_hours(rides, store, days)
    await export(rides, flat.url, store=store)
    new = changed(rides)
    await replay_hours(new, store, days, km=8)
    failpoints.set_action("export.after_part", "raise", 2)
    with pytest.raises(FailpointError):
        await export(new, flat.url, store=store)
    assert [5] * 5 == [row["km"] for row in flat.rows()]
    report = await export(new, flat.url, store=store)
    assert report.swapped
    assert [8] * 5 == [row["shortest"] for row in flat.rows()]
    kept = f"rides_1h_{flat_table(rides, '1h').definition}"
    assert {"rides_1h", kept} == tables(flat)
    assert [5] * 5 == [row["km"] for row in flat.rows(kept)]
    assert 0 == (await export(new, flat.url, store=store)).refreshed


async def test_a_swap_that_fails_shows_the_old_table(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, flat.url, store=store)
    await replay_hours(changed(rides), store, [NOON], km=8)
    failpoints.set_action("export.before_swap", "raise")
    with pytest.raises(FailpointError):
        await export(changed(rides), flat.url, store=store)
    assert [5] == [row["km"] for row in flat.rows()]
    assert (await export(changed(rides), flat.url, store=store)).swapped
    assert [8] == [row["km"] for row in flat.rows()]


async def test_a_definition_that_comes_back_goes_on_with_its_table(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    days = [NOON + n * DAY_MS for n in range(5)]
    new = changed(rides)
    await replay_hours(rides, store, days)
    await export(rides, flat.url, store=store)
    await export(new, flat.url, store=store)
    await replay_hours(rides, store, days[:1], km=9)
    report = await export(rides, flat.url, store=store)
    assert (True, 1) == (report.swapped, report.refreshed)
    assert [9, 5, 5, 5, 5] == [row["km"] for row in flat.rows()]
    assert (await export(new, flat.url, store=store)).swapped


async def test_a_table_with_other_columns_is_another_definition(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, flat.url, store=store)
    assert (await export(rides, flat.url, bounds=True, store=store)).swapped
    assert 5 == flat.rows()[0]["km_upper"]


async def test_a_folder_of_another_definition_is_left_alone(
    rides: Metric, store: MemoryStore, tmp_path: Path
) -> None:
    folder = ParquetFolder(tmp_path)
    await replay_hours(rides, store, [NOON])
    await export(rides, folder.url, store=store)
    with pytest.raises(ExportError, match="choose a new name with --table"):
        await export(changed(rides), folder.url, store=store)
    assert [5] == [row["km"] for row in folder.rows()]
    await export(changed(rides), folder.url, table="rides_v2", store=store)


async def test_a_table_that_was_dropped_is_made_again(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, flat.url, store=store)
    with closing(sqlite3.connect(flat.file)) as connection:
        connection.execute("DROP TABLE rides_1h")
    await export(rides, flat.url, store=store)
    assert [5] == [row["km"] for row in flat.rows()]


async def test_what_no_export_made_is_never_touched(
    rides: Metric, store: MemoryStore, tmp_path: Path, flat: SqliteFile
) -> None:
    with closing(sqlite3.connect(flat.file)) as connection:
        connection.execute("CREATE TABLE rides_1h (mine TEXT)")
    with pytest.raises(ExportError, match="that no export made"):
        await export(rides, flat.url, store=store)
    folder = tmp_path / "parquet" / "rides_1h"
    folder.mkdir(parents=True)
    (folder / "mine.parquet").write_bytes(b"mine")
    with pytest.raises(ExportError, match="no export wrote"):
        await export(rides, str(folder.parent), store=store)
    assert [folder / "mine.parquet"] == list(folder.rglob("*"))


async def test_the_store_itself_can_hold_the_table(rides: Metric, tmp_path: Path) -> None:
    from fastdata.store.opening import open_store

    url = f"sqlite:///{tmp_path / 'flat.db'}"
    async with open_store(url) as store:
        await replay_hours(rides, store, [NOON])
        await export(rides, store=url)
    assert [5] == [row["km"] for row in SqliteFile(tmp_path).rows()]
    for name in ("partials", "FASTDATA_exports"):
        with pytest.raises(ExportError, match="one of fastdata's own"):
            await export(rides, store=url, table=name)


async def test_the_table_of_another_metric_is_left_alone(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, flat.url, table="shared", store=store)
    tours = Metric("tours", rides.source, measures={"n": Count()})
    with pytest.raises(ExportError, match="is of the metric 'rides'"):
        await export(tours, flat.url, table="shared", store=store)


def test_names_are_of_metric_grain_and_dimensions(rides: Metric) -> None:
    long = Metric("a" * 48, rides.source, by=["city"])
    assert ["rides_15m", "rides_1h", "rides_6h", "rides_1d", "rides_7d"] == [
        flat_table(rides, every).name for every in ("15m", "60m", "6h", "24h", "7d")
    ]
    assert "rides_1h_by_line" == flat_table(rides, "1h", "line").name
    assert "rides_1h_total" == flat_table(rides, "1h", ()).name
    names = {flat_table(long, every, by).name for every in ("1h", "1d") for by in ((), "city")}
    assert 4 == len(names)
    assert all(len(name) <= 50 for name in names)
    assert "mine" == flat_table(rides, "1h", name="mine").name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": "7m"}, "every is 7m; it must be minutes that divide an hour"),
        ({"every": "90m"}, "every is 90m"),
        ({"every": "5h"}, "every is 5h"),
        ({"every": "0m"}, "every is 0m"),
        ({"every": "all"}, "not a duration: 'all'"),
        ({"by": "town"}, "no dimension 'town'; its dimensions are: city, line"),
        ({"table": "a b"}, "'a b' is no name for a table"),
        ({"table": 'x"; --'}, "is no name for a table"),
        ({"table": "a" * 51}, "at most 50"),
        ({"start": "2013-13-01"}, "from: not a date or time"),
        ({"start": "2013-01-02", "end": "2013-01-02"}, "the range is empty"),
        ({"to": "cassandra://host/keyspace"}, "cassandra is no place for a flat table"),
        ({"to": "memory:"}, "memory is no place for a flat table"),
        ({"to": "ftp://host/flat"}, "--to is ftp://…, which is no place for a flat table"),
        ({"to": "oracle://u:secret@host/flat"}, "--to is oracle://…, which is no place"),
        ({"to": "out/rides.csv"}, "fastdata query rides --format csv --output"),
        ({"to": "sqlite:///no/such/folder/flat.db"}, "make the folder, or check --to"),
        ({"to": "postgresql://host"}, "is not understood"),
        ({"to": "postgresql://nobody@localhost:1/flat"}, "the host and port of --to"),
    ],
)
async def test_what_cannot_be_is_an_error_that_says_what_to_do(
    rides: Metric, store: MemoryStore, tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    given = {"to": str(tmp_path / "parquet")} | arguments
    with pytest.raises(FastdataError) as caught:
        await export(rides, **given, store=store)  # type: ignore[arg-type]
    assert isinstance(caught.value, ExportError | SettingsError | StoreUnavailableError)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["layer", "updated_at", "row_key", "window_day"])
def test_a_measure_with_the_name_of_a_column_is_refused(tmp_path: Path, name: str) -> None:
    metric = Metric("rides", declare_source(tmp_path), measures={name: Count()})
    with pytest.raises(ExportError, match=f"cannot be exported with '{name}'"):
        flat_table(metric, "1h")


async def test_a_number_past_64_bits_is_an_error(
    rides: Metric, store: MemoryStore, flat: SqliteFile
) -> None:
    await replay_hours(rides, store, [NOON], km=1 << 62)
    await replay_hours(rides, store, [NOON + DAY_MS], km=1)
    await export(rides, flat.url, every="1d", store=store)
    await double(rides, store)
    with pytest.raises(ExportError, match="'km' has a value of more than 64 bits between 2013-01"):
        await export(rides, flat.url, every="1d", store=store)


async def double(rides: Metric, store: ServingStore) -> None:
    await replay_hours(rides, store, [NOON + 3_600_000], km=(1 << 62) + 1)


async def test_an_exporter_closes_what_it_opened_when_a_place_cannot_be_opened(
    rides: Metric, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with pytest.raises(StoreUnavailableError, match="there is no store"):
        async with Exporter(flat_table(rides, "1h"), str(tmp_path), store=url):
            pass


@pytest.mark.parametrize("layout", [0, 1])
async def test_a_table_of_a_former_layout_is_altered_and_its_rows_are_left_alone(
    rides: Metric, store: MemoryStore, flat: SqliteFile, layout: int
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, flat.url, store=store)
    expected, former = flat.rows(), flat_table(rides, "1h").former_definitions
    with closing(sqlite3.connect(flat.file)) as connection:
        connection.execute("ALTER TABLE rides_1h DROP COLUMN read_until")
        if layout == 0:
            connection.execute('ALTER TABLE rides_1h RENAME COLUMN window_start TO "window"')
        connection.execute("UPDATE fastdata_exports SET definition = ?", [former[layout]])
        connection.commit()

    report = await export(rides, flat.url, store=store)

    assert (0, False) == (report.refreshed, report.swapped)
    assert [row | {"read_until": None} for row in expected] == flat.rows()
    assert {"rides_1h"} == tables(flat)
    await replay_hours(rides, store, [NOON], km=9)
    await export(rides, flat.url, store=store)
    assert [expected[0]["read_until"]] == [row["read_until"] for row in flat.rows()]


@pytest.mark.parametrize("layout", [0, 1])
async def test_a_folder_of_a_former_layout_is_refused(
    rides: Metric, store: MemoryStore, tmp_path: Path, layout: int
) -> None:
    await replay_hours(rides, store, [NOON])
    folder = ParquetFolder(tmp_path)
    await export(rides, folder.url, store=store)
    state, table = folder.folder / "rides_1h" / "_fastdata" / "state.json", flat_table(rides, "1h")
    former = table.former_definitions[layout]
    state.write_text(state.read_text().replace(table.definition, former))

    with pytest.raises(ExportError, match=r"no column 'read_until'.*: remove the folder"):
        await export(rides, folder.url, store=store)
