"""librdkafka's mock cluster by ctypes: with topics of any size, and groups that form at once."""

import ctypes
from pathlib import Path

import confluent_kafka


class MockBroker:
    """A broker in threads of this process; a context manager."""

    def __init__(self) -> None:
        site = Path(confluent_kafka.__file__).parent.parent
        (path,) = site.glob("confluent_kafka.libs/librdkafka*")
        self._lib = lib = ctypes.CDLL(str(path))
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        lib.rd_kafka_conf_new.restype = pointer
        lib.rd_kafka_new.restype = pointer
        lib.rd_kafka_new.argtypes = [number, pointer, text, ctypes.c_size_t]
        lib.rd_kafka_mock_cluster_new.restype = pointer
        lib.rd_kafka_mock_cluster_new.argtypes = [pointer, number]
        lib.rd_kafka_mock_cluster_bootstraps.restype = text
        lib.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
        lib.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
        lib.rd_kafka_mock_topic_create.argtypes = [pointer, text, number, number]
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [pointer, number]
        lib.rd_kafka_destroy.argtypes = [pointer]

    def __enter__(self) -> "MockBroker":
        lib, reason = self._lib, ctypes.create_string_buffer(512)
        self._client = lib.rd_kafka_new(0, lib.rd_kafka_conf_new(), reason, 512)
        assert self._client, reason.value
        self._cluster = lib.rd_kafka_mock_cluster_new(self._client, 1)
        self.address: str = lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        return self

    def __exit__(self, *exc: object) -> None:
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._client)

    def create(self, topic: str, partitions: int = 4) -> None:
        """Create a topic."""
        code = self._lib.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        assert code == 0, code
