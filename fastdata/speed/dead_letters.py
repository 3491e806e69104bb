"""Dead letters: records that cannot be read, kept with their bytes and the reason."""

from collections.abc import Sequence

from fastdata.coordinates.epochs import FIRST_EPOCH, Epoch
from fastdata.events.decoder import NO_TIMESTAMP
from fastdata.speed.producer import AckedProducer
from fastdata.speed.state import DeadLetter

__all__ = ["RESENT", "STAGE_RESENT", "KafkaDeadLetters", "dead_letter_topic", "split_headers"]

RESENT = "fastdata.resent"
"""The header of a record that was sent again, which says how often."""
STAGE_RESENT = "resent"
"""The stage of a record that only says of another dead letter that it was sent again."""
_FIRST = "fastdata.topic"

Header = tuple[str, bytes]


def split_headers(headers: Sequence[Header]) -> tuple[list[Header], dict[str, str]]:
    """The headers that the record of a dead letter had, and ours by name without `fastdata.`.

    Ours are empty where it is no dead letter.
    """
    names = [name for name, _ in headers]
    if _FIRST not in names:
        return list(headers), {}
    # The last one: a record that was a dead letter elsewhere keeps what was said of it there.
    begin = len(names) - 1 - names[::-1].index(_FIRST)
    ours = {
        name.removeprefix("fastdata."): value.decode("utf-8", "replace")
        for name, value in headers[begin:]
    }
    return list(headers[:begin]), ours


def dead_letter_topic(topic: str) -> str:
    """The topic that keeps what could not be read of `topic`."""
    return f"{topic}.dead-letters"


class KafkaDeadLetters:
    """`DeadLetters` in a Kafka topic beside the source's own.

    Key, value and headers are the record's, byte for byte. Headers of ours come after them:
    `fastdata.topic`, `.partition`, `.offset`, `.timestamp`, `.stage`, `.reason`, `.detail`, and
    `.epoch`: which log that was, as cluster id and topic id.
    At least once: a letter may come again after a crash, with the same offset.
    """

    def __init__(self, producer: AckedProducer, epoch: Epoch = FIRST_EPOCH) -> None:
        self._producer = producer
        self._epoch = epoch

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters`; acknowledged by all in-sync replicas when it returns."""
        for topic in sorted({letter.topic for letter in letters}):
            records = ((letter, letter.record) for letter in letters if letter.topic == topic)
            messages = [
                (r.key, r.value, [*r.headers, *self._headers(letter)]) for letter, r in records
            ]
            await self._producer.send(dead_letter_topic(topic), messages)

    def _headers(self, letter: DeadLetter) -> list[tuple[str, bytes]]:
        timestamp = letter.record.timestamp
        values = {
            "topic": letter.topic,
            "partition": self._epoch.partition(letter.partition),
            "offset": letter.record.offset,
            "timestamp": NO_TIMESTAMP if timestamp is None else timestamp,
            "stage": letter.stage,
            "reason": letter.reason,
            "detail": letter.detail[:1_000],
            "epoch": self._epoch.log,
        }
        return [(f"fastdata.{name}", str(value).encode()) for name, value in values.items()]
