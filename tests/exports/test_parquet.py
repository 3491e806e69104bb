"""Parquet files as other tools see them, also while they are replaced."""

import asyncio
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from fastdata import Count, Histogram, Metric, export
from fastdata.coordinates.dimensions import dump_dims
from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from fastdata.declare.metric import Measure
from fastdata.errors import ArchiveUnavailableError, ExportError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Partial
from tests.answer.trips import NO_FIELDS, NOON, declare_source
from tests.exports.rides import ParquetFolder, answer, comparable, replay_hours


@pytest.fixture
def folder(tmp_path: Path) -> ParquetFolder:
    return ParquetFolder(tmp_path)


async def test_a_reader_meanwhile_sees_whole_days(
    rides: Metric, store: MemoryStore, folder: ParquetFolder
) -> None:
    hours = [NOON, NOON + HOUR_MS, NOON + DAY_MS, NOON + DAY_MS + HOUR_MS]
    await replay_hours(rides, store, hours, km=1)
    async with Exporter(flat_table(rides, "1h"), folder.url, store=store) as exporter:
        await exporter.refresh()
        done = asyncio.Event()
        watching = asyncio.create_task(watch(folder, done))
        for km in range(2, 60):
            await replay_hours(rides, store, hours, km=km)
            await exporter.refresh()
        done.set()
        assert 10 < await watching
    assert comparable(await answer(rides, store)) == comparable(folder.rows())


async def watch(folder: ParquetFolder, done: asyncio.Event) -> int:
    looks = 0
    while not done.is_set():
        rows = await asyncio.to_thread(folder.rows)
        kms = [row["km"] for row in rows]
        assert (kms[0], kms[2]) == (kms[1], kms[3])
        looks += 1
    return looks


async def test_two_exporters_never_mix_their_files(
    rides: Metric, store: MemoryStore, folder: ParquetFolder
) -> None:
    await replay_hours(rides, store, [NOON + day * DAY_MS for day in range(30)])
    await export(rides, folder.url, store=store)
    for km in range(2, 6):
        days = [NOON + day * DAY_MS for day in range(30)]
        await replay_hours(rides, store, days, km=km)
        await asyncio.gather(*(export(rides, folder.url, store=store) for _ in range(3)))
        assert comparable(await answer(rides, store)) == comparable(folder.rows())


async def test_files_lie_in_folders_of_days(
    rides: Metric, store: MemoryStore, folder: ParquetFolder
) -> None:
    await replay_hours(rides, store, [NOON, NOON + 2 * DAY_MS])
    await export(rides, folder.url, store=store)
    place = folder.folder / "rides_1h"
    assert [
        "_fastdata/state.json",
        "window_day=2013-01-01/data.parquet",
        "window_day=2013-01-03/data.parquet",
    ] == sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())
    days = dataset.dataset(place, partitioning="hive")
    one = days.to_table(filter=dataset.field("window_day") == "2013-01-03")
    assert [date(2013, 1, 3)] == [at.date() for at in one.column("window_start").to_pylist()]


async def test_a_week_is_one_file(rides: Metric, store: MemoryStore, folder: ParquetFolder) -> None:
    await replay_hours(rides, store, [NOON, NOON + DAY_MS, NOON + 9 * DAY_MS])
    report = await export(rides, folder.url, every="7d", store=store)
    assert (2, 2) == (report.refreshed, report.rows)
    assert [10, 5] == [row["km"] for row in folder.rows("rides_7d")]


async def test_lists_stay_lists(store: MemoryStore, tmp_path: Path, folder: ParquetFolder) -> None:
    measures: dict[str, Measure] = {"kms": Histogram("km", edges=[0, 5, 9]), "n": Count()}
    metric = Metric("rides", declare_source(tmp_path), measures=measures)
    states = metric.zero()
    metric.add(states, NO_FIELDS | {"km": 6})
    one = Partial(metric.id, NOON, dump_dims([]), 0, 3, 301, metric.dump(states))
    await store.upsert([one], [])
    await export(metric, folder.url, store=store)
    table = parquet.read_table(folder.folder / "rides_1h")
    assert pa.types.is_list(table.schema.field("kms").type)
    assert [[0, 0, 1, 0]] == table.column("kms").to_pylist()


async def test_a_damaged_state_is_an_error_that_says_what_to_do(
    rides: Metric, store: MemoryStore, folder: ParquetFolder
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, folder.url, store=store)
    (folder.folder / "rides_1h" / "_fastdata" / "state.json").write_text("[]")
    with pytest.raises(ExportError, match="remove its folder, and export it again"):
        await export(rides, folder.url, store=store)


async def test_a_folder_that_cannot_be_written_is_an_error(
    rides: Metric, store: MemoryStore, folder: ParquetFolder
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, folder.url, store=store)
    day = folder.folder / "rides_1h" / "window_day=2013-01-01"
    (day / "data.parquet").unlink()
    (day / "data.parquet" / "in the way").mkdir(parents=True)
    await replay_hours(rides, store, [NOON], km=9)
    with pytest.raises(ArchiveUnavailableError, match="the export could not write rides_1h/window"):
        await export(rides, folder.url, store=store)
