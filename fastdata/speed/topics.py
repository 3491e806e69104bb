"""The topics that a worker needs: created, and checked, beforehand or when it starts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
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

from fastdata.declare.source import Destination
from fastdata.errors import BrokerError, MissingTopicError
from fastdata.speed.dead_letters import dead_letter_topic
from fastdata.speed.producer import AckedProducer
from fastdata.speed.topic_rules import (
    Config,
    Flaw,
    Topic,
    flaws_of,
    flaws_of_source,
    for_changelog,
    for_destination,
    for_letters,
    for_source,
    misfit_of,
)

__all__ = [
    "Inspection",
    "NewlyMade",
    "TopicAdmin",
    "create_topics",
    "inspect_topics",
    "prepare_destination",
    "prepare_topics",
]

_TIMEOUT_S = 30.0
_POLL_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewlyMade:
    """A topic that was looked for, and whether it had to be created."""

    topic: Topic
    is_new: bool


async def prepare_topics(producer: AckedProducer, topic: str, changelog: str | None) -> int:
    """Check the source's topic; create what stands beside it, or check that it fits.

    Faust takes a time-out while creating a topic for success, a changelog with another number
    of partitions fails at the first write, and one that is not compacted loses the state.

    Args:
        changelog: None for a source that is read and not folded.

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
            admin.heed(flaws_of_source(source))
            await admin.ensure(letters, source, for_letters(source))
            made = changelog and await _ensure_changelog(admin, changelog, source)
            state = made.topic if made else source
        else:
            # A mock creates what is asked for, and has no configuration.
            names = topic, changelog or topic, letters
            counts = [await producer.partitions(name) for name in names]
            source, state, _ = (Topic(topic, count, 1, {}) for count in counts)
            if not source.partitions:
                raise MissingTopicError(topic, servers)
    if (misfit := misfit_of(source, state)) is not None:
        raise BrokerError(misfit)
    return source.partitions


async def prepare_destination(producer: AckedProducer, topic: str, name: str) -> Topic:
    """Create the topic that events are sent on to, like that of the source, or check it.

    Args:
        topic: That of the source.

    Raises:
        MissingTopicError: One of the two is not there, and is not created.
        BrokerError: It does not fit; says what mends it.
    """
    servers = ",".join(producer.servers)
    async with TopicAdmin(servers, **producer.security) as admin:
        if await admin.is_served():
            if (source := await admin.find(topic)) is None:
                raise MissingTopicError(topic, servers)
            return (await admin.ensure(name, source, for_destination(source))).topic
    if not (count := await producer.partitions(name)):
        raise MissingTopicError(name, servers)
    return Topic(name, count, 1, {})


async def create_topics(
    admin: "TopicAdmin",
    topic: str,
    changelog: str,
    destination: Destination | None = None,
    *,
    partitions: int,
    replicas: int | None = None,
    is_dry: bool = False,
) -> list[NewlyMade]:
    """Create the topic of a source and what stands beside it, where they are missing.

    Idempotent. A topic of the source that is there stays as it is, and the others become like it.

    Args:
        changelog: The name of the topic with the state of the workers.
        destination: Where its events are sent on to, if anywhere.
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
        first = await admin.ensure(topic, new, for_source(new), is_dry=is_dry)
    else:
        admin.heed(flaws_of_source(source))
        first = NewlyMade(source, is_new=False)
    source, letters = first.topic, dead_letter_topic(topic)
    state = await _ensure_changelog(admin, changelog, source, is_dry=is_dry)
    wanted = {letters: for_letters(source)}
    if destination is not None:
        wanted[destination.topic] = for_destination(source)
    beside = [await admin.ensure(n, source, c, is_dry=is_dry) for n, c in wanted.items()]
    return [first, state, *beside]


@dataclass(frozen=True, slots=True)
class Inspection:
    """The topics of a source as they are.

    Attributes:
        source: None when it is not there; nothing else is looked at then.
        beside: Its changelog, dead letters and destination, as far as they are there.
        missing: The names of those that are not; a worker makes them when it starts.
        flaws: What is wrong with them.
        misfit: Why the changelog cannot be that of the source.
    """

    source: Topic | None
    beside: tuple[Topic, ...] = ()
    missing: tuple[str, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    misfit: str | None = None


async def inspect_topics(
    admin: "TopicAdmin", topic: str, changelog: str, destination: Destination | None = None
) -> Inspection:
    """Look at the topics of a source by the rules of a worker's start, and change nothing.

    Args:
        changelog: The name of the topic with the state of the workers.
        destination: Where its events are sent on to, if anywhere.

    Raises:
        BrokerError: The broker does not answer.
    """
    if (source := await admin.find(topic)) is None:
        return Inspection(None)
    flaws, missing, misfit = [*flaws_of_source(source)], [], None
    wanted = {
        changelog: for_changelog(source),
        dead_letter_topic(topic): for_letters(source),
    }
    if destination is not None:
        wanted[destination.topic] = for_destination(source)
    present = {name: await admin.find(name) for name in wanted}
    for name, there in present.items():
        if there is None:
            missing.append(name)
            continue
        flaws += flaws_of(there, source, wanted[name])
        if name == changelog and there.partitions > source.partitions:
            misfit = misfit_of(source, there)  # too few are made more by a start
    beside = tuple(topic for topic in present.values() if topic is not None)
    return Inspection(source, beside, tuple(missing), tuple(flaws), misfit)


async def _ensure_changelog(
    admin: "TopicAdmin", name: str, source: Topic, *, is_dry: bool = False
) -> NewlyMade:
    made = await admin.ensure(name, source, for_changelog(source), is_dry=is_dry)
    if made.topic.partitions < source.partitions and not is_dry:
        return replace(made, topic=await admin.grow(made.topic, source.partitions))
    return made


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

    async def cluster(self) -> str:
        """The id of the cluster."""
        return str((await self._admin.describe_cluster())["cluster_id"])

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
                self.heed(flaws_of(topic, like, config))
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

    def heed(self, flaws: Iterable[Flaw]) -> None:
        """Warn of what is wrong with topics.

        Raises:
            BrokerError: It would lose something for sure.
        """
        for flaw in flaws:
            if flaw.is_fatal:
                raise BrokerError(f"{flaw.text}; mend it: {flaw.cure(self.servers)}")
            logger.warning("%s; mend it: %s", flaw.text, flaw.cure(self.servers))

    async def _config(self, name: str) -> Config:
        """The configuration of a topic; nothing when it may not be read."""
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        (response,) = await self._admin.describe_configs([resource])
        code, text, _, _, entries = response.resources[0]
        if code:
            logger.warning("the configuration of topic %s cannot be checked: %s", name, text)
            return {}
        return {entry[0]: entry[1] for entry in entries}
