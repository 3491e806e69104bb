"""Archivers that share a topic, of which one is killed."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastdata.archive import ArchiveReader, open_archive_storage
from tests.real.kafka.groups import Group
from tests.support.lab import PARTITIONS, Lab
from tests.support.rules import without


@contextmanager
def archiver(lab: Lab) -> Iterator["subprocess.Popen[bytes]"]:
    """`fastdata archive`; killed at the end unless it has ended."""
    command = [sys.executable, "-m", "fastdata.cli.main", "archive"]
    env = lab.environment | {"FASTDATA_TILE_AGE_S": "0.2"}
    with (lab.folder / "archive.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=lab.folder, env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def archived(lab: Lab) -> dict[tuple[int, int], bytes]:
    """The datum by (partition, offset) of all that is durable."""
    storage = open_archive_storage(str(lab.folder / "data/archive"))
    reader = ArchiveReader(storage, lab.pages.source)
    with without("closed segments only"):
        snapshot = await reader.snapshot()
    found: dict[tuple[int, int], bytes] = {}
    for entry in snapshot.objects():
        for offset, datum in await reader.read(entry):
            assert (entry.partition, offset) not in found, "archived twice"
            found[entry.partition, offset] = datum
    return found


async def until(is_reached: Callable[[], bool], lab: Lab) -> None:
    deadline = time.monotonic() + 180
    while not is_reached():
        log = (lab.folder / "archive.log").read_text()
        assert time.monotonic() < deadline, log[-4_000:]
        lab.produce(20)
        await asyncio.sleep(0.1)


async def test_two_archivers_share_a_topic_and_one_takes_over_from_the_killed(lab: Lab) -> None:
    lab.environment["FASTDATA_APPLICATION_ID"] = "shop"
    group = Group(lab.environment["FASTDATA_BROKER"], "shop-archive-clicks")
    lab.produce(400)
    with archiver(lab) as victim, archiver(lab) as survivor:
        await until(lambda: group.shares() == [2, 2], lab)
        lab.produce(2_000)
        victim.kill()
        victim.wait()
        await until(lambda: group.shares() == [PARTITIONS], lab)
        survivor.terminate()
        assert survivor.wait(120) == 0
    done = lab.fastdata("archive", "--once")

    assert done.returncode == 0, done.stderr
    sent = {
        (n % PARTITIONS, n // PARTITIONS): lab.event(n, str(n))[5:] for n in range(lab.produced)
    }
    assert await archived(lab) == sent
