"""Flat tables as Parquet files in a bucket, and what a reader of it sees meanwhile."""

import asyncio
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import dataset, fs

from fastdata import Metric, export
from fastdata.coordinates.instants import DAY_MS
from fastdata.errors import ExportError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.store.memory import MemoryStore
from tests.answer.trips import NOON, declare
from tests.exports.rides import Rows, answer, comparable, replay_hours
from tests.support.services.s3 import S3

DAYS = [NOON + n * DAY_MS for n in range(4)]


@pytest.fixture
def rides(tmp_path: Path) -> Metric:
    return declare(tmp_path)


def read(s3: S3, bucket: str) -> pa.Table:
    """As another tool reads it."""
    environment = s3.environment()
    scheme, _, endpoint = environment["AWS_ENDPOINT_URL"].partition("://")
    files = fs.S3FileSystem(
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=endpoint,
        scheme=scheme,
        region=environment.get("AWS_REGION", "us-east-1"),
    )
    folder = f"{bucket}/flat/rides_1h"
    return dataset.dataset(folder, filesystem=files, partitioning="hive").to_table()


async def test_a_bucket_holds_a_data_set_of_days(rides: Metric, s3: S3, bucket: str) -> None:
    async with MemoryStore() as store:
        await replay_hours(rides, store, DAYS)
        url = f"s3://{bucket}/flat"
        assert 4 == (await export(rides, url, store=store)).rows
        await replay_hours(rides, store, DAYS[1:2], km=9)
        assert 1 == (await export(rides, url, store=store)).refreshed
        table = await asyncio.to_thread(read, s3, bucket)
        assert {"2013-01-01", "2013-01-02", "2013-01-03", "2013-01-04"} == {
            str(day)[:10] for day in table.column("window_day").to_pylist()
        }
        rows: Rows = table.drop_columns(["window_day"]).to_pylist()
        assert all(isinstance(row["window_start"], datetime) for row in rows)
        assert comparable(await answer(rides, store)) == comparable(rows)
        with pytest.raises(ExportError, match="choose a new name"):
            await export(rides, url, bounds=True, store=store)


async def test_no_reader_sees_half_a_day(rides: Metric, s3: S3, bucket: str) -> None:
    async with MemoryStore() as store:
        hours = [NOON, NOON + 3_600_000]
        await replay_hours(rides, store, hours, km=1)
        async with Exporter(flat_table(rides, "1h"), f"s3://{bucket}/flat", store=store) as one:
            await one.refresh()
            done = asyncio.Event()
            watching = asyncio.create_task(watch(s3, bucket, done))
            for km in range(2, 30):
                await replay_hours(rides, store, hours, km=km)
                await one.refresh()
            done.set()
            assert 3 < await watching


async def watch(s3: S3, bucket: str, done: asyncio.Event) -> int:
    looks = 0
    while not done.is_set():
        try:
            table = await asyncio.to_thread(read, s3, bucket)
        except (OSError, pa.ArrowInvalid):
            continue  # pyarrow asks for a file in several requests, and it was replaced between
        first, second = table.column("km").to_pylist()
        assert first == second
        looks += 1
    return looks
