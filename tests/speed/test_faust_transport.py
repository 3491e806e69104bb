"""Our consumer in place of Faust's: holes, isolation and where it can be installed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from mode import Service

from fastdata.errors import SettingsError
from fastdata.speed.state import Record
from fastdata.speed.transport import AsFetched, Fetched, FoldingConsumer, install, records_of
from tests.support.mockbroker import MockBroker

TP0 = TP("clicks", 0)
CHANGELOG = TP("changelog", 0)


class Pilot:
    """Who decides about seeks."""

    def __init__(self) -> None:
        self.topics = {"clicks"}
        self.seeks = self.commits = 0

    async def on_seek(self, consumer: FoldingConsumer) -> None:
        self.seeks += 1

    async def on_commit(self) -> None:
        self.commits += 1


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return faust.App("shop", broker="kafka://localhost:1", store="memory://", datadir=tmp_path)


@pytest.fixture
async def pilot(app: faust.App) -> AsyncIterator[Pilot]:
    pilot = Pilot()
    install(app, pilot)
    yield pilot
    cast(FoldingConsumer, app.consumer)._thread.thread_loop.close()


@pytest.fixture
async def consumer(app: faust.App, pilot: Pilot) -> FoldingConsumer:
    return cast(FoldingConsumer, app.consumer)


def fetched(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset) for offset in offsets]


async def test_an_app_gets_our_consumer(consumer: FoldingConsumer) -> None:
    assert type(consumer) is FoldingConsumer
    assert type(consumer._thread).__name__ == "_FoldingThread"


async def test_consecutive_records_have_no_holes(consumer: FoldingConsumer) -> None:
    consumer._thread._note_holes(TP0, fetched(5, 6, 7), 5)

    assert consumer.holes == {TP0: {}}
    assert consumer.fetched == {TP0: 8}


async def test_holes_inside_of_a_fetch_and_at_its_head_are_told_apart(
    consumer: FoldingConsumer,
) -> None:
    consumer._thread._note_holes(TP0, fetched(7, 8, 11, 12, 20), 5)

    assert consumer.holes == {TP0: {7: (5, True), 11: (9, False), 20: (13, False)}}


async def test_without_a_position_nothing_is_known_of_the_head(consumer: FoldingConsumer) -> None:
    consumer._thread._note_holes(TP0, fetched(7, 8), None)

    assert consumer.holes == {TP0: {}}


async def test_what_was_fetched_before_a_seek_is_forgotten(consumer: FoldingConsumer) -> None:
    consumer._thread._note_holes(TP0, fetched(7, 9), 5)
    consumer.forget(TP0)

    assert (consumer.holes, consumer.fetched) == ({}, {})


async def test_the_read_offset_of_faust_drops_none_of_our_records(
    consumer: FoldingConsumer,
) -> None:
    other = TP("other", 0)
    consumer._read_offset[TP0] = 100
    consumer._read_offset[other] = 100

    assert consumer._read_offset[TP0] is None
    assert consumer._read_offset[other] == 100
    assert consumer._read_offset[TP("other", 1)] is None


async def test_agents_commit_when_faust_does(
    consumer: FoldingConsumer, pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "force_commit", AsyncMock(return_value=True))

    assert await consumer.commit()
    assert pilot.commits == 1


async def test_a_full_queue_does_not_take_our_partition_out_of_the_fetch(
    consumer: FoldingConsumer,
) -> None:
    other = TP("other", 0)
    consumer._set_active_tps({TP0, other})
    consumer.on_buffer_full(TP0)
    consumer.on_buffer_full(other)

    assert consumer._active_partitions == {TP0}


async def test_only_committed_records_are_read(app: faust.App, consumer: FoldingConsumer) -> None:
    created = consumer._thread._create_worker_consumer(cast(driver.Transport, app.transport))
    created._closed = True  # it was never started

    assert created._isolation_level == "read_committed"


@pytest.fixture
async def log() -> AsyncIterator[AIOKafkaConsumer]:
    """Reads three records of `clicks` and three of `changelog`."""
    with MockBroker() as broker:
        # In one batch each, for a fetch may bring one batch alone.
        producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 10_000})
        for topic in ("clicks", "changelog"):
            broker.create(topic, 1)
            for n in range(3):
                producer.produce(topic, f"{topic} {n}", partition=0)
        assert producer.flush(20) == 0
        log = AIOKafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest")
        await log.start()
        log.assign([TopicPartition(*TP0), TopicPartition(*CHANGELOG)])
        yield log
        await log.stop()


async def test_partitions_that_are_paused_during_a_fetch_do_not_make_it_one_of_all(
    consumer: FoldingConsumer, log: AIOKafkaConsumer
) -> None:
    log.seek(TopicPartition(*TP0), 3)
    active = {TP0}
    fetch = asyncio.create_task(consumer._thread._fetch_records(log, active, 1.0))
    await asyncio.sleep(0)
    active.clear()

    assert await fetch == {}
    assert await consumer._thread._fetch_records(log, active, 1.0) == {}
    assert await log.position(TopicPartition(*CHANGELOG)) == 0


async def test_what_comes_while_the_flow_is_stopped_is_read_again(
    consumer: FoldingConsumer, log: AIOKafkaConsumer
) -> None:
    fetch = consumer._thread._fetch_records
    stopped = asyncio.create_task(fetch(log, {CHANGELOG}, 10.0))
    await asyncio.sleep(0)
    consumer.stop_flow()
    assert await stopped == {}
    consumer.resume_flow()
    offsets: list[int] = []
    while len(offsets) < 3:
        for records in (await fetch(log, {CHANGELOG}, 10.0)).values():
            offsets += [record.offset for record in records]

    assert offsets == [0, 1, 2]


async def test_what_was_fetched_before_a_seek_is_dropped_at_once(
    consumer: FoldingConsumer, log: AIOKafkaConsumer
) -> None:
    thread, place = consumer._thread, TopicPartition(*TP0)
    records = await thread._fetch_records(log, {TP0}, 10.0)
    delivery = iter(records[place])
    first = next(delivery)

    await thread._seek_wait(log, {TP0: 1})

    assert (first.offset, list(delivery)) == (0, [])
    assert (consumer.holes, consumer.fetched) == ({}, {})
    again = await thread._fetch_records(log, {TP0}, 10.0)
    assert [record.offset for record in again[place]] == [1, 2]


async def test_a_seek_of_one_partition_drops_nothing_of_another(
    consumer: FoldingConsumer, log: AIOKafkaConsumer
) -> None:
    thread, place = consumer._thread, TopicPartition(*TP0)
    records = await thread._fetch_records(log, {TP0}, 10.0)

    await thread._seek_wait(log, {CHANGELOG: 0})

    assert [record.offset for record in records[place]] == [0, 1, 2]


def sent(*offsets: int) -> list[Any]:
    return [
        SimpleNamespace(
            offset=offset, timestamp=5_000 + offset, key=b"k", value=b"v", headers=(("h", b"1"),),
            topic="clicks", partition=0, timestamp_type=0, checksum=None,
            serialized_key_size=1, serialized_value_size=1,
        )
        for offset in offsets
    ]  # fmt: skip


async def deliver(
    consumer: FoldingConsumer, records: Mapping[TP, Any], monkeypatch: pytest.MonkeyPatch
) -> list[Message]:
    """What Faust makes of records that were fetched."""

    async def getmany(*args: Any) -> Mapping[TP, Any]:
        return records

    monkeypatch.setattr(consumer._thread, "getmany", getmany)
    monkeypatch.setattr(consumer, "highwater", lambda tp: 2_000)
    consumer._set_active_tps(set(records))
    consumer.resume_flow()
    return [message async for _, message in consumer.getmany(1.0)]


async def test_consecutive_records_of_a_partition_travel_as_one_message(
    app: faust.App, consumer: FoldingConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.topics.add(app.topic("clicks", schema=AsFetched(), acks=False))
    app.consumer_generation_id = 7
    messages = await deliver(
        consumer, {TP0: Fetched(sent(*range(3, 1_203)), TP0, consumer.seeks)}, monkeypatch
    )

    assert [(m.offset, len(records_of(m)), m.generation_id) for m in messages] == [
        (3, 500, 7), (503, 500, 7), (1_003, 200, 7),
    ]  # fmt: skip
    records = [record for message in messages for record in records_of(message)]
    assert [record.offset for record in records] == list(range(3, 1_203))
    event = await AsFetched().compile(app)(messages[0])
    assert event.value is messages[0].value


async def test_a_topic_that_another_agent_reads_too_travels_record_by_record(
    app: faust.App, consumer: FoldingConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.topics.add(app.topic("clicks", schema=AsFetched(), acks=False))
    app.topics.add(app.topic("clicks", value_type=bytes))
    messages = await deliver(consumer, {TP0: sent(3, 4)}, monkeypatch)

    assert [message.value for message in messages] == [b"v", b"v"]
    assert [records_of(message)[0] for message in messages] == [
        Record(3, 5_003, b"k", b"v", (("h", b"1"),)), Record(4, 5_004, b"k", b"v", (("h", b"1"),)),
    ]  # fmt: skip


async def test_topics_that_are_not_ours_travel_record_by_record(
    app: faust.App, consumer: FoldingConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.topics.add(app.topic("changelog", value_type=bytes))
    (message,) = await deliver(consumer, {CHANGELOG: sent(3)}, monkeypatch)

    assert message.value == b"v"


@pytest.mark.parametrize("is_flowing", [True, False])  # it is not where an app has no tables
@pytest.mark.parametrize(("is_fetcher", "seeks"), [(False, 1), (True, 0)])
async def test_partitions_are_opened_after_the_recovery_and_not_when_the_fetcher_seeks(
    consumer: FoldingConsumer,
    pilot: Pilot,
    is_flowing: bool,
    is_fetcher: bool,
    seeks: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer.flow_active = is_flowing

    async def seek_to_committed() -> dict[TP, int]:
        consumer.flow_active = True  # the flow resumes while the fetcher's seek is under way
        return {}

    async def fetch(*_: object) -> None:
        await consumer.perform_seek()

    monkeypatch.setattr(consumer, "seek_to_committed", seek_to_committed)
    monkeypatch.setattr(driver.Consumer, "_drain_messages", fetch)
    await (consumer._drain_messages(Service()) if is_fetcher else consumer.perform_seek())

    assert pilot.seeks == seeks


async def test_an_app_that_has_a_consumer_is_refused(
    app: faust.App, consumer: FoldingConsumer
) -> None:
    with pytest.raises(SettingsError, match="comes too late"):
        install(app, Pilot())


def test_an_app_with_a_transport_of_its_own_is_refused(app: faust.App) -> None:
    class Special(driver.Consumer):
        pass

    app.transport.Consumer = Special  # type: ignore[misc]

    with pytest.raises(SettingsError, match="transport of its own"):
        install(app, Pilot())


def test_other_apps_keep_the_consumer_of_faust(app: faust.App, tmp_path: Path) -> None:
    install(app, Pilot())
    other = faust.App("other", broker="kafka://localhost:1", store="memory://", datadir=tmp_path)

    assert other.transport.Consumer is driver.Consumer
