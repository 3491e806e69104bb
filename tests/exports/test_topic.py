"""A flat table as events of a topic: each change once, and the sum of all changes is the value."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from fastdata import Metric, export, failpoints
from fastdata.coordinates.instants import DAY_MS
from fastdata.errors import BrokerError, ExportError, SettingsError
from fastdata.exports.export import Exporter
from fastdata.exports.table import flat_table
from fastdata.failpoints import FailpointError
from fastdata.kafka import sending
from fastdata.local.broker import BrokerProcess
from fastdata.store.memory import MemoryStore
from tests.answer.trips import NOON, ONE, partial, progress
from tests.exports.rides import Changes, answer, comparable, replay_hours
from tests.exports.topics import Topic


@pytest.mark.parametrize("every", ["1m", "6h", "7d"])
async def test_the_topic_is_the_answer_whatever_happens_to_the_store(
    rides: Metric, store: MemoryStore, topic: Topic, every: str
) -> None:
    changes = Changes(3, rides, store)
    flat = flat_table(rides, every, has_bounds=True)
    for _ in range(3):  # each begins with a look at the topic
        async with Exporter(flat, topic.url, store=store) as exporter:
            for _ in range(4):
                what = [await changes.happen() for _ in range(5)]
                await exporter.refresh()
                expected = comparable(await answer(rides, store, every, bounds=True))
                assert expected == comparable(topic.rows(bounds=True)), what
                assert 0 == (await exporter.refresh()).refreshed


async def test_an_event_says_what_the_row_is_and_what_has_changed(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, topic.url, store=store)
    await replay_hours(rides, store, [NOON], km=9)
    await export(rides, topic.url, store=store)
    topic.rows()

    shown = ("revision", "km", "km_change", "n", "n_change", "km_lower", "layer")
    assert [
        [1, 5, 5, 1, 1, 5, "batch"],
        [2, 9, 4, 1, 0, 9, "batch"],
    ] == [[event[name] for name in shown] for event in topic.events]


async def test_a_row_that_is_no_more_is_told_once_and_takes_its_sums_back(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, topic.url, store=store)
    async with MemoryStore() as empty:
        await export(rides, topic.url, store=empty)
        await export(rides, topic.url, store=empty)
    await export(rides, topic.url, store=store)
    topic.rows()

    shown = ("revision", "city", "km", "km_change", "layer", "exact")
    assert [
        [1, "Oslo", 5, 5, "batch", False],
        [2, "Oslo", None, -5, None, False],
        [3, "Oslo", 5, 5, "batch", False],
    ] == [[event[name] for name in shown] for event in topic.events]


async def test_rows_can_wait_until_they_are_exact_and_then_stay(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    flat = flat_table(rides, "1h", has_bounds=True)
    kms = []
    async with Exporter(flat, topic.url, store=store, only_exact=True) as exporter:
        await store.upsert([partial(rides, NOON, ["Oslo", 1], [(2, "anna")], 0)], [])
        await exporter.refresh()
        kms.append([row["km"] for row in topic.rows()])
        await replay_hours(rides, store, [NOON])
        await store.upsert([], [progress(ONE + DAY_MS)])
        await exporter.refresh()
        kms.append([row["km"] for row in topic.rows()])
        await store.upsert([partial(rides, NOON, ["Oslo", 1], [(2, "anna")], 4)], [])
        await exporter.refresh()
        kms.append([row["km"] for row in topic.rows()])

    assert [[], [5], [5]] == kms


@pytest.mark.parametrize("at", [1, 2])
async def test_what_was_sent_before_the_marks_is_not_sent_again(
    rides: Metric, store: MemoryStore, topic: Topic, at: int
) -> None:
    await replay_hours(rides, store, [NOON, ONE])
    failpoints.set_action("export.before_marks", "raise", at)
    flat = flat_table(rides, "1h", has_bounds=True)
    async with Exporter(flat, topic.url, store=store) as exporter:
        with pytest.raises(FailpointError):
            await exporter.refresh()
        failpoints.clear("export.before_marks")
        again = await exporter.refresh()

    assert 2 == len(topic.rows())
    assert [1, 1] == [event["revision"] for event in topic.events]
    assert 0 < again.refreshed


async def test_a_topic_of_another_definition_is_left_alone(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, topic.url, store=store)
    with pytest.raises(ExportError, match=r"'rides' has rows of definition .* choose a new topic"):
        await export(rides, topic.url, every="1d", store=store)


async def test_a_topic_with_something_else_is_left_alone(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=topic.broker) as producer:
        await producer.send_and_wait("rides", b"hello")
    with pytest.raises(
        ExportError,
        match=r"'rides' holds something that no export wrote, or 'rides\.marks' beside it was"
        r" deleted: choose another topic; or, if only exports wrote to it, delete 'rides' as well",
    ):
        await export(rides, topic.url, store=store)


async def test_the_table_in_a_topic_is_given_no_name(rides: Metric, store: MemoryStore) -> None:
    with pytest.raises(ExportError, match="--table names 'mine', and kafka://rides is a topic"):
        await export(rides, "kafka://rides", table="mine", store=store)


async def test_the_schema_is_a_file_of_the_folder_that_is_the_registry(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    await export(rides, topic.url, store=store)
    schema = json.loads((topic.schemas / "rides.avsc").read_text())
    types = {field["name"]: field["type"] for field in schema["fields"]}

    assert types["city"] == ["null", "string"]
    assert types["window_start"] == {"type": "long", "logicalType": "timestamp-millis"}
    assert types["km_change"] == "long"


async def test_a_file_of_that_name_is_not_replaced(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    (topic.schemas / "rides.avsc").write_text(
        '{"type": "record", "name": "other", "fields": [{"name": "a", "type": "int"}]}'
    )
    with pytest.raises(SettingsError, match=r"rides\.avsc is another schema"):
        await export(rides, topic.url, store=store)


async def test_a_broker_that_is_away_is_an_error_that_may_pass(
    rides: Metric, store: MemoryStore, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTDATA_BROKER", "127.0.0.1:1")
    with pytest.raises(BrokerError, match="refuses connections") as raised:
        await export(rides, topic.url, store=store)
    assert raised.value.retriable


@pytest.mark.parametrize("name", ["", "a/b", "localhost:9092", "a b"])
async def test_what_is_no_name_of_a_topic_is_refused(
    rides: Metric, store: MemoryStore, name: str
) -> None:
    with pytest.raises(ExportError, match="after kafka:// comes the name of a topic"):
        await export(rides, f"kafka://{name}", store=store)


async def test_only_a_topic_can_wait_for_exact_rows(
    rides: Metric, store: MemoryStore, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="--only-exact needs a kafka://"):
        await export(rides, str(tmp_path), only_exact=True, store=store)


async def test_a_broker_that_goes_away_amid_rows_is_an_error_and_no_change_comes_twice(
    rides: Metric, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_ACK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(sending, "_STOP_TIMEOUT_S", 0.2)
    await replay_hours(rides, store, [NOON])
    with BrokerProcess() as process:
        topic = Topic(process.address(), tmp_path)
        monkeypatch.setenv("FASTDATA_BROKER", topic.broker)
        monkeypatch.setenv("FASTDATA_REGISTRY", str(tmp_path))
        flat = flat_table(rides, "1h", has_bounds=True)
        async with Exporter(flat, topic.url, store=store) as exporter:
            await exporter.refresh()
            await replay_hours(rides, store, [NOON, ONE], km=9)
            os.kill(process._process.pid, signal.SIGSTOP)
            try:
                with pytest.raises(BrokerError, match="no answer for 0"):
                    await asyncio.wait_for(exporter.refresh(), 20)
            finally:
                os.kill(process._process.pid, signal.SIGCONT)
            await exporter.refresh()
        assert [9, 9] == [row["km"] for row in topic.rows()]


async def test_rows_that_were_kept_back_are_sent_when_all_are_wanted(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    await store.upsert([partial(rides, ONE, ["Oslo", 1], [(2, "anna")], 0)], [])
    await replay_hours(rides, store, [NOON])
    await store.upsert([], [progress(ONE)])
    counts = []
    for only_exact in (True, True, False, False, True):
        report = await export(rides, topic.url, store=store, only_exact=only_exact)
        counts.append((report.refreshed, len(topic.rows())))

    assert [(2, 1), (0, 1), (2, 2), (0, 2), (0, 2)] == counts


async def test_an_older_event_of_a_row_in_another_partition_is_not_its_newest(
    rides: Metric, store: MemoryStore, topic: Topic
) -> None:
    await replay_hours(rides, store, [NOON])
    await export(rides, topic.url, store=store)
    (old,) = await topic._read()
    await replay_hours(rides, store, [NOON], km=9)
    await export(rides, topic.url, store=store)
    async with AIOKafkaProducer(bootstrap_servers=topic.broker) as producer:
        for number in range(4):
            await producer.send_and_wait("rides", old[1], old[0], partition=number)
    await replay_hours(rides, store, [NOON], km=7)
    await export(rides, topic.url, store=store)

    revisions = {fields["revision"]: fields["km_change"] for fields in await topic.decoded()}
    assert {1: 5, 2: 4, 3: -2} == revisions
