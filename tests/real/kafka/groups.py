"""What a broker knows of a consumer group."""

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient


class Group:
    """A consumer group, seen from outside."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._name = name

    def shares(self) -> list[int]:
        """How many partitions each member has, fewest first; empty while the group changes."""
        (future,) = self._admin.describe_consumer_groups([self._name]).values()
        try:
            found = future.result(10)
        except KafkaException:  # its coordinator is new, or moves
            return []
        if found.state != ConsumerGroupState.STABLE:
            return []
        return sorted(len(member.assignment.topic_partitions) for member in found.members)
