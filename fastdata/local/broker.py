"""A Kafka broker that needs no installation, for development, demos and tests."""

import ctypes
import os
import subprocess
import sys
from typing import Self

from confluent_kafka import cimpl

from fastdata.errors import BrokerError

__all__ = ["EMBEDDED_CLUSTER", "EMBEDDED_PARTITIONS", "BrokerProcess", "EmbeddedBroker"]

EMBEDDED_PARTITIONS = 4
EMBEDDED_CLUSTER = "mockCluster"
"""How the id of each of its clusters begins."""


class EmbeddedBroker:
    """librdkafka's mock cluster: the Kafka protocol on a free port of loopback.

    Not for production. A topic springs into being with 4 partitions when a client asks for
    it. Each partition keeps its newest 5 MiB, in memory; older records are dropped whether or
    not they were read. There is no admin API, no log compaction and no lookup by time. A group
    waits for nobody when its first member joins. It lives in threads of this process, so it must
    outlive its clients, which may be other processes.

    A context manager. https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h

    Attributes:
        address: `host:port` to give to clients; empty when it is not running.
    """

    def __init__(self) -> None:
        self._lib = _library()
        self._cluster: int | None = None
        self.address = ""

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            BrokerError: No port can be bound.
        """
        lib, reason = self._lib, ctypes.create_string_buffer(512)
        config = lib.rd_kafka_conf_new()
        lib.rd_kafka_conf_set(config, b"log_level", b"0", reason, len(reason))
        self._client = lib.rd_kafka_new(0, config, reason, len(reason))
        if self._client:
            self._cluster = lib.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            raise BrokerError(f"the embedded broker did not start: {reason.value.decode()}")
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.address = lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it; what it held is gone."""
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._client)
        self._cluster = None
        self.address = ""

    def create(self, topic: str, partitions: int = EMBEDDED_PARTITIONS) -> None:
        """Create a topic.

        Raises:
            BrokerError: The broker is not running, or has the topic already.
        """
        if self._cluster is None:
            raise BrokerError("the embedded broker is not running: enter it first")
        name = topic.encode()
        if code := self._lib.rd_kafka_mock_topic_create(self._cluster, name, partitions, 1):
            raise BrokerError(f"the embedded broker did not create {topic!r}: code {code}")


class BrokerProcess:
    """An embedded broker in a process of its own. A context manager.

    It ends when nobody holds `lifeline` any more: who does, and outlives this process, can still
    read and write what it needs for its own end.

    Attributes:
        lifeline: A descriptor for other processes to hold.
    """

    def __enter__(self) -> Self:
        """Start it, without waiting for it."""
        reading, self.lifeline = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603  (our own module)
            [sys.executable, "-m", __name__],
            stdin=reading, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        os.close(reading)
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it, whoever holds it."""
        os.close(self.lifeline)
        self._process.kill()
        self._process.communicate()

    def address(self) -> str:
        """Its `host:port`, as soon as it has one.

        Raises:
            BrokerError: It did not start.
        """
        if self._process.stdout and (line := self._process.stdout.readline()):
            return line.decode().strip()
        raise BrokerError("the embedded broker did not start; standard error may tell why")

    def check(self) -> None:
        """See that it runs.

        Raises:
            BrokerError: It does not, and all that it had is gone.
        """
        if (code := self._process.poll()) is not None:
            raise BrokerError(
                f"the embedded broker ended with code {code}, and what it had is gone: start "
                "again, and send again what is not in the archive"
            )


def _library() -> ctypes.CDLL:
    """The librdkafka of confluent_kafka, which is found through what is linked with it."""
    lib = ctypes.CDLL(cimpl.__file__)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    lib.rd_kafka_conf_new.restype = pointer
    lib.rd_kafka_conf_set.argtypes = [pointer, text, text, text, ctypes.c_size_t]
    lib.rd_kafka_new.restype = pointer
    lib.rd_kafka_new.argtypes = [number, pointer, text, ctypes.c_size_t]
    lib.rd_kafka_destroy.argtypes = [pointer]
    lib.rd_kafka_mock_cluster_new.restype = pointer
    lib.rd_kafka_mock_cluster_new.argtypes = [pointer, number]
    lib.rd_kafka_mock_cluster_bootstraps.restype = text
    lib.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    lib.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
    lib.rd_kafka_mock_topic_create.argtypes = [pointer, text, number, number]
    lib.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [pointer, number]
    return lib


def _serve() -> None:
    with EmbeddedBroker() as broker:
        sys.stdout.write(f"{broker.address}\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


if __name__ == "__main__":
    _serve()
