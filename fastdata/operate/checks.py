"""What `fastdata doctor` looks at, by the rules of what starts."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from secrets import token_hex

from packaging.requirements import Requirement

from fastdata.archive import ArchiveStorage, open_archive_storage
from fastdata.archive.epochs import check_log
from fastdata.coordinates.instants import now_ms
from fastdata.declare.catalog import Catalog
from fastdata.declare.source import Source
from fastdata.errors import MissingTopicError, SettingsError, StoreUnavailableError
from fastdata.events.registry import open_registry
from fastdata.kafka.connection import Broker
from fastdata.operate.doctor import Check, Outcome, failed, fine, warning
from fastdata.operate.epochs import Epochs
from fastdata.operate.log_reader import LogReader
from fastdata.settings import Settings
from fastdata.speed.files import raise_limit, tables_of_partition
from fastdata.speed.topic_rules import changelog_topic
from fastdata.speed.topics import Inspection, TopicAdmin, inspect_topics
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore

__all__ = ["checks_of", "versions"]

_DISTRIBUTION = "fastdata-lambda"
# Those whose internals or stored bytes matter are shown first.
_SHOWN = ("faust-streaming", "aiokafka", "datafusion", "datasketches", "rocksdict")
_SKETCH_DIGEST = "08c2bbaaf79371273a5002ca05434a34503b561836e0e1ca0cdfb880f2b3df7e"
_CLOCK_MS = 5_000
_LEAST_FREE_BYTES = 1 << 30
_FEWEST_TABLES = 64
_PROBE = "tiles/fastdata-doctor"


def checks_of(settings: Settings, catalog: Catalog | None) -> dict[str, Check]:
    """All checks that settings and declarations allow, by name.

    Args:
        catalog: None when the declarations cannot be loaded; what is about sources is left out.
    """
    sources = list(catalog.sources.values()) if catalog else []
    broker = Broker.of(settings)
    checks: dict[str, Check] = {
        "versions": versions,
        "broker": partial(_broker, broker),
        "registry": partial(_registry, settings),
        "archive": partial(_archive, settings),
        "store": partial(_store, settings, sources),
        "state": partial(asyncio.to_thread, _state, Path(settings.state).absolute()),
        "clock": partial(_clock, broker, sources),
    }
    for source in sources:
        changelog = changelog_topic(settings.application_id, source.name)
        checks[f"topics of {source.name}"] = partial(_topics, broker, source, changelog)
        checks[f"epoch of {source.name}"] = partial(_epoch, settings, source)
    return checks


async def versions() -> list[Outcome]:
    """Whether the installed packages are those that this version was made for."""
    installed, wrong = {}, []
    for line in requires(_DISTRIBUTION) or ():
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            installed[needed.name] = present = version(needed.name)
        except PackageNotFoundError:
            wrong.append(failed(f"{needed.name} is not installed: pip install '{needed}'"))
            continue
        if not needed.specifier.contains(present, prereleases=True):
            text = f"{needed.name} {present} is installed, {needed.specifier} is needed"
            wrong.append(failed(f"{text}: pip install '{needed}'"))
    if await asyncio.to_thread(_sketch_digest) != _SKETCH_DIGEST:
        text = "this version of datasketches writes other bytes than those that were tried"
        wrong.append(failed(f"{text}: install the locked one before anything is stored"))
    shown = ", ".join(f"{name} {installed[name]}" for name in _SHOWN if name in installed)
    return wrong or [fine(f"fastdata {version(_DISTRIBUTION)}, {shown}; sketches have their bytes")]


def _sketch_digest() -> str:
    from fastdata.measures.hll import new_sketch

    sketch = new_sketch(12)
    for number in range(5_000):
        sketch.fed.update(number)
    return sha256(sketch.image()).hexdigest()


async def _broker(broker: Broker) -> list[Outcome]:
    await broker.check()
    async with TopicAdmin(**broker.aiokafka()) as admin:
        cluster, brokers, is_served = (
            await admin.cluster(), await admin.brokers(), await admin.is_served(),
        )  # fmt: skip
    how = f"{broker.protocol}, {broker.mechanism}" if broker.has_password else broker.protocol
    text = f"{broker} lets us in ({how}); cluster {cluster}, brokers: {brokers}"
    if not is_served:
        return [warning(f"{text}; none of them is the controller, so topics cannot be made")]
    if 1 < brokers < 3:
        return [warning(f"{text}; only three or more bear the loss of one without losing events")]
    return [fine(text)]


async def _topics(broker: Broker, source: Source, changelog: str) -> list[Outcome]:
    await broker.check()
    async with TopicAdmin(**broker.aiokafka()) as admin:
        if not await admin.is_served():
            return [warning("no controller tells how the topics are set, so nothing was checked")]
        seen = await inspect_topics(admin, source.topic, changelog, source.destination)
    if seen.source is None:
        raise MissingTopicError(source.topic, str(broker))
    outcomes = [
        (failed if flaw.is_fatal else warning)(f"{flaw.text}; mend it: {flaw.cure(str(broker))}")
        for flaw in seen.flaws
    ]
    if seen.misfit is not None:
        outcomes.append(failed(seen.misfit))
    unread = [topic.name for topic in (seen.source, *seen.beside) if not topic.config]
    if unread:
        text = f"the configuration of {', '.join(unread)} may not be read, and was not checked"
        outcomes.append(warning(f"{text}: grant DescribeConfigs"))
    return outcomes or [fine(_described(seen))]


def _described(seen: Inspection) -> str:
    lines = []
    for topic in (seen.source, *seen.beside):
        if topic is not None:
            kept = topic.config.get("retention.ms", "")
            is_kept = topic.config.get("cleanup.policy") == "delete" and kept.isdigit()
            days = f", kept for {int(kept) / 86_400_000:g} d" if is_kept else ""
            lines.append(
                f"{topic.name}: {topic.partitions} partitions, copies: {topic.replicas}{days}"
            )
    lines += [f"{name} is made when the first worker starts" for name in seen.missing]
    return "; ".join(lines)


async def _registry(settings: Settings) -> list[Outcome]:
    registry = open_registry(settings.registry, settings.registry_ca)
    if (silence := await registry.check()) is not None:
        return [failed(f"{silence}; check FASTDATA_REGISTRY, and that it runs")]
    return [fine(f"{settings.registry} can be read")]


async def _archive(settings: Settings) -> list[Outcome]:
    try:
        storage = open_archive_storage(settings.archive, create=False)
    except SettingsError as error:
        if "://" in settings.archive and not settings.archive.startswith("file:"):
            raise
        return [warning(str(error))]
    return await _probe(storage, settings.archive)


async def _probe(storage: ArchiveStorage, url: str) -> list[Outcome]:
    """Write, read and delete an object, where archivers delete as well and readers do not look."""
    await storage.listing("epochs")
    name = f"{_PROBE}/{token_hex(8)}"
    await storage.create(name, b"first")
    try:
        is_second = await storage.create(name, b"second")
        body = await storage.get(name)
    finally:
        await storage.delete(name)
    if is_second or body != b"first":
        text = f"{url} overwrites objects that are there (If-None-Match: * is not heeded)"
        return [failed(f"{text}, so two archivers could destroy events: use another server")]
    if await storage.get(name) is not None:
        return [failed(f"{url} has {name} still, which was deleted: see its versions and locks")]
    return [fine(f"{url}: listed; a probe was written, not overwritten, read and deleted")]


async def _store(settings: Settings, sources: list[Source]) -> list[Outcome]:
    async with AsyncExitStack() as stack:
        store = await _open_store(settings, stack)
        if store is None:
            return [warning("there is no store yet: a worker, or a replay, makes it")]
        rows = [row for source in sources for row in await store.progress(source.topic)]
        # What is there stays as it is, for no row goes back: but it takes the right to write.
        await store.upsert([], rows)
    read = f"{settings.store}: its tables were read"
    if not rows:
        return [fine(f"{read}; no worker has written yet, so writing was not tried")]
    return [fine(f"{read}, and the progress of {len(rows)} partitions was written as it is")]


async def _open_store(settings: Settings, stack: AsyncExitStack) -> ServingStore | None:
    """The store; None when there is none yet."""
    try:
        return await stack.enter_async_context(open_store(settings.store, create=False))
    except StoreUnavailableError as error:
        if error.__cause__ is not None:
            raise
        return None


async def _epoch(settings: Settings, source: Source) -> list[Outcome]:
    try:
        archive = open_archive_storage(settings.archive, create=False)
    except SettingsError:  # said of the archive
        archive = open_archive_storage("memory:")
    async with AsyncExitStack() as stack:
        store = await _open_store(settings, stack)
        epochs = Epochs(Broker.of(settings), archive, store, settings.application_id)
        report = await epochs.read(source)
    if not report.epochs:
        where = report.log.shown if report.log else "no such topic"
        return [fine(f"{where}; nothing was counted of it yet")]
    log = check_log(source.topic, report.epochs[-1], report.log)
    return [fine(f"{log.shown} is the log that archive and store have counted")]


async def _clock(broker: Broker, sources: list[Source]) -> list[Outcome]:
    newest = await asyncio.to_thread(_newest_record, broker, [s.topic for s in sources])
    if newest is None:
        return [fine("no record tells the time yet")]
    topic, time = newest
    ahead_s = (time - now_ms()) / 1_000
    if ahead_s * 1_000 > _CLOCK_MS:
        text = f"the newest record of {topic} is {ahead_s:,.1f} s ahead of this machine's clock"
        return [warning(f"{text}: one of them is wrong; have both set by NTP")]
    return [fine(f"the newest record, of {topic}, is {-ahead_s:,.1f} s old by this clock")]


def _newest_record(broker: Broker, topics: list[str]) -> tuple[str, int] | None:
    times = []
    with LogReader(broker) as log:
        for topic, ranges in log.ranges(topics).items():
            last = {p: end - 1 for p, (start, end) in ranges.items() if end > start}
            appended = log.append_times(topic, last) if last else {}
            times += [(time, topic) for time in appended.values() if time is not None]
    return max(times)[::-1] if times else None


def _state(parent: Path) -> list[Outcome]:
    present = next(folder for folder in (parent, *parent.parents) if folder.exists())
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        return [failed(f"{present} cannot be written to; see FASTDATA_STATE")]
    free = shutil.disk_usage(present).free
    used = sum(map(_is_taken, parent.glob("worker-*/lock")))
    text = f"{parent}: {free / 1e9:,.1f} GB free; folders of running workers: {used}"
    outcomes = [(warning if free < _LEAST_FREE_BYTES else fine)(text)]
    limit = raise_limit()
    if tables_of_partition(limit, 8) < _FEWEST_TABLES:
        text = f"this process may open {limit} files, which is little for eight partitions"
        outcomes.append(warning(f"{text}: raise ulimit -Hn; see `fastdata size`"))
    return outcomes


def _is_taken(lock: Path) -> bool:
    """Whether a process holds a lock; by a look, so that a worker that starts is not kept out."""
    inode = f":{lock.stat().st_ino} "
    return any(" FLOCK " in line and inode in line for line in _kernel_locks())


def _kernel_locks() -> Iterator[str]:
    locks = Path("/proc/locks")
    yield from locks.read_text().splitlines() if locks.exists() else ()
