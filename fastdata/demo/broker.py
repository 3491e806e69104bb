"""A Kafka broker inside the process, for demos and tests."""

import logging
from typing import Self

from confluent_kafka import KafkaException, Producer

from fastdata.errors import BrokerError

__all__ = ["EMBEDDED_PARTITIONS", "EmbeddedBroker"]

EMBEDDED_PARTITIONS = 4


class EmbeddedBroker:
    """librdkafka's mock cluster: the Kafka protocol on a free port of loopback.

    Not for production. A topic springs into being with 4 partitions when a client asks for
    it. Each partition keeps its newest 5 MiB, in memory; older records are dropped whether or
    not they were read. There is no admin API, no log compaction and no lookup by time, and a
    group's first join takes 3 s. It lives in threads of this process, so it must outlive its
    clients, which may be other processes.

    A context manager. https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h

    Attributes:
        address: `host:port` to give to clients; empty when it is not running.
    """

    def __init__(self) -> None:
        self._cluster: Producer | None = None
        self.address = ""

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            BrokerError: No port can be bound.
        """
        config = {"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0}
        self._cluster = Producer(config, logger=logging.getLogger(__name__))
        try:
            (node,) = self._cluster.list_topics(timeout=10).brokers.values()
        except KafkaException as error:
            self._cluster = None
            raise BrokerError(f"The embedded broker did not start: {error}") from error
        self.address = f"{node.host}:{node.port}"
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it; what it held is gone."""
        self._cluster = None
        self.address = ""

    def create(self, *topics: str) -> None:
        """Create topics of 4 partitions; those that exist stay as they are.

        Raises:
            BrokerError: The broker is not running or does not answer.
        """
        if self._cluster is None:
            raise BrokerError("The embedded broker is not running: enter it first.")
        try:
            for topic in topics:
                self._cluster.list_topics(topic, timeout=10)
        except KafkaException as error:
            raise BrokerError(f"The embedded broker did not create a topic: {error}") from error
