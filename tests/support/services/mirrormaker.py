"""MirrorMaker 2, which copies topics and the offsets of groups from one Kafka to another."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.support.services import programs
from tests.support.services.kafka import Kafka, java
from tests.support.services.server import Server

# Of the topics that are copied.
PREFIX = "mirrored-"

# One of everything, since either side is one broker; and all that waits waits for a second.
SETTINGS = {
    "clusters": "first, second",
    "first->second.enabled": "true",
    "second->first.enabled": "false",
    # A topic has the same name on both sides.
    "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    # What workers make for themselves is of one cluster.
    "topics.exclude": r".*\\-changelog, .*\\.dead-letters, .*[\\-\\.]internal, __.*",
    "replication.factor": "1",
    "checkpoints.topic.replication.factor": "1",
    "heartbeats.topic.replication.factor": "1",
    "offset-syncs.topic.replication.factor": "1",
    "offset.storage.replication.factor": "1",
    "status.storage.replication.factor": "1",
    "config.storage.replication.factor": "1",
    "offset.storage.partitions": "1",
    "status.storage.partitions": "1",
    "refresh.topics.interval.seconds": "1",
    "refresh.groups.interval.seconds": "1",
    "emit.checkpoints.interval.seconds": "1",
    "sync.group.offsets.enabled": "true",
    "sync.group.offsets.interval.seconds": "1",
    "scheduled.rebalance.max.delay.ms": "0",
}


class MirrorMaker(Server):
    """Copies from one broker to another what appears there, topics that come later as well.

    Args:
        folder: Holds settings and log.
        first: Copied from.
        second: Copied to.
        topics: Names, or regular expressions.
    """

    def __init__(self, folder: Path, first: Kafka, second: Kafka, *topics: str) -> None:
        super().__init__(folder)
        self._settings = SETTINGS | {
            "first.bootstrap.servers": first.bootstrap,
            "second.bootstrap.servers": second.bootstrap,
            "first->second.topics": ",".join(topics),
        }
        self._program = programs.mirror_maker(folder)
        self.container = self._program.container

    def command(self) -> list[str]:
        properties = self.folder / "mirrormaker.properties"
        properties.write_text("".join(f"{k}={v}\n" for k, v in self._settings.items()))
        start = java(self._program, self.folder / "log4j2.properties")
        return [*start, "org.apache.kafka.connect.mirror.MirrorMaker", str(properties)]

    def is_ready(self) -> bool:
        return "Started MirrorSourceConnector" in self.said()


class KafkaPair:
    """Two brokers; topics of the first whose name begins with `PREFIX` are copied to the second."""

    def __init__(self, folder: Path) -> None:
        for name in ("first", "second", "mirror"):
            (folder / name).mkdir()
        self.first, self.second = Kafka(folder / "first"), Kafka(folder / "second")
        self._mirror = MirrorMaker(folder / "mirror", self.first, self.second, f"{PREFIX}.*")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for broker in (self.first, self.second):
                stack.callback(broker.kill)
                broker.launch()
            for broker in (self.first, self.second):
                broker.wait_until_ready()
            stack.enter_context(self._mirror)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
