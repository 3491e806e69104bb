"""The main job on one machine: real events through Kafka, a worker, the archive and a replay."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastdata.archive import open_archive_storage
from fastdata.coordinates.instants import now_ms
from fastdata.declare.catalog import load_folder
from fastdata.declare.metric import Metric
from fastdata.demo.answers import ask_latest, ask_months
from fastdata.demo.existing_kafka import left_behind, prepare_given
from fastdata.demo.flights import PUBLISHED, read_flights
from fastdata.demo.folder import AGENTS, ARCHIVE, EXAMPLE, STORE, write_folder
from fastdata.demo.outcome import Moment, Outcome
from fastdata.demo.processes import Processes
from fastdata.errors import FastdataError
from fastdata.events.schema import Schema, encode
from fastdata.kafka.connection import Broker
from fastdata.local.broker import EmbeddedBroker
from fastdata.local.sender import Sender, Value
from fastdata.operate.log_reader import LogReader
from fastdata.operate.status import SourceStatus, StatusReader
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

__all__ = ["run_demo"]

_POLL_S = 0.5
_STALL_S = 60.0
_REPLAY = ("--from", "2013-01-01", "--to", "2014-01-02", "--json")


async def run_demo(
    folder: Path,
    rate: float | None,
    on_step: Callable[[str], None],
    on_moment: Callable[[Moment], None],
    existing: Broker | None = None,
) -> Outcome:
    """Run the whole job; its processes are stopped whatever happens.

    Args:
        folder: New or empty; everything that is made stays in it.
        rate: Events a second; None for as many as can be.
        on_step: Called with the name of each step as it begins.
        on_moment: Called about twice a second while events flow.
        existing: A Kafka to use; None for the embedded one.

    Raises:
        FastdataError: The folder is not empty, a process ended, or nothing moved for a minute.
        BrokerError: The Kafka that was given refuses, or holds records of another demo.
    """
    catalog = load_folder(EXAMPLE / AGENTS)
    metric = catalog.metric("departures")
    left: tuple[str, ...] = ()
    with ExitStack() as stack:
        if existing is None:
            embedded = stack.enter_context(EmbeddedBroker())
            embedded.create(metric.source.topic)
            broker = Broker(embedded.address)
        else:
            await prepare_given(existing, metric.source)
            broker, left = existing, left_behind(metric.source)
        write_folder(folder, broker, is_embedded=existing is None)
        archive = open_archive_storage(str(folder / ARCHIVE))
        async with (
            Processes(folder, broker.password.get_secret_value()) as processes,
            open_store(f"sqlite:///{folder / STORE}") as store,
        ):
            log = stack.enter_context(LogReader(broker))
            status = StatusReader(catalog, store=store, archive=archive, log=log)
            demo = _Demo(metric, store, status, processes, rate, on_step, on_moment)
            sender = Sender(broker, metric.source.topic, holds_back=existing is None)
            return replace(await demo.run(folder, sender), left_behind=left)


@dataclass(slots=True)
class _Demo:
    metric: Metric
    store: ServingStore
    status: StatusReader
    processes: Processes
    rate: float | None
    on_step: Callable[[str], None]
    on_moment: Callable[[Moment], None]
    steps_s: dict[str, float] = field(default_factory=dict)

    async def run(self, folder: Path, sender: Sender) -> Outcome:
        processes = self.processes
        with self._step("start"):
            processes.start("worker")
        with self._step("send and fold"), sender:
            await self._flow(sender)
        with self._step("query fresh"):
            fresh = await ask_months(self.metric, self.store)
        with self._step("replay"):
            processes.start("replay", *_REPLAY)
            replay = json.loads(await processes.finish("replay"))
        with self._step("query exact"):
            replayed = await ask_months(self.metric, self.store)
        status, peak = await self._read(), processes.peak_mib()
        with self._step("stop"):
            await processes.stop()
        return Outcome(folder, fresh, replayed, status, self.steps_s, replay, peak)

    async def _flow(self, sender: Sender) -> None:
        now_s = time.monotonic()
        moment = Moment(PUBLISHED[-1].flights, 0, await self._read(), None, now_s, now_s)
        messages = _messages(self.metric.source.schema)
        sending = asyncio.create_task(sender.send(messages, self.rate))
        is_archiving = False
        try:
            while not moment.is_done:
                await asyncio.sleep(_POLL_S)
                self.processes.check()
                if sending.done():
                    sending.result()
                status, latest = await self._read(), await ask_latest(self.metric, self.store)
                moment = moment.next(sender.sent, status, latest, time.monotonic())
                if moment.latest is not None and not is_archiving:
                    # Only now: while the worker starts, the processors are its.
                    self.processes.start("archive")
                    is_archiving = True
                sender.note_read(moment.slowest)
                self.on_moment(moment)
                if moment.at_s - moment.moved_s > _STALL_S:
                    raise FastdataError("nothing moved for a minute; the demo's logs may tell why")
            await sending
        finally:
            sending.cancel()

    async def _read(self) -> SourceStatus:
        status = await self.status.read(now_ms())
        if status.problems:
            raise FastdataError("; ".join(status.problems))
        return status.sources[0]

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.on_step(name)
        began = time.monotonic()
        yield
        self.steps_s[name] = time.monotonic() - began


def _messages(schema: Schema) -> Iterator[Value]:
    for flight in read_flights():
        yield str(flight.record["flight_id"]).encode(), encode(schema, flight.record)
