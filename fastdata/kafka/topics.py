"""Whether a topic is there."""

import asyncio
import time

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from fastdata.errors import BrokerError, MissingTopicError
from fastdata.kafka.connection import Broker

__all__ = ["check_topic"]

_PATIENCE_S = 2.0  # a topic that was just created is not known to each broker at once
_MAKING_S = 15.0
_POLL_S = 0.2


async def check_topic(broker: Broker, topic: str) -> int:
    """See that a topic is there; the clients themselves would wait for it, for ever.

    A broker that creates topics on demand creates it.

    Returns:
        How many partitions it has.

    Raises:
        MissingTopicError: It is not there.
        BrokerError: The broker cannot be reached, or refuses to tell.
    """
    try:
        client = AIOKafkaClient(**broker.aiokafka())
        try:
            await client.bootstrap()
            return await _partitions(client, topic, broker)
        finally:
            await client.close()
    except MissingTopicError:  # an OSError, as all that is wrong with a broker
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(
            f"topic {topic!r}: the broker {broker} does not tell of it: {error!r}"
        ) from error


async def _partitions(client: AIOKafkaClient, topic: str, broker: Broker) -> int:
    began_s = time.monotonic()
    while True:
        response = await client.send(client.get_random_node(), MetadataRequest([topic]))
        code, _, *_, partitions = response.topics[0]
        if not code:
            return len(partitions)
        waited_s = time.monotonic() - began_s
        if code == UnknownTopicOrPartitionError.errno:
            if waited_s > _PATIENCE_S:
                raise MissingTopicError(topic, str(broker))
        elif code != LeaderNotAvailableError.errno or waited_s > _MAKING_S:
            raise for_code(code)
        await asyncio.sleep(_POLL_S)
