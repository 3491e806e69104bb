"""The sender keeps the order, the partitions and a distance to the slowest reader."""

import asyncio
import zlib
from collections.abc import Iterator

import pytest

from fastdata.demo.broker import EmbeddedBroker
from fastdata.demo.sender import Message, Sender
from fastdata.kafka.connection import Broker
from fastdata.operate.log_reader import LogReader


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        running.create("news")
        yield running


def messages(count: int) -> list[Message]:
    return [(b"key-%d" % number, b"value-%d" % number) for number in range(count)]


async def test_everything_arrives_in_the_partition_of_its_key(broker: EmbeddedBroker) -> None:
    some = messages(5_000)
    with Sender(Broker(broker.address), "news", 4) as sender:
        await sender.send(some)
    expected = [0, 0, 0, 0]
    for key, _ in some:
        expected[zlib.crc32(key) % 4] += 1
    with LogReader(Broker(broker.address)) as log:
        ranges = log.ranges(["news"])["news"]
    assert [ranges[partition] for partition in range(4)] == [(0, count) for count in expected]


async def test_it_holds_back_until_the_slowest_reader_comes_nearer(broker: EmbeddedBroker) -> None:
    with Sender(Broker(broker.address), "news", 1) as sender:
        sending = asyncio.create_task(sender.send(messages(50_000)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 1)
        assert sender.sent[0] == 31_000
        sender.note_read({0: 25_000})
        await sending
    assert sender.sent[0] == 50_000


async def test_a_rate_is_not_exceeded(broker: EmbeddedBroker) -> None:
    began = asyncio.get_running_loop().time()
    with Sender(Broker(broker.address), "news", 4) as sender:
        await sender.send(messages(500), rate=1_000)
    assert asyncio.get_running_loop().time() - began >= 0.5
