"""What all sources of a Faust app share: producer, store, timers and watchdog."""

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import faust
from aiokafka.errors import KafkaError
from faust.types import TP
from mode import Service

from fastdata.archive.epochs import check_newest
from fastdata.archive.storage import ArchiveStorage, open_archive_storage
from fastdata.coordinates.epochs import LogIdentity
from fastdata.coordinates.instants import now_ms
from fastdata.declare.catalog import catalog_of
from fastdata.declare.metric import Metric
from fastdata.declare.source import Source
from fastdata.errors import (
    ArchiveError,
    BrokerError,
    EpochError,
    FastdataError,
    MapError,
    SettingsError,
    StoreLostError,
    is_outage,
)
from fastdata.events.decoder import Decoder
from fastdata.events.registry import Registry, open_registry
from fastdata.kafka.connection import watch_servers
from fastdata.settings import Settings
from fastdata.speed.agent import SourceAgent
from fastdata.speed.dead_letters import KafkaDeadLetters
from fastdata.speed.epochs import confirm_epoch, find_epoch
from fastdata.speed.event_agent import EventAgent, EventFunction
from fastdata.speed.event_agents import EventAgents
from fastdata.speed.files import raise_limit, tables_of_partition
from fastdata.speed.layer import SpeedLayer
from fastdata.speed.membership import name_place
from fastdata.speed.opening import announce
from fastdata.speed.outlet import open_outlet
from fastdata.speed.producer import AckedProducer
from fastdata.speed.signs import signs_of_app
from fastdata.speed.summary import Summary
from fastdata.speed.table import FaustTable, rocksdb_options
from fastdata.speed.telemetry import Telemetry
from fastdata.speed.topics import prepare_topics
from fastdata.speed.transport import FoldingConsumer, install
from fastdata.speed.watchdog import EXIT_FAILED, Sign, Watchdog, end_process
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

__all__ = ["SpeedService"]

EXIT_CANNOT_START = 1
_REPORT_EVERY_S = 1.0
_CONFIRM_EVERY_S = 10.0
_REMIND_EVERY_S = 60.0
_COUNT_EVERY_S = 5.0
_REREAD_AFTER_S = 20.0
_COLLECT_EVERY = 20_000  # objects

logger = logging.getLogger(__name__)

_services: WeakKeyDictionary[faust.App, "SpeedService"] = WeakKeyDictionary()


class SpeedService(Service):
    """What fastdata runs in an app. Starts before everything else of it, and stops after it.

    Attributes:
        producer: None before it starts.
        registry: The same.
        end: Ends the process; replaced in tests.
        say: Takes a line for whoever watches: that all is ready, and what was done at the end.
    """

    def __init__(self, app: faust.App, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.end: Callable[[int], object] = end_process
        self.say: Callable[[str], object] = logger.info
        self.watchdog = Watchdog(lambda code: self.end(code))  # noqa: PLW0108 - it may be replaced
        self._app = app
        self._agents: dict[str, SourceAgent] = {}
        self._readers = EventAgents()
        self.on_commit = self._readers.commit
        self.registry: Registry | None = None
        self._declared: list[Metric | Source] = []
        self.producer: AckedProducer | None = None
        self._store: ServingStore | None = None
        self._partitions: dict[str, int] = {}  # by source, when it started
        self._archive: ArchiveStorage | None = None
        self._has_joined = False
        self._summary = Summary()
        self._telemetry = Telemetry(settings, self.watchdog)

    @classmethod
    def of(cls, app: faust.App, settings: Settings | None) -> "SpeedService":
        """The service of an app; made at the first call.

        Raises:
            SettingsError: The app cannot be attached to, or has a service with other settings.
        """
        if (service := _services.get(app)) is None:
            if str(app.conf.processing_guarantee.value) == "exactly_once":
                raise SettingsError(
                    f"the app {app.conf.id!r} uses exactly_once, which loses data in Faust; "
                    "use at_least_once: stamps make the numbers exact"
                )
            service = cls(app, settings or Settings.load())
            install(app, service)
            app.add_dependency(service)
            app.on_partitions_revoked.connect(service._on_revoked)
            app.on_partitions_assigned.connect(service._on_assigned)
            _services[app] = service
        elif settings is not None and settings != service.settings:
            raise SettingsError(f"the app {app.conf.id!r} is attached with other settings already")
        return service

    @property
    def topics(self) -> set[str]:
        """The topics of all sources, and of agents of users."""
        return {agent.source.topic for agent in self._agents.values()} | self._readers.topics

    def add(self, declared: Iterable[Metric | Source]) -> None:
        """Run metrics and sources in the app.

        Raises:
            SettingsError: The app has started.
            DeclarationError: Two metrics or sources share a name, or two sources a topic.
        """
        self._check_stopped("attach")
        present = {*self._declared}
        self._declared += [value for value in declared if value not in present]
        catalog = catalog_of(self._declared)
        for name, source in catalog.sources.items():
            if name not in self._agents:
                self._readers.check_free(source, self.topics)
                self._agents[name] = SourceAgent(self._app, source, self.fail)
            self._agents[name].metrics = catalog.of_source(source)

    def read(self, source: Source, function: EventFunction, remember_ms: int) -> None:
        """Run a function on the events of a source; see `EventAgent`.

        Raises:
            SettingsError: The app has started.
            DeclarationError: Something else of the app reads the topic.
        """
        self._check_stopped("agent")
        self._readers.check_free(source, self.topics)
        self._readers.append(EventAgent(self._app, source, function, self.fail, remember_ms))

    def _check_stopped(self, caller: str) -> None:
        if self.started:
            raise SettingsError(f"{caller}() comes too late: the app {self._app.conf.id!r} runs")

    def fail(self, action: str, error: BaseException) -> None:
        """End the process, since going on could lose or repeat events.

        Unless a map function has raised and other sources can go on: their agents share nothing
        that it has touched.
        """
        if isinstance(error, MapError) and not all(a.failure for a in self._agents.values()):
            self._say_failed()
            return
        if isinstance(error, SettingsError | EpochError):
            logger.critical("fastdata cannot go on: %s", error)
            self._leave(EXIT_CANNOT_START)
            return
        if isinstance(error, StoreLostError):
            logger.critical("fastdata ends this worker: %s", error)
            self._leave(EXIT_FAILED)
            return
        if is_outage(error):  # nobody has a bug to look for
            is_asked = self._app.should_stop
            logger.critical(
                "fastdata %s: %s failed: %s; nothing is lost: the next start folds them again",
                "stops with its last events not written out" if is_asked else "ends this worker",
                action, error,
            )  # fmt: skip
            self._leave(EXIT_FAILED)
            return
        logger.critical(
            "fastdata ends this worker: %s failed: %s: %s",
            action, type(error).__name__, error, exc_info=error,
        )  # fmt: skip
        self.end(EXIT_FAILED)

    def _say_failed(self) -> None:
        for agent in self._agents.values():
            if agent.failure is not None:
                logger.error("%s is not folded any more: %s", agent.source.name, agent.failure)

    async def _remind(self) -> None:
        self._say_failed()

    def _leave(self, code: int) -> None:
        """End the process at once where there are no stacks to look at."""
        if self.end is end_process:
            os._exit(code)
        self.end(code)

    async def on_start(self) -> None:
        """Check the broker and the topics, open the store, make the layers.

        Ends the process with code 1 when that fails; raises it where `end` was replaced.
        """
        try:
            self._telemetry.start()
            await self._open()
        except FastdataError as error:
            logger.critical("fastdata cannot start: %s", error)
            if self.end is end_process:
                os._exit(EXIT_CANNOT_START)  # there is nothing to stop
            raise
        self.watchdog.start()
        if (producer := self.producer) is not None:
            self.add_future(watch_servers(producer.servers, **producer.security))
        self._repeat(self.settings.commit_interval_s, self._flush_all)
        self._repeat(self.settings.clean_up_interval_s, self._clean_up_all)
        self._repeat(_REPORT_EVERY_S, self._report)
        self._repeat(_CONFIRM_EVERY_S, self._confirm_all)
        self._repeat(_REMIND_EVERY_S, self._remind)
        self._repeat(_COUNT_EVERY_S, self._count_partitions)

    async def _open(self) -> None:
        producer = self.producer = AckedProducer(self._app)
        registry = open_registry(self.settings.registry, self.settings.registry_ca)
        await registry.check()
        await producer.start()
        self._store = await open_store(self.settings.store).__aenter__()
        partitions = self._partitions = {
            name: await prepare_topics(producer, a.source.topic, a.table.changelog_topic_name)
            for name, a in self._agents.items()
        }
        name_place(self._app, {a.source.topic: partitions[n] for n, a in self._agents.items()})
        open_files = tables_of_partition(raise_limit(), sum(partitions.values()))
        for name, agent in self._agents.items():
            agent.table.options = rocksdb_options(partitions[name], open_files)
            agent.registry = registry
            changelog = await producer.identify(agent.table.changelog_topic_name)
            agent.table.changelog = changelog or LogIdentity()
            source, archive = agent.source, self._open_archive()
            agent.epoch = epoch = await find_epoch(source.topic, producer, self._store, archive)
            await announce(self._store, source.topic, epoch, partitions[name])
            agent.layer = SpeedLayer(
                source,
                agent.metrics,
                Decoder(source, registry),
                table=FaustTable(agent.table, producer, epoch),
                store=self._store,
                dead_letters=KafkaDeadLetters(producer, epoch),
                outlet=await open_outlet(source, registry, producer, epoch),
                commit=agent.commit,
                clock=now_ms,
                epoch=str(epoch.log),
                confirm=partial(confirm_epoch, producer, source.topic, epoch),
                max_dirty=self.settings.max_dirty_cells,
                max_cells=self.settings.max_cells,
            )
        self.registry = registry
        await self._readers.prepare(producer, registry)

    def _open_archive(self) -> ArchiveStorage | None:
        if self._archive is None:
            with suppress(SettingsError):  # none has been begun, or not here
                self._archive = open_archive_storage(self.settings.archive, create=False)
        return self._archive

    async def on_stop(self) -> None:
        """Close the store and the producer; everything was flushed when the tables stopped."""
        # mode ends them later, and a timer would connect to the store again after it was closed.
        await self._stop_futures()
        self.say(self._summary.describe(self._agents.values()))
        self._telemetry.stop()
        if self._store is not None:
            await self._store.__aexit__(None, None, None)
        if self.producer is not None:
            await self.producer.stop()
        if any(agent.failure for agent in self._agents.values()):
            self._say_failed()
            if self._app.in_worker:
                self._leave(EXIT_FAILED)
        # A worker that hangs on its way out is ended by the watchdog.
        if not self._app.in_worker:
            self.watchdog.stop()

    def _repeat(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            while not self.should_stop:
                await asyncio.sleep(every_s)
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - a task ends here
                    self.fail(work.__name__.strip("_").replace("_", " "), error)

        self.add_future(run())

    async def on_seek(self, consumer: FoldingConsumer) -> None:
        """Open the partitions of all sources: the tables have recovered."""
        try:
            for agent in [*self._readers, *self._agents.values()]:
                await agent.open(consumer)
        except Exception as error:
            if isinstance(error, KafkaError) and not consumer.flow_active:
                raise  # the group changes again, and Faust knows what to do
            self.fail("opening the state", error)
        self.add_future(self._settle(self._app.consumer_generation_id))
        if self._app.in_worker:
            # Collections would walk Faust's big heap, and then all cells, every few hundred events.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_COLLECT_EVERY)

    async def _settle(self, generation: int) -> None:
        while (  # noqa: ASYNC110 - Faust has no event for it
            self._app.rebalancing and self._app.consumer_generation_id == generation
        ):
            await asyncio.sleep(0.02)
        if self._app.consumer_generation_id == generation:
            try:
                for agent in [*self._readers, *self._agents.values()]:
                    await agent.settle()
            except Exception as error:  # noqa: BLE001 - a task ends here
                self.fail("reading on", error)
            else:
                self._summary.say_ready(self._agents.values(), self._partitions, self.say)

    async def _on_revoked(self, _: Any, /, *args: Any, **kwargs: Any) -> None:
        revoked: set[TP] = args[0]
        await asyncio.gather(*(agent.revoke(revoked) for agent in self._agents.values()))
        await self._readers.revoke(revoked)

    async def _on_assigned(self, _: Any, /, *args: Any, **kwargs: Any) -> None:
        self._has_joined = True

    async def _flush_all(self) -> None:
        await asyncio.gather(*(agent.flush() for agent in self._agents.values()))

    async def _clean_up_all(self) -> None:
        for agent in self._agents.values():
            await agent.clean_up()

    async def _confirm_all(self) -> None:
        """Notice that a topic is another log, or counted in another, also when nothing comes."""
        archive = self._open_archive()
        for agent in self._agents.values():
            if agent.layer is not None and agent.layer.confirm is not None:
                with suppress(BrokerError):  # which is said elsewhere
                    await agent.layer.confirm()
                with suppress(ArchiveError):  # the archive may be away, and the worker goes on
                    if archive is not None:
                        await check_newest(archive, agent.source.topic, agent.epoch)

    async def _count_partitions(self) -> None:
        """End the process when a topic has got partitions, which a start takes up.

        Only a start makes the changelog grow with them, and without it Faust would hand them to
        workers that cannot keep a state of them.
        """
        producer = self.producer
        for name, agent in self._agents.items():
            topic, before = agent.source.topic, self._partitions[name]
            now = await producer.partitions(topic) if producer is not None else 0
            if now > before:
                await self._flush_all()
                logger.critical(
                    "fastdata ends this worker: topic %r has %d partitions and had %d when it "
                    "started; nothing is lost, start it again, and it reads them all",
                    topic, now, before,
                )  # fmt: skip
                self._leave(EXIT_FAILED)
                return

    async def _report(self) -> None:
        self.watchdog.report(self._signs())
        self._telemetry.report(self._app, self._agents.values(), self._has_joined)
        consumer = cast(FoldingConsumer, self._app.consumer)
        consumer.stay()
        if (error := consumer.group_error()) is not None:
            self.fail("taking part in the consumer group", error)
        for agent in self._agents.values():
            for partition in agent.live:
                if self.watchdog.age_s(agent.sign_of(partition)) > _REREAD_AFTER_S:
                    await agent.reread(partition)
        await self._readers.reread(self.watchdog.age_s)

    def _signs(self) -> Iterator[Sign]:
        yield from signs_of_app(self._app, has_joined=self._has_joined)
        for agent in [*self._agents.values(), *self._readers]:
            yield from agent.signs()
