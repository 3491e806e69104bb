"""The archiver against a real Kafka protocol: librdkafka's mock cluster."""

import asyncio
import os
import signal
import socket
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from confluent_kafka import Producer

from fastdata.archive import (
    ArchiveReader,
    add_epoch,
    open_archive_storage,
)
from fastdata.archive.consumer import ArchiveProgress, _SourceArchive, run_archive
from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.declare.source import Source
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveHoleError,
    BrokerError,
    EpochError,
    SettingsError,
)
from fastdata.kafka.connection import Broker
from tests.archive.events import World, click, read_rejects
from tests.support.rules import without

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
PARTITIONS = 4


class MockBroker:
    """A mock cluster, as long as its producer lives."""

    def __init__(self) -> None:
        self.producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none"})
        (found,) = self.producer.list_topics(timeout=10).brokers.values()
        self.address = f"{found.host}:{found.port}"

    def produce(self, topic: str, start: int, end: int) -> dict[tuple[int, int], bytes]:
        """Send events to all partitions in turn; what is where: value by (partition, offset)."""
        sent = {}
        for n in range(start, end):
            value = click(n, page=f"/{n}").value if n % 11 else b"bad %d" % n
            assert value is not None
            self.producer.produce(topic, value, partition=n % PARTITIONS)
            sent[(n % PARTITIONS, n // PARTITIONS)] = value
        assert self.producer.flush(20) == 0
        return sent


@pytest.fixture(scope="module")
def broker() -> MockBroker:
    return MockBroker()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """With a topic and a group of its own on the shared broker."""
    world = World(tmp_path, open_archive_storage(str(tmp_path / "kept")), segment_size=10)
    name = f"c{uuid.uuid4().hex[:8]}"
    world.source = named(name, f"topic.{name}", tmp_path)
    return world


def named(name: str, topic: str, folder: Path) -> Source:
    """Another name is another group, which need not wait for the members of the first."""
    schema = str(folder / "click.avsc")
    return Source(name, topic=topic, schema=schema, time="at", segment_size=10)


class Run:
    """An archiver in this process."""

    def __init__(
        self,
        world: World,
        address: str,
        *others: Source,
        accept_loss: bool | Collection[str] = False,
        tile_age_s: float = 0.3,
        drain: bool = False,
    ) -> None:
        self.stop = asyncio.Event()
        self.progress: ArchiveProgress | None = None
        self.failed: list[str] = []
        self.task = asyncio.create_task(
            run_archive(
                [world.source, *others],
                world.registry,
                world.storage,
                broker=Broker(address),
                stop=self.stop,
                tile_age_s=tile_age_s,
                accept_loss=accept_loss,
                drain=drain,
                on_progress=self._note,
                on_failure=self.failed.append,
            )
        )

    def _note(self, progress: ArchiveProgress) -> None:
        self.progress = progress

    async def until(self, is_reached: Callable[[ArchiveProgress], bool]) -> None:
        deadline = time.monotonic() + 180
        while self.progress is None or not is_reached(self.progress):
            if self.task.done():
                await self.task
            assert time.monotonic() < deadline, self.progress
            await asyncio.wait([self.task], timeout=0.05)

    async def until_durable(self, ends: dict[int, int]) -> None:
        await self.until(lambda progress: progress.durable == ends)

    async def close(self) -> None:
        self.stop.set()
        await self.task


async def archived(world: World) -> dict[tuple[int, int], bytes | None]:
    """Value by (partition, offset) of all that is durable, tiles included."""
    reader = ArchiveReader(world.storage, world.source)
    with without("closed segments only"):
        snapshot = await reader.snapshot()
    values: dict[tuple[int, int], bytes | None] = {}
    for entry in snapshot.objects():
        head = b"\0" + (entry.schema_id or 0).to_bytes(4, "big")
        for offset, datum in await reader.read(entry):
            values[(entry.partition, offset)] = head + datum
    for entry in snapshot.rejected:
        for reject in await read_rejects(reader, entry):
            values[(entry.partition, reject.offset)] = reject.value
    return values


async def test_the_archiver_keeps_the_log_and_makes_all_durable_when_it_stops(
    world: World, broker: MockBroker
) -> None:
    sent = broker.produce(world.source.topic, 0, 100)
    run = Run(world, broker.address, tile_age_s=1000)
    await run.until(lambda progress: progress.position == dict.fromkeys(range(PARTITIONS), 25))
    assert run.progress is not None
    assert run.progress.durable == dict.fromkeys(range(PARTITIONS), 20)
    await run.close()

    assert await archived(world) == sent


@pytest.mark.parametrize("is_first", [True, False], ids=["before it begins", "while it reads"])
async def test_an_archiver_that_drains_reads_to_the_end_when_it_is_stopped(
    world: World, broker: MockBroker, *, is_first: bool
) -> None:
    sent = broker.produce(world.source.topic, 0, 4)
    run = Run(world, broker.address, drain=True)
    if not is_first:
        await run.until_durable(dict.fromkeys(range(PARTITIONS), 1))
    sent.update(broker.produce(world.source.topic, 4, 20_000))
    await run.close()

    assert await archived(world) == sent


async def test_the_archiver_of_a_log_that_is_counted_no_more_ends(
    world: World, broker: MockBroker
) -> None:
    broker.produce(world.source.topic, 0, 100)
    run = Run(world, broker.address)
    await run.until_durable(dict.fromkeys(range(PARTITIONS), 25))
    await add_epoch(world.storage, world.source.topic, 1, Epoch(LogIdentity("there"), 1_000))
    broker.produce(world.source.topic, 100, 200)
    with pytest.raises(EpochError, match="is counted no more"):
        await asyncio.wait_for(run.task, 60)

    snapshot = await ArchiveReader(world.storage, world.source).snapshot()
    assert snapshot.durable == dict.fromkeys(range(PARTITIONS), 25)


async def test_partitions_that_are_assigned_again_are_archived_once(
    world: World, broker: MockBroker
) -> None:
    member = _SourceArchive(
        world.source,
        "group",
        Broker(broker.address),
        world.registry,
        world.storage,
        lambda number: world.archiver(partition=number),
        None,
        drain=False,
    )
    stop, sent = asyncio.Event(), {}
    task = asyncio.create_task(member.run(stop))
    for n in (0, 24):
        sent.update(broker.produce(world.source.topic, n, n + 24))
        deadline = time.monotonic() + 180
        while sum(each.position for each in member.archives.values()) < n + 24:
            assert not task.done()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        if n == 0:
            # The mock cluster cannot hold a second member, whose coming would do the same.
            member.consumer._coordinator.request_rejoin()
    stop.set()
    await task

    assert await archived(world) == sent


async def test_a_log_that_is_shorter_than_its_archive_is_another_log(
    world: World, broker: MockBroker
) -> None:
    broker.produce(world.source.topic, 0, 4)
    archive = await world.opened()
    archive.advance(100)
    await archive.flush()

    with pytest.raises(ArchiveConflictError, match="ends at 100, after the log's end 1"):
        await Run(world, broker.address).task


async def test_events_deleted_while_the_archiver_was_down_stop_it_until_accepted(
    world: World, broker: MockBroker, tmp_path: Path
) -> None:
    topic = world.source.topic
    archive = await world.opened()
    archive.append(click(0))
    await archive.flush(force=True)
    # The mock cluster keeps 5 MiB of a partition and deletes what is older.
    for _ in range(70):
        broker.producer.produce(topic, os.urandom(100_000), partition=0)
        broker.producer.flush(10)
    with pytest.raises(ArchiveHoleError, match=f"--accept-loss-of {world.source.name}"):
        await Run(world, broker.address, accept_loss=["another"]).task
    world.source = named("again", topic, tmp_path)
    accepting = Run(world, broker.address, accept_loss=["again"])
    await accepting.until_durable({0: 70, 1: 0, 2: 0, 3: 0})
    await accepting.close()
    snapshot = await ArchiveReader(world.storage, world.source).snapshot()

    assert snapshot.lost[0][0][0] == 1


async def test_a_source_fails_alone_and_loudly(
    world: World, broker: MockBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker.produce(world.source.topic, 0, 4)
    archive = await world.opened()
    archive.advance(100)
    await archive.flush()
    other = named(f"{world.source.name}-other", f"{world.source.topic}.other", tmp_path)
    broker.produce(other.topic, 0, 40)

    run = Run(world, broker.address, other)
    await run.until_durable(dict.fromkeys(range(PARTITIONS), 10))
    while not run.failed:
        await asyncio.wait([run.task], timeout=0.05)

    assert run.failed == [world.source.name]
    assert f"{world.source.name} is not archived any more: " in caplog.text
    with pytest.raises(ArchiveConflictError, match="ends at 100, after the log's end 1"):
        await run.close()


async def test_an_unreachable_broker_is_an_error_that_says_what_to_check(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(BrokerError, match="see FASTDATA_BROKER"):
            await Run(world, address).task


async def test_two_sources_of_one_topic_must_agree(world: World, tmp_path: Path) -> None:
    other = Source(
        "other",
        topic=world.source.topic,
        schema=str(tmp_path / "click.avsc"),
        time="at",
        segment_size=20,
    )

    with pytest.raises(SettingsError, match="share the topic"):
        await run_archive(
            [world.source, other],
            world.registry,
            world.storage,
            broker=Broker("127.0.0.1:1"),
            stop=asyncio.Event(),
        )


ARCHIVER = """
    import asyncio, signal, sys
    from pathlib import Path
    from fastdata.archive import open_archive_storage
    from fastdata.archive.consumer import run_archive
    from fastdata.kafka.connection import Broker
    from fastdata.events.registry import FolderRegistry
    from fastdata.declare.source import Source

    folder, topic, address, name = sys.argv[1:]

    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        source = Source(
            name, topic=topic, schema=f"{folder}/click.avsc", time="at", segment_size=10
        )
        await run_archive(
            [source], FolderRegistry(Path(folder)), open_archive_storage(f"{folder}/kept"),
            broker=Broker(address), stop=stop, tile_age_s=0.05,
        )

    asyncio.run(main())
"""

# In process, test_tiling.py stops at all of them.
KILLS = [
    "archive.after_object=kill@3",
    "archive.mid_merge=kill@2",
    "archive.after_commit=kill@2",
]


async def test_an_archiver_that_is_killed_at_any_point_loses_and_repeats_nothing(
    world: World, broker: MockBroker, tmp_path: Path
) -> None:
    sent = {}
    end = 0

    def send() -> None:
        nonlocal end
        sent.update(broker.produce(world.source.topic, end, end + 24))
        end += 24

    command = [sys.executable, "-c", textwrap.dedent(ARCHIVER), str(tmp_path)]
    command += [world.source.topic, broker.address]
    for n, failpoint in enumerate(KILLS):
        # Each in a group of its own, so that none waits until the broker misses the one before.
        env = {**os.environ, "FASTDATA_FAILPOINTS": failpoint, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(
            *command, f"killed-{n}", env=env, cwd=tmp_path
        )
        died = asyncio.create_task(process.wait())
        for _ in range(200):
            send()
            if (await asyncio.wait([died], timeout=0.2))[0]:
                break
        else:
            process.kill()
        assert (await died, process.returncode) == (-signal.SIGKILL, -signal.SIGKILL)
        kept = await archived(world)
        assert kept == {place: sent[place] for place in kept}
    last = Run(world, broker.address)
    await last.until_durable(dict.fromkeys(range(PARTITIONS), end // PARTITIONS))
    await last.close()

    assert await archived(world) == sent
