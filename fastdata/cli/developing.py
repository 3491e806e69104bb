"""`fastdata dev` while it runs, and its end in order."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastdata.archive import ArchiveStorage, open_archive_storage
from fastdata.cli.dev_log import DevLog
from fastdata.cli.dev_parts import DevParts
from fastdata.cli.dev_start import hold_project, load_declared, prepare_embedded, prepare_given
from fastdata.cli.dev_view import DevMoment, DevView, Ends
from fastdata.cli.query import write_answer
from fastdata.cli.repeating import pause
from fastdata.cli.signals import on_signal
from fastdata.declare.catalog import Catalog, forget
from fastdata.declare.source import Source
from fastdata.errors import FastdataError, mask_url, said_of
from fastdata.events.registry import open_registry
from fastdata.kafka.connection import Broker
from fastdata.local.broker import BrokerProcess
from fastdata.local.files import SkippedRows, read_values
from fastdata.local.project import Project, Watch
from fastdata.local.sender import Sender
from fastdata.operate.epochs import Epochs
from fastdata.operate.log_reader import LogReader
from fastdata.settings import Settings
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

__all__ = ["develop"]

_POLL_S = 0.5
_REPLAY_S = 60.0
_STALL_S = 120.0
_TILE_AGE_S = "1"
_STATE = "dev"  # a folder below that of others, of workers on an embedded broker


@dataclass(frozen=True, slots=True)
class _Workplace:
    """Where all is that is stored, and who holds it."""

    settings: Settings
    project: Project
    embedded: BrokerProcess | None
    broker: Broker
    archive: ArchiveStorage
    store: ServingStore

    async def prepare(self, catalog: Catalog, say: Callable[[str], None]) -> None:
        """Make the topics of all sources."""
        sources = catalog.sources.values()
        if self.embedded is None:
            await prepare_given(self.settings, sources)
            return
        epochs = Epochs(self.broker, self.archive, self.store, self.settings.application_id)
        is_cut_off = self.project.was_cut_off
        await prepare_embedded(self.broker, sources, epochs, say, was_cut_off=is_cut_off)

    def parts(self, log: DevLog, page: int | None, catalog: Catalog) -> DevParts:
        """The processes, which hold what must outlive this one for their end in order."""
        environment, descriptors = {}, [self.project.descriptor]
        if "tile_age_s" not in self.settings.model_fields_set:
            environment["FASTDATA_TILE_AGE_S"] = _TILE_AGE_S
        if self.embedded is not None:
            environment["FASTDATA_BROKER"] = str(self.broker)
            environment["FASTDATA_STATE"] = str(Path(self.settings.state, _STATE))
            descriptors.append(self.embedded.lifeline)
        has_alerts = bool(catalog.alerts)
        return DevParts(log, environment, descriptors, page, has_alerts=has_alerts)

    def addresses(self, page: int | None) -> dict[str, str]:
        """For people."""
        note = "" if self.embedded is None else " (embedded)"
        store, archive = mask_url(self.settings.store), mask_url(self.settings.archive)
        shown = {} if page is None else {"page": _url(page)}
        return {**shown, "broker": f"{self.broker}{note}", "store": store, "archive": archive}

    def found_at(self, page: int | None) -> dict[str, str | None]:
        """For other commands in this folder, as the attributes of `RunningDev`."""
        broker = None if self.embedded is None else str(self.broker)
        return {"page": None if page is None else _url(page), "broker": broker}


def _url(page: int) -> str:
    return f"http://127.0.0.1:{page}"


@asynccontextmanager
async def _opened(settings: Settings, log: DevLog) -> AsyncIterator[_Workplace]:
    async with AsyncExitStack() as stack:
        project = await stack.enter_async_context(hold_project(settings, log.say))
        is_given = "broker" in settings.model_fields_set
        embedded = None if is_given else stack.enter_context(BrokerProcess())
        open_registry(settings.registry, settings.registry_ca)  # to see that it is one
        archive = open_archive_storage(settings.archive)
        store = await stack.enter_async_context(open_store(settings.store))
        if embedded:  # of another log, which is gone
            shutil.rmtree(Path(settings.state, _STATE), ignore_errors=True)
        broker = Broker(embedded.address()) if embedded else Broker.of(settings)
        yield _Workplace(settings, project, embedded, broker, archive, store)


async def develop(
    settings: Settings,
    catalog: Catalog,
    files: Sequence[tuple[Source, Path]],
    rate: float | None,
    page: int | None,
    log: DevLog,
    *,
    exits: bool,
) -> int:
    """Run all parts until a signal comes, or all files are exact; returns the exit code.

    Args:
        files: What is sent first, each to the topic of a source.
        rate: Events a second; None for as many as are read.
        page: The port of the page; None for no page.
        exits: Whether to end by itself then, and print the answers.

    Raises:
        FastdataError: Something cannot start, or the embedded broker has ended.
    """
    began_s = time.monotonic()
    async with _opened(settings, log) as place:
        await place.prepare(catalog, log.say)
        with LogReader(place.broker) as reader:
            sources = place.store, place.archive, reader
            view = DevView(sources, log, began_s, place.addresses(page))
            dev = _Dev(place, catalog, view, log, rate, page)
            is_exact = await dev.run(files, exits=exits)
        if exits:
            await _print_answers(dev.catalog, place.store, as_json=log.is_json)
    return 0 if is_exact else 1


class _Dev:
    def __init__(
        self,
        place: _Workplace,
        catalog: Catalog,
        view: DevView,
        log: DevLog,
        rate: float | None,
        page: int | None,
    ) -> None:
        self.catalog = catalog
        self._place, self._view, self._log = place, view, log
        self._parts = place.parts(log, page, catalog)
        self._rate, self._page = rate, page
        self._watch = Watch([Path(place.settings.agents), Path(place.settings.registry)])
        self._senders: dict[str, Sender] = {}
        self._stopping = asyncio.Event()
        self._replaying: asyncio.Task[bool] | None = None
        self._replayed_s = time.monotonic()
        self._replayed = 0
        self._is_due = False
        self._is_broken = False
        self._is_ending = False
        self._has_failed = False
        self._moved = 0, time.monotonic()  # all that was done, and when that last changed

    async def run(self, files: Sequence[tuple[Source, Path]], *, exits: bool) -> bool:
        """Run until a signal comes, or all files are sent; whether the end is exact."""
        on_signal(self._stop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._stop)
        self._view.show(self.catalog)
        self._place.project.begin(self._place.found_at(self._page))
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self._parts.run())
                loading = group.create_task(self._load(files))
                while not self._stopping.is_set() and not (exits and loading.done()):
                    if self._has_stalled(await self._turn()) and exits:
                        break
                    await pause(self._stopping, _POLL_S)
                self._has_failed |= exits and not loading.done()
                loading.cancel()
                return await self._finish(loading, running)
        finally:
            self._parts.kill()

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._parts.kill()
            self._log.say("ended at once; what was archived stays")
            os._exit(128 + signal.SIGINT)
        self._stopping.set()

    async def _turn(self) -> DevMoment:
        """Look what has happened, and do what is due."""
        if self._place.embedded is not None:
            self._place.embedded.check()
        moment = await self._view.look()
        for topic, sender in self._senders.items():
            sender.note_read(moment.slowest(topic))
        await self._view.tell(moment)
        if not self._is_ending:
            await self._take_up()
            if self._needs_replay(moment):
                self._is_due = False
                self._replayed, self._replayed_s = moment.archived, moment.at_s
                self._replaying = asyncio.create_task(self._parts.replay())
        return moment

    def _needs_replay(self, moment: DevMoment) -> bool:
        """Whether all is there that shall be counted soon, or a minute has brought something."""
        is_running = self._replaying is not None and not self._replaying.done()
        if is_running or self._is_broken or moment.archived == self._replayed:
            return False
        is_late = moment.at_s - self._replayed_s >= _REPLAY_S
        return is_late or (self._is_due and moment.has_reached(moment.ends))

    async def _take_up(self) -> None:
        """Have the parts begin again where declarations have changed."""
        if not (changed := self._watch.changed()):
            return
        names = ", ".join(path.name for path in changed)
        settings = self._place.settings
        try:
            forget(settings.agents)
            catalog = load_declared(settings.agents)
            open_registry(settings.registry, settings.registry_ca)
            await self._place.prepare(catalog, self._log.say)
        except FastdataError as error:
            self._is_broken = True
            self._parts.note_change()
            self._log.say(
                f"{names} changed: {error}. Worker and archive go on with what was declared "
                "before; replays wait"
            )
            return
        self._is_broken, self._is_due, self._replayed = False, True, 0
        self.catalog = catalog
        self._view.show(catalog)
        self._parts.restart(has_alerts=bool(catalog.alerts))
        self._log.say(f"{names} changed: all begin again with {_listed(catalog)}")

    async def _load(self, files: Sequence[tuple[Source, Path]]) -> None:
        """Send the files, one after another; what went wrong is said, and the rest left out."""
        for source, path in files:
            sender = self._senders.get(source.topic)
            if sender is None:
                is_embedded = self._place.embedded is not None
                sender = Sender(self._place.broker, source.topic, holds_back=is_embedded)
                self._senders[source.topic] = sender
            before = sender.sent
            try:
                skipped = SkippedRows()
                await sender.send(read_values(path, source, skipped), self._rate)
                self._log.say(f"{path}: {sender.sent - before:,} events are sent{skipped}")
                self._has_failed |= skipped.count > 0
            except (FastdataError, OSError) as error:
                self._has_failed = True
                self._log.say(said_of(error))
                return
            finally:
                self._is_due = True
                await self._flush(sender)

    async def _flush(self, sender: Sender) -> None:
        """Send what was begun, also when no more shall be."""
        try:
            await sender.flush()
        except FastdataError as error:
            if not self._has_failed:
                self._log.say(str(error))
            self._has_failed = True

    async def _finish(self, loading: asyncio.Task[None], running: asyncio.Task[None]) -> bool:
        """End all parts in order; whether all that was sent is exact then."""
        self._is_ending = True
        with suppress(asyncio.CancelledError):
            await loading
        ends = await self._ends()
        if self._stopping.is_set():
            self._log.say(f"ending: {sum(ends.values()):,} events shall be exact; again to end now")
        while not (moment := await self._turn()).has_reached(ends):
            if self._has_stalled(moment):
                self._log.say(f"nothing has moved for {_STALL_S:.0f} s")
                break
            await asyncio.sleep(_POLL_S)
        await self._parts.stop()
        await running
        if self._replaying is not None:
            await self._replaying
        await self._parts.replay()
        moment = await self._view.look(is_brief=False)
        if is_reached := moment.has_reached(ends):
            self._place.project.leave()
        return self._say_end(moment, ends) and is_reached and not self._has_failed

    def _say_end(self, moment: DevMoment, ends: Ends) -> bool:
        events, counted = sum(ends.values()), moment.counted(ends)
        verdict = "exact" if counted == events else f"NOT exact, {events - counted:,} are missing"
        self._log.say(
            f"ended {verdict}: {events:,} events, {moment.folded:,} folded, {moment.archived:,} "
            f"archived, {counted:,} counted; {moment.left_out()}",
            events=events, folded=moment.folded, archived=moment.archived, counted=counted,
        )  # fmt: skip
        return counted == events

    async def _ends(self) -> Ends:
        """Where the log ends, as soon as that can be read.

        Raises:
            FastdataError: It cannot be read for two minutes.
        """
        began_s = time.monotonic()
        while (moment := await self._turn()).status.problems:
            if moment.at_s - began_s > _STALL_S:
                raise FastdataError("; ".join(moment.status.problems))
            await asyncio.sleep(_POLL_S)
        return moment.ends

    def _has_stalled(self, moment: DevMoment) -> bool:
        """Whether nothing that was sent has been folded or archived for a while."""
        done, at_s = self._moved
        sent = sum(sender.sent for sender in self._senders.values())
        if (now := sent + moment.folded + moment.archived) != done:
            self._moved = now, moment.at_s
        return moment.at_s - at_s > _STALL_S and now == done


def _listed(catalog: Catalog) -> str:
    return ", ".join(catalog.metrics) or "no metrics"


async def _print_answers(catalog: Catalog, store: ServingStore, *, as_json: bool) -> None:
    from fastdata.answer.query import query

    for metric in catalog.metrics.values():
        began_s = time.monotonic()
        table = await query(metric, every="all", store=store)
        took_s = time.monotonic() - began_s
        out = sys.stdout.buffer
        if not as_json:
            out.write(f"{metric.name}\n".encode())
        write_answer(table, "json" if as_json else "table", took_s, out)
