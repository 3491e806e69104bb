"""The topics that a worker needs: created, and checked, beforehand or when it starts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidPartitionsError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from fastdata.coordinates.instants import DAY_MS
from fastdata.errors import BrokerError, MissingTopicError
from fastdata.speed.dead_letters import dead_letter_topic
from fastdata.speed.producer import AckedProducer

__all__ = ["NewlyMade", "TopicAdmin", "changelog_topic", "create_topics", "prepare_topics"]

_TIMEOUT_S = 30.0
_POLL_S = 0.1
_DEFAULT_MAX_BYTES = 1_048_588  # Kafka's
_LETTER_HEADERS_BYTES = 64 << 10

logger = logging.getLogger(__name__)

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
class NewlyMade:
    """A topic that was looked for, and whether it had to be created."""

    topic: Topic
    is_new: bool


async def prepare_topics(producer: AckedProducer, topic: str, changelog: str) -> int:
    """Check the source's topic; create what stands beside it, or check that it fits.

    Faust takes a time-out while creating a topic for success, a changelog with another number
    of partitions fails at the first write, and one that is not compacted loses the state.

    Returns:
        How many partitions the source's topic has.

    Raises:
        MissingTopicError: The source's topic is not there.
        BrokerError: A topic does not fit; says what mends it.
    """
    letters = dead_letter_topic(topic)
    servers = ",".join(producer.servers)
    async with TopicAdmin(servers, **producer.security) as admin:
        if await admin.is_served():
            if (source := await admin.find(topic)) is None:
                raise MissingTopicError(topic, servers)
            admin.check_source(source)
            await admin.ensure(letters, source, _for_letters(source))
            state = (await _ensure_changelog(admin, changelog, source)).topic
        else:
            # A mock creates what is asked for, and has no configuration.
            counts = [await producer.partitions(name) for name in (topic, changelog, letters)]
            source, state, _ = (Topic(topic, count, 1, {}) for count in counts)
            if not source.partitions:
                raise MissingTopicError(topic, servers)
    if state.partitions != source.partitions:
        raise BrokerError(
            f"topic {topic!r} has {source.partitions} partitions and its changelog "
            f"{changelog!r} has {state.partitions}: they must be equal. If the topic was created "
            "anew, stop all workers, delete the changelog and their state folders, start again, "
            "and replay"
        )
    return source.partitions


async def create_topics(
    admin: "TopicAdmin",
    topic: str,
    changelog: str,
    *,
    partitions: int,
    replicas: int | None = None,
    is_dry: bool = False,
) -> list[NewlyMade]:
    """Create the topic of a source and what stands beside it, where they are missing.

    Idempotent. A topic of the source that is there stays as it is, and the others become like it.

    Args:
        changelog: The name of the topic with the state of the workers.
        partitions: Of the source's topic.
        replicas: Of the source's topic; at most three, one for each broker, when it is None.
        is_dry: Only look.

    Raises:
        BrokerError: The broker refuses, has no controller, or a topic does not fit.
    """
    if not await admin.is_served():
        raise BrokerError(
            f"{admin.servers} creates no topics: it is a mock, which makes one when it is asked for"
        )
    if (source := await admin.find(topic)) is None:
        new = Topic(topic, partitions, replicas or min(3, await admin.brokers()), {})
        first = await admin.ensure(topic, new, _for_source(new), is_dry=is_dry)
    else:
        admin.check_source(source)
        first = NewlyMade(source, is_new=False)
    source, letters = first.topic, dead_letter_topic(topic)
    state = await _ensure_changelog(admin, changelog, source, is_dry=is_dry)
    return [first, state, await admin.ensure(letters, source, _for_letters(source), is_dry=is_dry)]


async def _ensure_changelog(
    admin: "TopicAdmin", name: str, source: Topic, *, is_dry: bool = False
) -> NewlyMade:
    made = await admin.ensure(name, source, _for_changelog(source), is_dry=is_dry)
    if made.topic.partitions < source.partitions and not is_dry:
        return replace(made, topic=await admin.grow(made.topic, source.partitions))
    return made


def changelog_topic(application_id: str, source: str) -> str:
    """The topic with the state that workers of an application keep of a source, by its name."""
    return f"{application_id}-fastdata-{source}-changelog"


def _for_source(source: Topic) -> Config:
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * DAY_MS),
        "min.insync.replicas": _in_sync(source),
    }


def _for_changelog(source: Topic) -> Config:
    return {
        "cleanup.policy": "compact",
        # Compaction keeps the last record of a key, not the one with the larger stamp: the lag
        # is longer than any pause after which an old owner may still write.
        "min.compaction.lag.ms": "3600000",
        # A state is at most 1 MiB, and its record has a key and a header.
        "max.message.bytes": str(2 << 20),
        "min.insync.replicas": _in_sync(source),
    }


def _for_letters(source: Topic) -> Config:
    largest = int(source.config.get("max.message.bytes", _DEFAULT_MAX_BYTES))
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "max.message.bytes": str(largest + _LETTER_HEADERS_BYTES),
        "min.insync.replicas": _in_sync(source),
    }


def _in_sync(source: Topic) -> str:
    return "2" if source.replicas > 2 else "1"


@asynccontextmanager
async def _asking(failure: str) -> AsyncIterator[None]:
    """Give the broker 30 s; whatever it refuses is a failure."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"{failure}: {error!r}") from error


class TopicAdmin:
    """Looks at topics and creates them. A context manager.

    Args:
        bootstrap_servers: Each as `host:port`, with commas between.
        security: Other arguments of aiokafka's clients.
    """

    def __init__(self, bootstrap_servers: str, **security: Any) -> None:
        self.servers = bootstrap_servers
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, **security)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerError: The broker cannot be used.
        """
        try:
            await self._admin.start()
        except (KafkaError, OSError) as error:
            raise BrokerError(f"the broker at {self.servers} cannot be used: {error!r}") from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._admin.close()

    async def is_served(self) -> bool:
        """Whether the cluster has a controller that answers; a mock has none."""
        cluster = await self._admin.describe_cluster()
        return cluster["controller_id"] in {node["node_id"] for node in cluster["brokers"]}

    async def brokers(self) -> int:
        """How many brokers the cluster has."""
        return len((await self._admin.describe_cluster())["brokers"])

    async def find(self, name: str) -> Topic | None:
        """The topic of a name; None when there is none.

        Raises:
            BrokerError: The broker does not answer.
        """
        async with _asking(f"topic {name}: the broker does not tell of it"):
            # Asked for by name, a broker may create it.
            topics = {topic["topic"]: topic for topic in await self._admin.describe_topics()}
            if name not in topics:
                return None
            partitions = topics[name]["partitions"]
            replicas = min(len(partition["replicas"]) for partition in partitions)
            return Topic(name, len(partitions), replicas, await self._config(name))

    async def ensure(
        self, name: str, like: Topic, config: Config, *, is_dry: bool = False
    ) -> NewlyMade:
        """Create a topic with the partitions and replicas of another, or check the present one.

        Args:
            is_dry: Only look whether it is there.

        Raises:
            BrokerError: The broker refuses, or the present one would lose something.
        """
        if (topic := await self.find(name)) is not None:
            if not is_dry:
                self._check(topic, like, config)
            return NewlyMade(topic, is_new=False)
        if is_dry:
            return NewlyMade(Topic(name, like.partitions, like.replicas, config), is_new=True)
        new = NewTopic(name, like.partitions, like.replicas, topic_configs=dict(config))
        async with _asking(f"topic {name} cannot be created"):
            response = await self._admin.create_topics([new])
            _, code, *text = response.topic_errors[0]
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(*filter(None, text))
            while (made := await self.find(name)) is None:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
        return NewlyMade(made, is_new=True)

    async def grow(self, topic: Topic, partitions: int) -> Topic:
        """Give a topic more partitions. Idempotent; others may do the same.

        What is in it stays where it is: a changelog is written by the number of a partition.

        Raises:
            BrokerError: The broker refuses.
        """
        async with _asking(f"topic {topic.name} cannot be given {partitions} partitions"):
            with suppress(InvalidPartitionsError):  # somebody was faster
                await self._admin.create_partitions({topic.name: NewPartitions(partitions)})
            while True:
                grown = await self.find(topic.name)
                if grown is not None and grown.partitions >= partitions:
                    break
                await asyncio.sleep(_POLL_S)
        logger.warning("topic %s has %d partitions now", topic.name, partitions)
        return grown

    def check_source(self, source: Topic) -> None:
        """Warn of what takes events from a topic before they are read."""
        policy = source.config.get("cleanup.policy", "delete")
        if "compact" in policy:
            self._warn(source, "cleanup.policy", policy, "delete", "older events of a key vanish")
        kept_ms = int(source.config.get("retention.ms", -1))
        if "delete" in policy and 0 <= kept_ms < DAY_MS:
            effect = "events are gone when a worker or the archive is down for longer"
            self._warn(source, "retention.ms", str(kept_ms), str(7 * DAY_MS), effect)

    def _check(self, topic: Topic, like: Topic, wanted: Config) -> None:
        """Refuse what loses something for sure, warn of what may."""
        policy = topic.config.get("cleanup.policy", wanted["cleanup.policy"])
        if policy != wanted["cleanup.policy"]:
            raise BrokerError(
                f"topic {topic.name} has cleanup.policy={policy}, which loses what we keep there; "
                f"mend it: {self._command(topic, 'cleanup.policy', wanted['cleanup.policy'])}"
            )
        in_sync = int(topic.config.get("min.insync.replicas", 1))
        if in_sync > topic.replicas:
            raise BrokerError(
                f"topic {topic.name} has min.insync.replicas={in_sync} and {topic.replicas} "
                "replicas, so nothing can be written to it; mend it: "
                f"{self._command(topic, 'min.insync.replicas', wanted['min.insync.replicas'])}"
            )
        for name, least in wanted.items():
            value = topic.config.get(name, least)
            if least.isdigit() and 0 <= int(value) < int(least):
                self._warn(topic, name, value, least, f"less than {least}")
        if topic.replicas < like.replicas:
            logger.warning(
                "topic %s has %s replicas, %s has %s: it is lost sooner; mend it with "
                "kafka-reassign-partitions.sh",
                topic.name, topic.replicas, like.name, like.replicas,
            )  # fmt: skip

    def _warn(self, topic: Topic, name: str, value: str, better: str, effect: str) -> None:
        logger.warning(
            "topic %s has %s=%s: %s; mend it: %s",
            topic.name, name, value, effect, self._command(topic, name, better),
        )  # fmt: skip

    def _command(self, topic: Topic, name: str, value: str) -> str:
        return (
            f"kafka-configs.sh --bootstrap-server {self.servers} --alter --entity-type topics "
            f"--entity-name {topic.name} --add-config {name}={value}"
        )

    async def _config(self, name: str) -> Config:
        """The configuration of a topic; nothing when it may not be read."""
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        (response,) = await self._admin.describe_configs([resource])
        code, text, _, _, entries = response.resources[0]
        if code:
            logger.warning("the configuration of topic %s cannot be checked: %s", name, text)
            return {}
        return {entry[0]: entry[1] for entry in entries}
