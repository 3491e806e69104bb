"""How the topics of a source have to be, and what is wrong with those that are there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastdata.coordinates.instants import DAY_MS

__all__ = [
    "DEFAULT_MAX_BYTES",
    "Config",
    "Flaw",
    "Topic",
    "changelog_topic",
    "flaws_of",
    "flaws_of_source",
    "for_changelog",
    "for_destination",
    "for_letters",
    "for_source",
    "misfit_of",
]

DEFAULT_MAX_BYTES = 1_048_588  # Kafka's
_LETTER_HEADERS_BYTES = 64 << 10

Config = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topic:
    """What a broker says of a topic.

    Attributes:
        config: Values by Kafka's names; empty when it may not be read.
    """

    name: str
    partitions: int
    replicas: int
    config: Config


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a topic.

    Attributes:
        text: What it has, and what comes of it.
        setting: What would be right, as `name=value`; empty where no setting mends it.
        is_fatal: Whether something is lost for sure, so that nothing may start.
    """

    topic: str
    text: str
    setting: str = ""
    is_fatal: bool = False

    def cure(self, servers: str) -> str:
        """The command that mends it.

        Args:
            servers: Of the cluster, as `host:port` with commas between.
        """
        if not self.setting:
            return "kafka-reassign-partitions.sh"
        return (
            f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics "
            f"--entity-name {self.topic} --add-config {self.setting}"
        )


def changelog_topic(application_id: str, source: str) -> str:
    """The topic with the state that workers of an application keep of a source, by its name."""
    return f"{application_id}-fastdata-{source}-changelog"


def for_source(source: Topic) -> Config:
    """How a new topic of a source is made."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * DAY_MS),
        "min.insync.replicas": _in_sync(source),
    }


def for_changelog(source: Topic) -> Config:
    """How the changelog beside a source's topic has to be."""
    return {
        "cleanup.policy": "compact",
        # Compaction keeps the last record of a key, not the one with the larger stamp: the lag
        # is longer than any pause after which an old owner may still write.
        "min.compaction.lag.ms": "3600000",
        # A state is at most 1 MiB, and its record has a key and a header.
        "max.message.bytes": str(2 << 20),
        "min.insync.replicas": _in_sync(source),
    }


def for_letters(source: Topic) -> Config:
    """How the topic of dead letters beside a source's topic has to be."""
    largest = int(source.config.get("max.message.bytes", DEFAULT_MAX_BYTES))
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "max.message.bytes": str(largest + _LETTER_HEADERS_BYTES),
        "min.insync.replicas": _in_sync(source),
    }


def for_destination(source: Topic) -> Config:
    """How the topic has to be that events of a source are sent on to."""
    largest = int(source.config.get("max.message.bytes", DEFAULT_MAX_BYTES))
    return {
        "cleanup.policy": "delete",
        # A batch may be as large as the default, also where the events are all small.
        "max.message.bytes": str(max(largest, DEFAULT_MAX_BYTES)),
        "min.insync.replicas": _in_sync(source),
    }


def _in_sync(source: Topic) -> str:
    return "2" if source.replicas > 2 else "1"


def flaws_of_source(source: Topic) -> Iterator[Flaw]:
    """What takes events from a source's topic before they are read."""
    policy = source.config.get("cleanup.policy", "delete")
    if "compact" in policy:
        yield _flaw(source, "cleanup.policy", policy, "delete", "older events of a key vanish")
    kept_ms = int(source.config.get("retention.ms", -1))
    if "delete" in policy and 0 <= kept_ms < DAY_MS:
        effect = "events are gone when a worker or the archive is down for longer"
        yield _flaw(source, "retention.ms", str(kept_ms), str(7 * DAY_MS), effect)


def flaws_of(topic: Topic, like: Topic, wanted: Config) -> Iterator[Flaw]:
    """What is wrong with a topic that stands beside that of a source.

    Args:
        like: The topic of the source.
        wanted: Its configuration as it has to be; of numbers at least.
    """
    policy, right = topic.config.get("cleanup.policy"), wanted["cleanup.policy"]
    if policy not in (None, right):
        text = f"topic {topic.name} has cleanup.policy={policy}, which loses what we keep there"
        yield Flaw(topic.name, text, f"cleanup.policy={right}", is_fatal=True)
    in_sync = int(topic.config.get("min.insync.replicas", 1))
    if in_sync > topic.replicas:
        text = (
            f"topic {topic.name} has min.insync.replicas={in_sync} and {topic.replicas} replicas, "
            "so nothing can be written to it"
        )
        setting = f"min.insync.replicas={wanted['min.insync.replicas']}"
        yield Flaw(topic.name, text, setting, is_fatal=True)
    for name, least in wanted.items():
        value = topic.config.get(name, least)
        if least.isdigit() and 0 <= int(value) < int(least):
            yield _flaw(topic, name, value, least, f"less than {least}")
    if topic.replicas < like.replicas:
        text = (
            f"topic {topic.name} has {topic.replicas} replicas, {like.name} has {like.replicas}: "
            "it is lost sooner"
        )
        yield Flaw(topic.name, text)


def misfit_of(source: Topic, changelog: Topic) -> str | None:
    """Why a changelog cannot be that of a source's topic; None when it can."""
    if changelog.partitions == source.partitions:
        return None
    return (
        f"topic {source.name!r} has {source.partitions} partitions and its changelog "
        f"{changelog.name!r} has {changelog.partitions}: they must be equal. If the topic was "
        "created anew, stop all workers, delete the changelog and their state folders, start "
        "again, and replay"
    )


def _flaw(topic: Topic, name: str, value: str, better: str, effect: str) -> Flaw:
    return Flaw(topic.name, f"topic {topic.name} has {name}={value}: {effect}", f"{name}={better}")
