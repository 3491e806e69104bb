"""What a Kafka log holds, seen from outside of any group."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker

__all__ = ["LogReader", "Member"]

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Member:
    """A process that takes part in a consumer group.

    Attributes:
        client_id: As it calls itself; ours end with host name and process id.
        host: From where the broker sees it.
    """

    client_id: str
    host: str

    def __str__(self) -> str:
        return f"{self.client_id} at {self.host}"


class LogReader:
    """Offsets and append times of a Kafka log; joins no group. Calls block: use threads.

    A context manager.
    """

    def __init__(self, broker: Broker, timeout_s: float = _TIMEOUT_S) -> None:
        self._broker = broker
        self._timeout_s = timeout_s
        self._is_checked = False

    def __enter__(self) -> Self:
        config = {
            "group.id": "fastdata-status",  # demanded by the client; nothing joins or commits
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            **self._broker.librdkafka(),
        }
        try:
            self._consumer = Consumer(config, logger=logging.getLogger(__name__))
        except KafkaException as error:
            raise BrokerError(f"broker {self._broker}: {error.args[0].str()}") from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._consumer.close()

    async def check(self) -> None:
        """See that the broker lets us in, until it has once; a failed read would not tell why.

        Raises:
            BrokerError: It cannot be reached, or refuses.
        """
        if not self._is_checked:
            await self._broker.check(self._timeout_s)
            self._is_checked = True

    def ranges(self, topics: Sequence[str]) -> dict[str, dict[int, tuple[int, int]]]:
        """Per topic and partition the first offset and the one after the last.

        A topic that does not exist has no partitions.

        Raises:
            BrokerError: The broker cannot be reached.
        """
        try:
            existing = self._consumer.list_topics(timeout=self._timeout_s).topics
            return {
                topic: {p: self._range(topic, p) for p in existing[topic].partitions}
                for topic in topics
                if topic in existing
            }
        except KafkaException as error:
            raise self._error(error) from error

    def append_times(self, topic: str, offsets: Mapping[int, int]) -> Mapping[int, int | None]:
        """When the first record from each offset on was appended, ms UTC.

        None where there is none: the rest of the log is marks of transactions, and what was
        taken back. Without those that were not read in time.

        Raises:
            BrokerError: The broker cannot be reached.
        """
        times: dict[int, int | None] = {}
        deadline = time.monotonic() + self._timeout_s
        places = [TopicPartition(topic, p, o) for p, o in offsets.items()]
        try:
            self._consumer.assign(places)
            self._consumer.resume(places)  # a pause outlives its assignment
            while len(times) < len(offsets) and time.monotonic() < deadline:
                message = self._consumer.poll(0.2)
                if message is None or (partition := message.partition()) is None:
                    continue
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        times.setdefault(partition, None)
                elif partition not in times:
                    times[partition] = message.timestamp()[1]
                    self._consumer.pause([TopicPartition(topic, partition)])
            self._consumer.unassign()
        except KafkaException as error:
            raise self._error(error) from error
        return times

    def members(self, group: str) -> dict[tuple[str, int], Member]:
        """Which member of a group reads which partition, by topic and partition.

        Empty where the group has none, or the broker does not tell of them.
        """
        config = {"log_level": 0, **self._broker.librdkafka()}
        admin = AdminClient(config, logger=logging.getLogger(__name__))
        asked = admin.describe_consumer_groups([group], request_timeout=self._timeout_s)
        try:
            members = asked[group].result(2 * self._timeout_s).members
        except (KafkaException, TimeoutError):  # no right to see it, or a mock
            return {}
        return {
            (place.topic, place.partition): Member(member.client_id, member.host.lstrip("/"))
            for member in members
            for place in member.assignment.topic_partitions
        }

    def records(
        self, topic: str, ranges: Mapping[int, tuple[int, int]]
    ) -> Iterator[tuple[int, int, int, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]]:
        """The records at the offsets `[start, end)` of some partitions.

        Of each its partition, offset, timestamp in ms UTC, key, value and headers; ordered by
        offset in a partition.

        Raises:
            BrokerError: The broker cannot be reached, or is too slow.
        """
        ends = {p: end for p, (start, end) in ranges.items() if start < end}
        deadline = time.monotonic() + self._timeout_s
        try:
            places = [TopicPartition(topic, p, ranges[p][0]) for p in ends]
            self._consumer.assign(places)
            self._consumer.resume(places)  # a pause outlives its assignment
            while ends:
                if time.monotonic() > deadline:
                    raise BrokerError(
                        f"the broker {self._broker} did not send the records of {topic} within"
                        f" {self._timeout_s:g} s: ask for fewer"
                    )
                message = self._consumer.poll(0.2)
                if message is None or (p := message.partition()) not in ends:
                    continue
                offset = message.offset() or 0
                if message.error() is not None or offset >= ends[p] - 1:
                    # What is not there any more is passed over.
                    end = ends.pop(p)
                    self._consumer.pause([TopicPartition(topic, p)])
                    if message.error() is not None or offset >= end:
                        continue
                headers = cast("list[tuple[str, bytes]]", message.headers() or [])
                yield p, offset, message.timestamp()[1], message.key(), message.value(), headers
            self._consumer.unassign()
        except KafkaException as error:
            raise self._error(error) from error

    def _range(self, topic: str, partition: int) -> tuple[int, int]:
        place = TopicPartition(topic, partition)
        start, end = self._consumer.get_watermark_offsets(place, timeout=self._timeout_s)
        return int(start), int(end)

    def _error(self, error: KafkaException) -> BrokerError:
        cause = error.args[0]
        text = cause.str() if isinstance(cause, KafkaError) else str(error)
        return BrokerError(f"the broker {self._broker} cannot be reached: {text}")
