"""Archivers that are killed, and a server that stops and comes back: nothing is lost."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastdata.archive import open_archive_storage
from tests.archive.events import World, clicks, values
from tests.archive.test_consuming import PARTITIONS, MockBroker, Run, archived, named
from tests.support.services.s3 import S3

ROOT = Path(__file__).parents[3]
KILLS = [
    "archive.after_object=kill@2",
    "archive.after_tile=kill@4",
    "archive.mid_merge=kill@3",
    "archive.after_manifest=kill@2",
    "archive.mid_cleanup=kill@1",
    "archive.mid_cleanup=kill@2",
]
ARCHIVER = """
    import asyncio, sys
    from pathlib import Path
    from fastdata.archive import open_archive_storage
    from tests.archive.events import World, clicks

    async def main():
        world = World(Path(sys.argv[1]), open_archive_storage(sys.argv[2]))
        archive = await world.opened()
        for record in clicks(archive.position, 95):
            archive.append(record)
            if record.offset % 3 == 0:
                await archive.flush(force=True)
        await archive.flush(force=True)

    asyncio.run(main())
"""


@pytest.fixture
def lonely(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3, World]]:
    folder = tmp_path / "server"
    folder.mkdir()
    with S3(folder) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        world = World(tmp_path, open_archive_storage(f"s3://{server.bucket()}/kept"))
        world.source = named("outage", "outages", tmp_path)
        yield server, world


async def test_an_archiver_that_is_killed_at_any_point_is_gone_on_with(
    world: World, bucket: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", textwrap.dedent(ARCHIVER), str(tmp_path)]
    command.append(f"s3://{bucket}/some/where")
    codes = []
    for failpoint in (*KILLS, ""):
        env = {**os.environ, "FASTDATA_FAILPOINTS": failpoint, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(*command, env=env)
        codes.append(await process.wait())

    assert codes == [-signal.SIGKILL] * len(KILLS) + [0]
    assert await world.archived() == values(clicks(0, 95))


@pytest.mark.parametrize("how", ["paused", "killed"])
async def test_an_archiver_waits_for_a_server_that_is_away(
    lonely: tuple[S3, World], how: str
) -> None:
    server, world = lonely
    broker = MockBroker()
    sent = broker.produce(world.source.topic, 0, 60)
    run = Run(world, broker.address)
    await run.until_durable(dict.fromkeys(range(PARTITIONS), 15))
    server.pause() if how == "paused" else server.kill()
    sent |= broker.produce(world.source.topic, 60, 120)
    # Longer than an archiver tries that has never had an answer.
    done, _ = await asyncio.wait([run.task], timeout=12)
    progress = run.progress
    server.resume() if how == "paused" else server.start()
    await run.until_durable(dict.fromkeys(range(PARTITIONS), 30))
    await run.close()

    assert not done
    assert progress is not None
    assert progress.durable == dict.fromkeys(range(PARTITIONS), 15)
    assert await archived(world) == sent
