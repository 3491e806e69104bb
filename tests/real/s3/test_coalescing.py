"""A sink's many small objects become an archive: FASTDATA_TEST_OBJECTS of them, 144,000 a month."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from fastdata.archive import ArchiveReader, ArchiveStorage, open_archive_storage
from fastdata.batch.replay import replay
from fastdata.coordinates.instants import HOUR_MS
from fastdata.declare.metric import Metric
from fastdata.store.memory import MemoryStore
from tests.archive.sink import START, declare, write_sink

OBJECTS = int(os.environ.get("FASTDATA_TEST_OBJECTS", "2000"))
SEGMENT = 10_000 if OBJECTS > 10_000 else 500
ROOT = Path(__file__).parents[3]


class Site:
    """A project whose archive is in one folder of a bucket, and the sink's objects in another."""

    def __init__(self, folder: Path, bucket: str) -> None:
        self.folder = folder
        self.origin = f"s3://{bucket}/topics"
        self.archive = f"s3://{bucket}/archive"
        self.metric: Metric = declare(folder, SEGMENT)

    def storage(self) -> ArchiveStorage:
        return open_archive_storage(self.archive)

    async def start(self, *options: str, failpoint: str = "") -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fastdata.cli.main", "archive", "import", self.origin,
            "--source", "views", "--json", *options, cwd=self.folder, stdout=-1, stderr=-1,
            env={
                **os.environ, "FASTDATA_ARCHIVE": self.archive, "PYTHONPATH": str(ROOT),
                "FASTDATA_FAILPOINTS": failpoint,
            },
        )  # fmt: skip

    async def take(self) -> dict[str, list[dict[str, int]]]:
        process = await self.start()
        out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        report: dict[str, list[dict[str, int]]] = json.loads(out)
        return report

    async def archived(self) -> dict[int, int]:
        """Records by partition, as the manifest counts them."""
        snapshot = await ArchiveReader(self.storage(), self.metric.source).snapshot()
        return {
            partition: sum(each.count for entry in entries for each in entry.objects)
            for partition, entries in snapshot.entries.items()
        }


@pytest.fixture
def site(tmp_path: Path, bucket: str) -> Site:
    return Site(tmp_path, bucket)


@pytest.mark.timeout(1800)
async def test_small_objects_become_an_archive_and_every_count_is_right(site: Site) -> None:
    written = await write_sink(open_archive_storage(site.origin), OBJECTS)
    started = time.monotonic()
    (report,) = (await site.take())["partitions"]
    seconds = time.monotonic() - started
    objects = await site.storage().names("topics")
    print(  # noqa: T201
        f"{OBJECTS:,} objects with {report['records']:,} records became {len(objects):,} in "
        f"{seconds:.1f} s: {OBJECTS / seconds:,.0f} objects/s"
    )

    (replayed,) = (
        await replay([site.metric], store=MemoryStore(), archive=site.storage(), workers=0)
    ).metrics

    assert written.objects == report["done"] == OBJECTS
    assert report["records"] == report["end"] == written.records[0]
    assert await site.archived() == written.records
    assert replayed.events == written.records[0]
    assert len(objects) == written.records[0] // SEGMENT
    assert seconds < 900


async def test_an_import_that_is_killed_again_and_again_is_finished(site: Site) -> None:
    written = await write_sink(open_archive_storage(site.origin), 300, partitions=2)
    for failpoint in ("archive.after_object=kill@2", "archive.after_manifest=kill@3"):
        process = await site.start(failpoint=failpoint)
        await process.communicate()
        assert process.returncode == -signal.SIGKILL

    report = await site.take()

    assert [each["end"] for each in report["partitions"]] == [*written.records.values()]
    assert await site.archived() == written.records


async def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(site: Site) -> None:
    written = await write_sink(open_archive_storage(site.origin), 900)
    process = await site.start()
    deadline = time.monotonic() + 180
    while not await site.storage().names("manifest") and process.returncode is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    (first,) = json.loads(out)["partitions"]
    (second,) = (await site.take())["partitions"]

    assert process.returncode == 130
    assert 0 < first["records"] < written.records[0]
    assert first["records"] + second["records"] == second["end"] == written.records[0]


async def test_a_replay_of_an_hour_reads_only_objects_that_hold_it(site: Site) -> None:
    await write_sink(open_archive_storage(site.origin), 600)
    await site.take()
    storage = site.storage()
    objects = (await ArchiveReader(storage, site.metric.source).snapshot()).objects()
    others = [each.name for each in objects if START not in each.hours]
    await storage.delete(*others)

    (report,) = (
        await replay(
            [site.metric], store=MemoryStore(), archive=storage, start=START,
            end=START + HOUR_MS, workers=0,
        )
    ).metrics  # fmt: skip

    assert len(others) > len(objects) / 2
    assert report.events == sum(each.hours.get(START, 0) for each in objects)
