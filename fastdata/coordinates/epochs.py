"""Epochs: the lives of a topic, told apart by who keeps it and not by its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["FIRST_EPOCH", "Epoch", "LogIdentity", "epoch_of", "epoch_start"]

_NUMBERS = 1_000


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which topic of which cluster.

    Attributes:
        cluster: The id of the cluster; empty when it is not known.
        topic: The id of the topic, 32 hexadecimal digits; empty when it is not known, as of brokers
            before Kafka 2.8.
    """

    cluster: str = ""
    topic: str = ""

    @classmethod
    def load(cls, text: str) -> "LogIdentity":
        """The identity of `str()`."""
        cluster, _, topic = text.partition("/")
        return cls(cluster, topic)

    def __str__(self) -> str:
        return f"{self.cluster}/{self.topic}" if self.cluster or self.topic else ""

    def is_other(self, than: "LogIdentity") -> bool:
        """Whether it is another log for sure: what is not known makes no difference."""
        pairs = (self.cluster, than.cluster), (self.topic, than.topic)
        return any(mine and other and mine != other for mine, other in pairs)

    @property
    def shown(self) -> str:
        """For messages."""
        return f"cluster {self.cluster or 'unknown'}, topic id {self.topic or 'unknown'}"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One life of a topic. Its partitions have numbers that those of no other epoch have.

    Attributes:
        log: Which log it is.
        first: The number of its partition 0, a multiple of 1,000.
        begin: Per partition of Kafka, the first offset that belongs to it; without an entry 0.
        index: How many epochs there are before it.
    """

    log: LogIdentity
    first: int = 0
    begin: Mapping[int, int] = field(default_factory=dict)
    index: int = field(default=0, compare=False)

    def number(self, partition: int) -> int:
        """The number of a partition of Kafka."""
        return self.first + partition

    def partition(self, number: int) -> int:
        """The partition of Kafka that has a number of this epoch."""
        return number - self.first

    def next_first(self, numbers: int) -> int:
        """Where the numbers of the next epoch begin, after the largest of this one.

        Args:
            numbers: How many partitions this one has, or more.
        """
        return self.first + max(1, -(-numbers // _NUMBERS)) * _NUMBERS


FIRST_EPOCH = Epoch(LogIdentity())
"""That of a topic of which no epoch is known: the numbers of its partitions are Kafka's."""


def epoch_start(number: int) -> int:
    """The first number of the block of 1,000 that a partition's number is in.

    An epoch begins at such a number; one with more partitions has several blocks.
    """
    return number - number % _NUMBERS


def epoch_of(epochs: "tuple[Epoch, ...]", number: int) -> Epoch | None:
    """The epoch, of some in order, that a partition's number belongs to; None without any."""
    return next((epoch for epoch in reversed(epochs) if epoch.first <= number), None)
