"""What `fastdata dev` prepares: the project, topics, and the epoch of a new log."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastdata.archive import ArchiveReader
from fastdata.cli.topics import create_missing
from fastdata.declare.catalog import Catalog, load_folder
from fastdata.declare.source import Source
from fastdata.errors import BrokerError, EpochError, LoadError, SettingsError
from fastdata.kafka.connection import Broker
from fastdata.kafka.topics import check_topic
from fastdata.local.broker import EMBEDDED_CLUSTER
from fastdata.local.project import Project
from fastdata.operate.epochs import EARLIEST, EpochReport, Epochs
from fastdata.settings import Settings

__all__ = ["hold_project", "load_declared", "prepare_embedded", "prepare_given"]

_PARTITIONS = 4
_WAIT_S = 90.0

Say = Callable[[str], None]


def load_declared(folder: str) -> Catalog:
    """What the files of a project declare.

    Raises:
        LoadError: There is no such folder, nothing in it, or a file cannot be loaded.
        DeclarationError: A declaration is wrong.
    """
    if not Path(folder).is_dir():
        raise LoadError(
            f"there is no folder {Path(folder).resolve()} with metrics: go to that of your "
            "project, or make one with `fastdata init`"
        )
    if not (catalog := load_folder(folder)).sources:
        raise LoadError(f"the files in {Path(folder).resolve()} declare no source and no metric")
    return catalog


@asynccontextmanager
async def hold_project(settings: Settings, say: Say) -> AsyncIterator[Project]:
    """The project of this folder, once no process of an earlier command has it any more.

    Raises:
        SettingsError: Another command has it, or the folder cannot be written.
    """
    with Project(Path(settings.state)) as project:
        deadline_s = time.monotonic() + _WAIT_S
        is_said = False
        while not project.take():
            if not is_said:
                say("processes of the last run, which was killed, are ending")
                is_said = True
            if time.monotonic() > deadline_s:
                raise SettingsError(
                    f"processes that were left behind have {settings.state} for more than "
                    f"{_WAIT_S:.0f} s: end them (`fuser {settings.state}/dev.lock` shows them)"
                )
            await asyncio.sleep(0.1)
        yield project


async def prepare_given(settings: Settings, sources: Iterable[Source]) -> None:
    """Create the topics of sources that are not there yet.

    Raises:
        BrokerError: The broker cannot be reached, refuses, or a topic does not fit.
    """
    try:
        await create_missing(settings, [*sources], _PARTITIONS, None, is_dry=False)
    except BrokerError as error:
        raise BrokerError(
            f"{error}. Without FASTDATA_BROKER, and broker in fastdata.toml, `fastdata dev` "
            "has a broker of its own"
        ) from error


async def prepare_embedded(
    broker: Broker, sources: Iterable[Source], epochs: Epochs, say: Say, *, was_cut_off: bool
) -> None:
    """Create the topics, each of which is a new log, and begin to count that one.

    Args:
        say: Called with what was lost with the log before.
        was_cut_off: Whether the command before this one did not end in order.

    Raises:
        BrokerError: The broker does not answer.
        EpochError: The log before is none of an embedded broker.
        ArchiveUnavailableError: The archive does not answer.
        StoreUnavailableError: The store does not.
    """
    for source in sources:
        await check_topic(broker, source.topic)
        report = await epochs.read(source)
        if not report.epochs or report.is_current:
            continue  # the first, or two sources share a topic
        former = report.epochs[-1].log
        if not former.cluster.startswith(EMBEDDED_CLUSTER):
            raise EpochError(
                f"{source.name!r} was counted from {former.shown}, and the embedded broker would "
                "take its place: set FASTDATA_BROKER to that cluster, or FASTDATA_ARCHIVE and "
                "FASTDATA_STORE to others"
            )
        begun = await epochs.begin(source, EARLIEST)
        for text in await _lost(epochs, source, begun, was_cut_off=was_cut_off):
            say(text)


async def _lost(
    epochs: Epochs, source: Source, report: EpochReport, *, was_cut_off: bool
) -> list[str]:
    texts = []
    if was_cut_off:
        archived = (await ArchiveReader(epochs.storage, source).snapshot()).durable
        first, end = report.epochs[-2].first, report.epochs[-1].first
        count = sum(offset for number, offset in archived.items() if first <= number < end)
        texts.append(
            f"{source.name}: the last run did not end in order. {count:,} of its events are "
            "archived and count; others are gone with its broker, so send them again"
        )
    if unarchived := sum((report.unarchived or {}).values()):
        texts.append(
            f"{source.name}: {unarchived:,} events were folded and never archived: they stay in "
            "answers, which are never exact where they are"
        )
    return texts
