"""Reading what a broker has of a partition."""

from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition


def read_log(address: str, topic: str, partition: int) -> Iterator[Message]:
    """All records of a partition, to its present end."""
    reader = Consumer({"bootstrap.servers": address, "group.id": "reader"})
    place = TopicPartition(topic, partition, OFFSET_BEGINNING)
    _, end = reader.get_watermark_offsets(place, timeout=10)
    reader.assign([place])
    offset = -1
    while offset + 1 < end:
        message = reader.poll(10)
        assert message is not None
        assert not message.error()
        offset = message.offset() or 0
        yield message
    reader.close()
