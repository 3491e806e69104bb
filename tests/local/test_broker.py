"""The embedded broker speaks the Kafka protocol to any client."""

import os
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker
from fastdata.local.broker import BrokerProcess, EmbeddedBroker
from fastdata.operate.log_reader import LogReader


def test_what_is_produced_can_be_consumed() -> None:
    with EmbeddedBroker() as broker:
        broker.create("news")
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        producer.produce("news", b"hello", b"key", partition=2)
        assert producer.flush(10) == 0
        settings = {"bootstrap.servers": broker.address, "group.id": "readers", "log_level": 0}
        consumer = Consumer(settings)
        consumer.assign([TopicPartition("news", 2, 0)])
        message = consumer.poll(10)
        consumer.close()
    assert message is not None
    assert (message.key(), message.value(), message.offset()) == (b"key", b"hello", 0)


def test_a_created_topic_has_four_partitions() -> None:
    with EmbeddedBroker() as broker:
        broker.create("news")
        broker.create("sports")
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        assert sorted(producer.list_topics("sports", timeout=10).topics["sports"].partitions) == [
            0,
            1,
            2,
            3,
        ]


def test_it_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with EmbeddedBroker() as broker:
        broker.create("news")
    assert capfd.readouterr().err == ""


def test_a_stopped_broker_creates_no_topic() -> None:
    with pytest.raises(BrokerError, match="not running"):
        EmbeddedBroker().create("news")


def test_append_times_are_read_again_and_again_without_waiting() -> None:
    with EmbeddedBroker() as broker:
        broker.create("news")
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        for number in range(40):
            producer.produce("news", b"-", partition=number % 4, timestamp=1_000 + number)
        assert producer.flush(10) == 0
        with LogReader(Broker(broker.address), timeout_s=10) as log:
            first = log.append_times("news", {0: 0, 1: 0, 2: 0, 3: 0})
            began = time.monotonic()
            then = log.append_times("news", {0: 9, 2: 5})
            took_s = time.monotonic() - began
    assert first == {0: 1_000, 1: 1_001, 2: 1_002, 3: 1_003}
    assert then == {0: 1_036, 2: 1_022}
    assert took_s < 5


def test_one_in_a_process_of_its_own_lives_as_long_as_somebody_holds_it() -> None:
    with BrokerProcess() as broker:
        address = broker.address()
        held = os.dup(broker.lifeline)
        process = broker._process
        os.close(broker.lifeline)
        broker.lifeline = os.open(os.devnull, os.O_RDONLY)
        with LogReader(Broker(address)) as log:
            assert log.ranges(["news"]) == {}
        broker.check()

        os.close(held)
        assert process.wait(60) == 0
        with pytest.raises(BrokerError, match="ended with code 0"):
            broker.check()
