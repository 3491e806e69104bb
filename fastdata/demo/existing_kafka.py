"""A Kafka that is there already, for a demo: it must hold nothing of an earlier one."""

import asyncio

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from fastdata.declare.source import Source
from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker
from fastdata.operate.log_reader import LogReader
from fastdata.speed.dead_letters import dead_letter_topic

__all__ = ["left_behind", "prepare_given"]

_PARTITIONS = 4
_TIMEOUT_S = 20
_GROUP = "fastdata"


def left_behind(source: Source) -> tuple[str, ...]:
    """The topics that a demo makes, or that its worker makes."""
    changelog = f"{_GROUP}-fastdata-{source.name}-changelog"
    return source.topic, dead_letter_topic(source.topic), changelog


async def prepare_given(broker: Broker, source: Source) -> None:
    """Make the topic of a demo.

    Raises:
        BrokerError: The broker refuses, workers run there, or there are records of another demo.
    """
    await broker.check()
    await asyncio.to_thread(_prepare, broker, left_behind(source))


def _prepare(broker: Broker, names: tuple[str, ...]) -> None:
    topic = names[0]
    admin = AdminClient({**broker.librdkafka(), "log_level": 0})
    try:
        with LogReader(broker) as log:
            ranges = log.ranges(names)
        held = [name for name in names if any(end for _, end in ranges.get(name, {}).values())]
        if held:
            deletes = " && ".join(
                f"kafka-topics.sh --bootstrap-server {broker} --delete --topic {name}"
                for name in names
                if name in ranges
            )
            raise BrokerError(
                f"{', '.join(held)} at {broker} had records already, and the demo counts from "
                f"the first; if they are of another demo: {deletes}"
            )
        _refuse_workers(admin, broker)
        if topic in ranges:
            return
        new = NewTopic(topic, num_partitions=_PARTITIONS, replication_factor=-1)
        admin.create_topics([new])[topic].result(_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        raise BrokerError(f"the demo cannot make its topic at {broker}: {error}") from error


def _refuse_workers(admin: AdminClient, broker: Broker) -> None:
    (asked,) = admin.describe_consumer_groups([_GROUP]).values()
    try:
        members = len(asked.result(_TIMEOUT_S).members)
    except KafkaException:  # there is no such group
        return
    if members:
        raise BrokerError(
            f"{members} workers of fastdata run at {broker}, and the demo's would join them: stop "
            "them, or take another Kafka"
        )
