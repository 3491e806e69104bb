"""Events that are sent on: after the map function, as Avro, to another topic."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from fastdata.coordinates.epochs import Epoch
from fastdata.declare.source import Source
from fastdata.errors import BadEventError
from fastdata.events.decoder import NO_TIMESTAMP
from fastdata.events.registry import Registry, register
from fastdata.events.schema import Schema, check_fit, encode
from fastdata.speed.producer import AckedProducer, TimedMessage
from fastdata.speed.state import Record
from fastdata.speed.topic_rules import DEFAULT_MAX_BYTES, Topic
from fastdata.speed.topics import prepare_destination

__all__ = ["STAGE_DESTINATION", "KafkaOutlet", "Outlet", "open_outlet"]

STAGE_DESTINATION = "destination"
"""The stage of a dead letter that is counted, and could only not be sent on."""
_OWN_BYTES = 1_024  # of our headers, and of a batch
# What fastavro raises of values that it has not thought of.
_MISFITS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Outlet(Protocol):
    """Where the events of a source are sent on to: a topic by its name."""

    topic: str

    def prepare(self, record: Record, fields: Mapping[str, object]) -> Record:
        """What is sent of a record with these fields.

        Raises:
            BadEventError: They do not fit the schema, or are too large for the topic.
        """

    async def send(self, events: Mapping[int, Sequence[Record]]) -> None:
        """Send events of partitions, each in order; durable when it returns. At least once.

        Raises:
            BrokerError: Some may be sent, some not; the worker must stop.
        """


async def open_outlet(
    source: Source, registry: Registry, producer: AckedProducer, epoch: Epoch
) -> Outlet | None:
    """The outlet of a source, with its topic and schema as they have to be; None for none.

    Raises:
        FastdataError: The topic does not fit, or the registry did not take the schema.
    """
    if (destination := source.destination) is None:
        return None
    topic = await prepare_destination(producer, source.topic, destination.topic)
    schema_id = await register(registry, topic.name, destination.schema)
    return KafkaOutlet(producer, source.topic, destination.schema, schema_id, topic, epoch)


class KafkaOutlet:
    """`Outlet` in a Kafka topic.

    Key, timestamp and headers are the record's. Headers of ours come after them: `fastdata.topic`,
    `.partition`, `.offset` and `.epoch`, as of a dead letter. An event goes to the partition of its
    own number, or where there are fewer to that modulo their number, so that order is kept.

    Args:
        source: The topic that the events are from.
        schema_id: What the registry calls the schema.
        topic: As it is in Kafka.
        epoch: Of the events.
    """

    def __init__(
        self,
        producer: AckedProducer,
        source: str,
        schema: Schema,
        schema_id: int,
        topic: Topic,
        epoch: Epoch,
    ) -> None:
        self.topic = topic.name
        self._producer = producer
        self._schema, self._schema_id = schema, schema_id
        self._partitions = topic.partitions
        most = topic.config.get("max.message.bytes", DEFAULT_MAX_BYTES)
        self._max_bytes = int(most) - _OWN_BYTES
        self._epoch = epoch
        self._place = [
            ("fastdata.topic", source.encode()),
            ("fastdata.epoch", str(epoch.log).encode()),
        ]

    def prepare(self, record: Record, fields: Mapping[str, object]) -> Record:
        """What is sent of a record with these fields.

        Raises:
            BadEventError: They do not fit the schema, or are too large for the topic.
        """
        try:
            check_fit(self._schema, fields)
            value = encode(self._schema, fields, self._schema_id)
        except _MISFITS as error:
            detail = f"it does not fit {self._schema.name} of topic {self.topic}: {error}"
            raise BadEventError(STAGE_DESTINATION, "misfit", detail) from error
        event = Record(record.offset, record.timestamp, record.key, value, record.headers)
        if (size := event.size) > self._max_bytes:
            detail = f"topic {self.topic} takes {self._max_bytes} bytes, and it has {size}"
            raise BadEventError(STAGE_DESTINATION, "too-large", detail)
        return event

    async def send(self, events: Mapping[int, Sequence[Record]]) -> None:
        """See `Outlet`; acknowledged by all in-sync replicas when it returns."""
        messages = defaultdict[int, list[TimedMessage]](list)
        for number, records in events.items():
            partition = self._epoch.partition(number)
            messages[partition % self._partitions] += [
                self._message(partition, record) for record in records
            ]
        await self._producer.append(self.topic, messages)

    def _message(self, partition: int, record: Record) -> TimedMessage:
        headers = [
            *record.headers, *self._place,
            ("fastdata.partition", b"%d" % partition), ("fastdata.offset", b"%d" % record.offset),
        ]  # fmt: skip
        timestamp = None if record.timestamp == NO_TIMESTAMP else record.timestamp
        return record.key, record.value, headers, timestamp
