"""All agents of users in an app, beside the metrics that it folds."""

from collections.abc import Callable, Iterable

import faust
from faust.types import TP

from fastdata.coordinates.epochs import Epoch, LogIdentity
from fastdata.declare.source import Source
from fastdata.errors import SettingsError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import Registry
from fastdata.speed.agent import SourceAgent
from fastdata.speed.dead_letters import KafkaDeadLetters
from fastdata.speed.event_agent import EventAgent, EventFunction, name_of
from fastdata.speed.producer import AckedProducer
from fastdata.speed.topics import prepare_topics

__all__ = ["EventAgents"]


class EventAgents(list[EventAgent]):
    """The agents of users."""

    def add(
        self,
        app: faust.App,
        source: Source,
        function: EventFunction,
        fail: Callable[[str, BaseException], None],
    ) -> None:
        """Run a function on the events of a source; see `EventAgent`.

        Raises:
            SettingsError: The app has started, or it has an agent of that source and name.
        """
        if app.started:
            raise SettingsError(f"agent() comes too late: the app {app.conf.id!r} runs")
        if (name := name_of(source, function)) in app.agents:
            raise SettingsError(
                f"the app {app.conf.id!r} has an agent {name!r} already: give the function another"
                " name"
            )
        self.append(EventAgent(app, source, function, fail))

    def held(self, tp: TP) -> int | None:
        """The first offset of a partition that one of them has not done; None without any."""
        positions = [reader.position(tp) for reader in self]
        return min((offset for offset in positions if offset is not None), default=None)

    async def prepare(
        self, producer: AckedProducer, registry: Registry, folded: Iterable[str]
    ) -> None:
        """Make all ready to read.

        Args:
            folded: Topics whose dead letters are sent by those that fold them.

        Raises:
            MissingTopicError: A topic is not there.
            BrokerError: The broker did not answer, or a topic does not fit.
        """
        for reader in self:
            reader.decoder, reader.registry = Decoder(reader.source, registry), registry
            if (topic := reader.source.topic) not in folded:
                await prepare_topics(producer, topic, None)
                log = await producer.identify(topic) or LogIdentity()
                reader.letters = KafkaDeadLetters(producer, Epoch(log))

    async def commit(self, agents: Iterable[SourceAgent]) -> None:
        """Commit what was done since it was committed last.

        Args:
            agents: Nothing is committed of their topics that they have not made durable.
        """
        by_topic = {agent.source.topic: agent for agent in agents}
        for reader in self:
            if not reader.is_moved:
                continue
            reader.is_moved = False
            folding = by_topic.get(reader.source.topic)
            if folding is None:
                await reader.commit()
            elif folding.layer is not None:
                opened = folding.layer.partitions
                await folding.commit({number: owned.durable for number, owned in opened.items()})

    def revoke(self, revoked: set[TP]) -> None:
        """Let partitions go, after they were committed for the last time."""
        for reader in self:
            reader.revoke(revoked)
