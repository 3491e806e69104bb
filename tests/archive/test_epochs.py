"""Which log a topic is: kept in the archive, and asked of the broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient

from fastdata import Count, Metric
from fastdata.archive import ArchiveReader, add_epoch, load_epochs, open_archive_storage
from fastdata.archive.epochs import check_log, check_newest, open_epoch
from fastdata.archive.storage import ArchiveStorage
from fastdata.batch.replay import replay
from fastdata.coordinates.epochs import Epoch, LogIdentity, epoch_of, epoch_start
from fastdata.errors import ArchiveConflictError, CorruptStateError, EpochError
from fastdata.kafka.connection import Broker
from fastdata.kafka.identity import identify
from fastdata.operate.epochs import Begin, Epochs
from fastdata.store.memory import MemoryStore
from fastdata.store.protocol import Progress
from tests.archive.events import World, click
from tests.support.mockbroker import MockBroker

OLD, NEW = LogIdentity("here", "aa"), LogIdentity("there", "bb")


@pytest.fixture
def storage() -> ArchiveStorage:
    return open_archive_storage("memory:///")


@pytest.fixture
async def clusters() -> AsyncIterator[tuple[MockBroker, MockBroker]]:
    with MockBroker() as first, MockBroker() as second:
        for broker in (first, second):
            broker.create("web.clicks", 2)
        yield first, second


def test_what_is_not_known_makes_no_other_log() -> None:
    assert OLD.is_other(NEW)
    assert OLD.is_other(LogIdentity("here", "bb"))
    assert OLD.is_other(LogIdentity("there"))
    for same in (OLD, LogIdentity(), LogIdentity("here"), LogIdentity("", "aa")):
        assert not OLD.is_other(same)
        assert not same.is_other(OLD)
    assert [OLD, LogIdentity()] == [LogIdentity.load(str(log)) for log in (OLD, LogIdentity())]


def test_each_epoch_has_numbers_of_its_own() -> None:
    first = Epoch(OLD)
    second = Epoch(NEW, first.next_first(8))
    third = Epoch(OLD, second.next_first(1_001))
    assert [0, 1_000, 3_000] == [epoch.first for epoch in (first, second, third)]
    assert (1_007, 7) == (second.number(7), second.partition(1_007))
    assert [first, second, third] == [
        epoch_of((first, second, third), n) for n in (7, 1_007, 3_000)
    ]
    assert epoch_of((), 7) is None
    assert [0, 1_000] == [epoch_start(n) for n in (999, 1_007)]


async def test_the_first_log_is_the_first_epoch(storage: ArchiveStorage) -> None:
    assert Epoch(OLD) == await open_epoch(storage, "t", OLD)
    assert Epoch(OLD) == await open_epoch(storage, "t", OLD)
    assert (Epoch(OLD),) == await load_epochs(storage, "t")
    with pytest.raises(EpochError, match="was cluster here, topic id aa, and is cluster there"):
        await open_epoch(storage, "t", NEW)
    with pytest.raises(EpochError, match="topic 't' is gone"):
        await open_epoch(storage, "t", None)


async def test_the_newest_epoch_counts(storage: ArchiveStorage) -> None:
    epochs = Epoch(OLD), Epoch(NEW, 1_000, {0: 7})
    for number, epoch in enumerate(epochs):
        await add_epoch(storage, "t", number, epoch)
        await add_epoch(storage, "t", number, epoch)
    assert epochs == await load_epochs(storage, "t")
    assert epochs[1] == await open_epoch(storage, "t", NEW)
    with pytest.raises(ArchiveConflictError, match="somebody else"):
        await add_epoch(storage, "t", 1, Epoch(OLD, 1_000))
    with pytest.raises(EpochError):
        check_log("t", epochs[1], OLD)


async def test_an_epoch_ends_when_the_next_one_begins(storage: ArchiveStorage) -> None:
    first = await open_epoch(storage, "t", OLD)
    await check_newest(storage, "t", first)
    await add_epoch(storage, "t", 1, Epoch(NEW, 1_000))
    with pytest.raises(EpochError, match="topic id aa is counted no more"):
        await check_newest(storage, "t", first)
    await check_newest(storage, "t", await open_epoch(storage, "t", NEW))


async def test_a_damaged_epoch_is_no_epoch(storage: ArchiveStorage) -> None:
    await storage.create("epochs/t/epoch=0000000000.json", b"{")
    with pytest.raises(CorruptStateError, match=r"epoch=0000000000\.json does not verify"):
        await load_epochs(storage, "t")


async def test_a_broker_tells_which_log_a_topic_is(
    clusters: tuple[MockBroker, MockBroker],
) -> None:
    logs = []
    for broker in clusters:
        client = AIOKafkaClient(bootstrap_servers=broker.address)
        await client.bootstrap()
        log = await identify(client, "web.clicks")
        assert log is not None
        assert len(log.topic) == 32
        assert log == await identify(client, "web.clicks")
        assert await identify(client, "nothing") is None
        logs.append(log)
        await client.close()
    assert logs[0].is_other(logs[1])


class Site:
    """An archive and a store, and what is asked of one cluster."""

    def __init__(self, folder: Path, broker: MockBroker) -> None:
        self.world = World(folder, open_archive_storage(str(folder / "kept")))
        self.store = MemoryStore()
        self.moved_to(broker)

    def moved_to(self, broker: MockBroker) -> None:
        self.epochs = Epochs(Broker(broker.address), self.world.storage, self.store, "fastdata")

    async def begin(self, begin: Begin | None = None, *, dry_run: bool = False) -> list[Epoch]:
        report = await self.epochs.begin(self.world.source, begin, dry_run=dry_run)
        return list(report.epochs)


async def test_an_epoch_begins_where_it_is_told_to(
    tmp_path: Path, clusters: tuple[MockBroker, MockBroker]
) -> None:
    here, there = clusters
    site = Site(tmp_path, here)
    source, storage = site.world.source, site.world.storage
    report = await site.epochs.read(source)
    assert report.log is not None
    assert [] == await site.begin()
    await open_epoch(storage, source.topic, report.log)
    archive = await site.world.opened()
    for offset in range(3):
        archive.append(click(offset))
    await archive.flush(force=True)
    await site.store.upsert([], [Progress(source.topic, 0, 5, 0, 0, epoch=str(report.log))])
    assert [Epoch(report.log)] == await site.begin()

    site.moved_to(there)
    assert not (await site.epochs.read(source)).is_current
    with pytest.raises(EpochError, match="say where the new epoch begins"):
        await site.begin()
    with pytest.raises(EpochError, match="has committed nothing"):
        await site.begin("committed")
    planned = await site.epochs.begin(source, "latest", dry_run=True)
    assert ({0: 2}, 1_000) == (planned.unarchived, planned.epochs[-1].first)
    assert (Epoch(report.log),) == await load_epochs(storage, source.topic)
    first, second = await site.begin("earliest")
    assert first == Epoch(report.log)
    assert (1_000, {}) == (second.first, second.begin)
    assert second.log == (await site.epochs.read(source)).log
    assert [first, second] == await site.begin("latest")  # it has begun already


async def test_of_what_was_never_archived_nothing_can_be_committed(
    tmp_path: Path, clusters: tuple[MockBroker, MockBroker]
) -> None:
    site = Site(tmp_path, clusters[0])
    await open_epoch(site.world.storage, site.world.source.topic, OLD)
    first, second = await site.begin("committed")
    assert (Epoch(OLD), 1_000, {}) == (first, second.first, second.begin)


async def test_an_archive_that_begins_with_another_log_than_the_store_is_told_of(
    tmp_path: Path, clusters: tuple[MockBroker, MockBroker]
) -> None:
    site = Site(tmp_path, clusters[0])
    source = site.world.source
    log = (await site.epochs.read(source)).log
    await open_epoch(site.world.storage, source.topic, log)
    await site.store.upsert([], [Progress(source.topic, 0, 5, 0, 0, epoch=str(OLD))])
    with pytest.raises(EpochError, match="cluster here, topic id aa, than the archive"):
        await site.epochs.read(source)
    with pytest.raises(EpochError, match="begin another archive"):
        await site.begin("latest")


async def test_a_store_of_another_log_is_not_replayed_into(tmp_path: Path) -> None:
    world = World(tmp_path, open_archive_storage(str(tmp_path / "kept")))
    metric = Metric("clicks", world.source, measures={"n": Count()})
    await open_epoch(world.storage, world.source.topic, OLD)
    archive = await world.opened()
    archive.append(click(0))
    await archive.flush(force=True)
    store = MemoryStore()
    await store.upsert([], [Progress(world.source.topic, 0, 1, 0, 0, epoch=str(NEW))])
    with pytest.raises(EpochError, match=r"another log of 'web\.clicks', cluster there"):
        await replay([metric], store=store, archive=world.storage, workers=0)
    known = Progress(world.source.topic, 0, 2, 0, 0, epoch=str(OLD))
    await store.upsert([], [known])
    report = await replay([metric], store=store, archive=world.storage, workers=0)
    assert report.metrics[0].events == 1


def test_an_archive_reader_is_of_all_epochs(tmp_path: Path) -> None:
    async def durable() -> dict[int, int]:
        world = World(tmp_path, open_archive_storage(str(tmp_path / "kept")))
        for partition, events in ((0, 3), (1_000, 2)):
            archive = world.archiver(partition=partition)
            await archive.open(0)
            for offset in range(events):
                archive.append(click(offset))
            await archive.flush(force=True)
        reader = ArchiveReader(world.storage, world.source)
        return dict((await reader.snapshot()).durable)

    assert {0: 3, 1_000: 2} == asyncio.run(durable())
