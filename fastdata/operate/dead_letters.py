"""Dead letters, read and sent again.

That one was sent again is remembered beside it: by a record in the topic of dead letters, without a
value, with the place of the letter and the stage `resent`. It is kept as long as they are.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from fastdata.coordinates.instants import to_iso
from fastdata.errors import BrokerError
from fastdata.kafka.connection import Broker, client_id
from fastdata.kafka.reading import TopicReader
from fastdata.speed.dead_letters import RESENT, STAGE_RESENT, dead_letter_topic, split_headers
from fastdata.speed.outlet import STAGE_DESTINATION

__all__ = ["DeadLetterBox", "Place", "ReadLetter", "resend"]

_TIMEOUT_S = 30.0
_AT_ONCE = 500
_MAX_REQUEST_BYTES = 64 << 20

Place = tuple[str, str, str]
"""Epoch, partition and offset of a record; that of a dead letter is unique in its topic."""


@dataclass(frozen=True, slots=True)
class ReadLetter:
    """A dead letter, as it is in Kafka.

    Attributes:
        place: Where the record was.
        timestamp: The record's, ms UTC; None when it had none.
        at: When it became a dead letter, ms UTC.
        headers: Those that the record had when it was first sent.
        tries: How often it was sent again before.
    """

    topic: str
    place: Place
    timestamp: int | None
    at: int
    stage: str
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    tries: int

    @property
    def is_mark(self) -> bool:
        """Whether it only says that the letter of this place was sent again."""
        return self.stage == STAGE_RESENT

    @property
    def is_sendable(self) -> bool:
        """Whether it may help to send it again.

        An event with a key that is too long for one metric is counted by the others, one that could
        only not be sent on by all of them, and a record without a value stays one.
        """
        return self.stage not in ("key", STAGE_DESTINATION) and bool(self.value)

    def as_dict(self, *, is_resent: bool) -> dict[str, object]:
        """For JSON; bytes that are no text are hexadecimal, under names that say so."""
        return {
            "topic": self.topic,
            "partition": int(self.place[1]),
            "offset": int(self.place[2]),
            "at": to_iso(self.at),
            "stage": self.stage,
            "reason": self.reason,
            "detail": self.detail,
            "tries": self.tries,
            "resent": is_resent,
            **_named("key", self.key),
            **_named("value", self.value),
        }


def _named(name: str, payload: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if payload is None else payload.decode()}
    except UnicodeDecodeError:
        return {f"{name}_hex": (payload or b"").hex()}


class DeadLetterBox:
    """The dead letters of one topic; nothing joins a group or commits. A context manager."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self.topic = topic
        self._reader = TopicReader(broker, "dead-letters")

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: The broker cannot be reached, or refuses.
        """
        await self._reader.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._reader.__aexit__(*exc)

    async def read(self, since_ms: int | None = None) -> AsyncIterator[ReadLetter]:
        """All that are there now, in the order of each partition; some may come twice.

        Args:
            since_ms: Only those that became dead letters then or later, ms UTC.

        Raises:
            BrokerError: The broker did not answer for 30 s.
        """
        async for record in self._reader.read(dead_letter_topic(self.topic), since_ms):
            if letter := self._letter(record):
                yield letter

    def _letter(self, record: Any) -> ReadLetter | None:
        headers, ours = split_headers(record.headers)
        if not ours:
            return None  # somebody else's record
        timestamp = int(ours.get("timestamp", -1))
        tries = [int(value) for name, value in headers if name == RESENT and value.isdigit()]
        return ReadLetter(
            topic=self.topic,
            place=(ours.get("epoch", ""), ours["partition"], ours["offset"]),
            timestamp=timestamp if timestamp >= 0 else None,
            at=record.timestamp,
            stage=ours.get("stage", ""),
            reason=ours.get("reason", ""),
            detail=ours.get("detail", ""),
            key=record.key,
            value=record.value,
            headers=[header for header in headers if header[0] != RESENT],
            tries=max(tries, default=0),
        )


async def resend(
    box: DeadLetterBox,
    broker: Broker,
    wanted: set[Place],
    since_ms: int | None,
    on_sent: Callable[[int], None],
) -> int:
    """Send the records of dead letters to their topic again, and remember that.

    With key, value, headers, timestamp and partition of the first time, and a header that counts.
    At least once: what was sent when this is interrupted is remembered, but for the last 500.

    Args:
        wanted: The places of those to send.
        since_ms: As they were read with.
        on_sent: Called now and then with how many were sent.

    Returns:
        How many were sent.

    Raises:
        BrokerError: The broker did not take some; those that it took are remembered.
    """
    left, sent = set(wanted), 0
    producer = AIOKafkaProducer(
        client_id=client_id("dead-letters"), acks="all", enable_idempotence=True,
        max_request_size=_MAX_REQUEST_BYTES, **broker.aiokafka(),
    )  # fmt: skip
    try:
        await producer.start()
        partitions = await producer.partitions_for(box.topic)
        batch: list[ReadLetter] = []
        async for letter in box.read(since_ms):
            if letter.is_mark or letter.place not in left:
                continue
            left.discard(letter.place)
            batch.append(letter)
            if len(batch) == _AT_ONCE:
                await _send(producer, batch, partitions)
                sent += len(batch)
                on_sent(sent)
                batch = []
        await _send(producer, batch, partitions)
        return sent + len(batch)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(
            f"{broker} did not take the records of {box.topic}: {error!r}; {sent} were sent and "
            "are remembered, and up to 500 after them may be there: call again when it is well"
        ) from error
    finally:
        await producer.stop()


async def _send(producer: Any, letters: Sequence[ReadLetter], partitions: set[int]) -> None:
    async def deliver(records: Sequence[tuple[str, dict[str, Any]]]) -> None:
        futures = [await producer.send(topic, **record) for topic, record in records]
        await asyncio.wait_for(asyncio.gather(*futures), _TIMEOUT_S)

    await deliver([(letter.topic, _again(letter, partitions)) for letter in letters])
    await deliver([(dead_letter_topic(letter.topic), _mark(letter)) for letter in letters])


def _again(letter: ReadLetter, partitions: set[int]) -> dict[str, Any]:
    partition = int(letter.place[1])
    return {
        "key": letter.key,
        "value": letter.value,
        "headers": [*letter.headers, (RESENT, str(letter.tries + 1).encode())],
        "timestamp_ms": letter.timestamp,
        "partition": partition if partition in partitions else None,
    }


def _mark(letter: ReadLetter) -> dict[str, Any]:
    epoch, partition, offset = letter.place
    ours = {
        "topic": letter.topic, "partition": partition, "offset": offset, "epoch": epoch,
        "stage": STAGE_RESENT, "reason": letter.reason,
    }  # fmt: skip
    headers = [(f"fastdata.{name}", value.encode()) for name, value in ours.items()]
    return {"key": f"{partition}/{offset}".encode(), "value": None, "headers": headers}
