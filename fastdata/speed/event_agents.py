"""All agents of users in an app."""

from collections.abc import Callable

from faust.types import TP

from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.declare.source import Source
from fastdata.errors import DeclarationError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import Registry
from fastdata.speed.dead_letters import KafkaDeadLetters
from fastdata.speed.event_agent import EventAgent
from fastdata.speed.producer import AckedProducer
from fastdata.speed.topics import prepare_topics

__all__ = ["EventAgents"]


class EventAgents(list[EventAgent]):
    """The agents of users."""

    @property
    def topics(self) -> set[str]:
        """The topics that they read."""
        return {reader.source.topic for reader in self}

    def check_free(self, source: Source, topics: set[str]) -> None:
        """Check that nothing reads the topic of a source yet.

        Args:
            topics: All that something of the app reads.

        Raises:
            DeclarationError: Something does.
        """
        if source.topic in self.topics:
            raise DeclarationError(
                f"{source.place}: topic {source.topic!r} has an agent in this app, which commits "
                "for it: use an app with another id"
            )
        if source.topic in topics:
            raise DeclarationError(
                f"{source.place}: topic {source.topic!r} has a source in this app already"
            )

    async def prepare(self, producer: AckedProducer, registry: Registry) -> None:
        """Make all ready to read.

        Raises:
            MissingTopicError: A topic is not there.
            BrokerError: The broker did not answer, or a topic does not fit.
        """
        for reader in self:
            reader.decoder, reader.registry = Decoder(reader.source, registry), registry
            await prepare_topics(producer, reader.source.topic, None)
            log = await producer.identify(reader.source.topic) or LogIdentity()
            reader.letters = KafkaDeadLetters(producer, Epoch(log))

    async def commit(self) -> None:
        """Commit what was done since it was committed last."""
        for reader in self:
            await reader.commit()

    async def reread(self, age_s: Callable[[str], float]) -> None:
        """Read again where nothing comes; see `EventAgent.reread`."""
        for reader in self:
            await reader.reread(age_s)

    async def revoke(self, revoked: set[TP]) -> None:
        """Commit what was done, and let partitions go."""
        await self.commit()
        for reader in self:
            reader.revoke(revoked)
