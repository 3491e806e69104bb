"""The sender keeps the order, the partitions and a distance to the slowest reader."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from aiokafka.partitioner import DefaultPartitioner

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker
from fastdata.local.broker import EmbeddedBroker
from fastdata.local.sender import Sender, Value
from fastdata.operate.log_reader import LogReader


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        running.create("news")
        yield running


def messages(count: int) -> list[Value]:
    return [(b"key-%d" % number, b"value-%d" % number) for number in range(count)]


async def test_everything_arrives_in_the_partition_that_other_clients_choose_for_its_key(
    broker: EmbeddedBroker,
) -> None:
    some = messages(5_000)
    with Sender(Broker(broker.address), "news") as sender:
        await sender.send(some)
    choose = DefaultPartitioner()
    expected = Counter(choose(key, [0, 1, 2, 3], [0, 1, 2, 3]) for key, _ in some)
    with LogReader(Broker(broker.address)) as log:
        ranges = log.ranges(["news"])["news"]
    assert ranges == {partition: (0, count) for partition, count in expected.items()}
    assert sender.acknowledged == expected


async def test_it_holds_back_until_the_slowest_reader_comes_nearer(broker: EmbeddedBroker) -> None:
    kibibytes = [(b"one key", b"x" * (1024 - 12 - 7))] * 6_000
    with Sender(Broker(broker.address), "news") as sender:
        sending = asyncio.create_task(sender.send(kibibytes))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 1)
        assert sender.sent == 4_000  # the first thousand after 3 MiB
        ((partition, _),) = sender.acknowledged.items()
        sender.note_read({partition: 1_000})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 0.5)
        assert sender.sent == 4_000
        sender.note_read({partition: 3_000})
        await sending
    assert sender.acknowledged == {partition: 6_000}


async def test_what_was_taken_before_a_value_that_cannot_be_read_is_sent(
    broker: EmbeddedBroker,
) -> None:
    def values() -> Iterator[Value]:
        yield from messages(1_500)
        raise ValueError("unreadable")

    with Sender(Broker(broker.address), "news") as sender:
        with pytest.raises(ValueError, match="unreadable"):
            await sender.send(values())
        await sender.flush()

    assert sender.acknowledged.total() == 1_500


async def test_what_the_broker_does_not_take_is_told(broker: EmbeddedBroker) -> None:
    problem = pytest.raises(BrokerError, match=r"'news': .*too large.*; 0 of 1 are there")
    with Sender(Broker(broker.address), "news") as sender, problem:
        await sender.send([(None, b"x" * 2_000_000)])


async def test_a_rate_is_not_exceeded(broker: EmbeddedBroker) -> None:
    began = asyncio.get_running_loop().time()
    with Sender(Broker(broker.address), "news") as sender:
        await sender.send(messages(500), rate=1_000)
    assert asyncio.get_running_loop().time() - began >= 0.5
