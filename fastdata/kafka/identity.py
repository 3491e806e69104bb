"""Which log a topic is: a topic that is deleted and made again keeps its name, and no offset."""

import asyncio
import time
from io import BytesIO

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from fastdata.coordinates.epochs import LogIdentity
from fastdata.errors import BrokerError

__all__ = ["identify"]

_UNKNOWN_TOPIC = 3
_PAUSE_S = 0.2
_NO_ID = b"\0" * 16


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_TEXT = CompactString("utf-8")
_NUMBERS = CompactArray(Int32)


class _MetadataResponse(Response):  # type: ignore[misc]
    """What aiokafka does not speak yet: the version of Kafka 2.8, with ids of topics (KIP-516)."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _TEXT),
                ("port", Int32),
                ("rack", _TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", _NUMBERS),
                        ("isr", _NUMBERS),
                        ("offline_replicas", _NUMBERS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicQuestion(Request[_MetadataRequest]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})


async def identify(
    client: AIOKafkaClient, topic: str, patience_s: float = 30.0
) -> LogIdentity | None:
    """Ask a broker which log a topic is; None when there is no such topic.

    A broker before Kafka 2.8 does not tell: nothing is known of the log then.

    Args:
        client: One that is connected.
        patience_s: Other brokers are asked for so long, while none answers.

    Raises:
        BrokerError: None of them did.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            answer = await client.send(client.get_random_node(), _TopicQuestion(topic))
            break
        except NotImplementedError:  # by aiokafka, of a version that the broker does not speak
            return LogIdentity()
        except (KafkaError, OSError) as error:
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"no broker said which log {topic!r} is within {patience_s:.0f} s: {error!r}"
                ) from error
            await asyncio.sleep(_PAUSE_S)
    ((code, _, topic_id, *_),) = answer.topics
    if code == _UNKNOWN_TOPIC:
        return None
    return LogIdentity(answer.cluster_id or "", "" if topic_id == _NO_ID else topic_id.hex())
