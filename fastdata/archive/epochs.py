"""The epochs of a topic, as the archive has them: it outlives topics, clusters and stores."""

import json
from contextlib import suppress
from dataclasses import replace

from fastdata.archive.layout import epoch_name, folder
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.epochs import FIRST_EPOCH, Epoch, LogIdentity
from fastdata.errors import ArchiveConflictError, CorruptStateError, EpochError

__all__ = ["add_epoch", "check_log", "check_newest", "load_epochs", "open_epoch"]


async def load_epochs(storage: ArchiveStorage, topic: str) -> tuple[Epoch, ...]:
    """All epochs of a topic, the oldest first; none before an archiver has been there.

    Raises:
        CorruptStateError: One of them does not verify.
        ArchiveUnavailableError: The store did not answer; retriable.
    """
    epochs: list[Epoch] = []
    for name in sorted(await storage.names(folder("epochs", topic))):
        try:
            body = json.loads(await storage.get(name) or b"")
            begin = {int(partition): offset for partition, offset in body["begin"].items()}
            log = LogIdentity(body["cluster"], body["topic"])
            epochs.append(Epoch(log, body["first"], begin, len(epochs)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptStateError(f"{name} does not verify: {error}; restore it") from error
    return tuple(epochs)


async def add_epoch(storage: ArchiveStorage, topic: str, number: int, epoch: Epoch) -> None:
    """Write an epoch. Idempotent.

    Args:
        number: How many there are before it.

    Raises:
        ArchiveConflictError: Somebody has begun another one meanwhile.
        ArchiveUnavailableError: The store did not do it; retriable.
    """
    body = {
        "cluster": epoch.log.cluster,
        "topic": epoch.log.topic,
        "first": epoch.first,
        "begin": dict(epoch.begin),
    }
    name, data = epoch_name(topic, number), json.dumps(body, sort_keys=True).encode()
    if not await storage.create(name, data) and await storage.get(name) != data:
        raise ArchiveConflictError(f"{name} was written by somebody else meanwhile; try again")


async def open_epoch(storage: ArchiveStorage, topic: str, log: LogIdentity | None) -> Epoch:
    """The newest epoch of a topic, which that log must be; the first one is begun here.

    Args:
        log: What the broker says; None when it has no such topic.

    Raises:
        EpochError: It is another log.
        CorruptStateError: An epoch does not verify.
        ArchiveUnavailableError: The store did not answer; retriable.
    """
    epochs = await load_epochs(storage, topic)
    if not epochs and log is not None:
        with suppress(ArchiveConflictError):  # another archiver was faster, perhaps of another log
            await add_epoch(storage, topic, 0, Epoch(log))
        epochs = await load_epochs(storage, topic)
    newest = epochs[-1] if epochs else FIRST_EPOCH
    return replace(newest, log=check_log(topic, newest, log))


async def check_newest(storage: ArchiveStorage, topic: str, epoch: Epoch) -> None:
    """Make sure that an epoch has not ended.

    Raises:
        EpochError: Another one has begun.
        ArchiveUnavailableError: The store did not answer; retriable.
    """
    if await storage.get(epoch_name(topic, epoch.index + 1)) is not None:
        raise EpochError(
            f"topic {topic!r} of {epoch.log.shown} is counted no more: `fastdata epoch` has begun "
            "to count another log in its place; set FASTDATA_BROKER to the cluster of that one"
        )


def check_log(topic: str, epoch: Epoch, log: LogIdentity | None) -> LogIdentity:
    """The log, once it is sure that it is the one of an epoch.

    Args:
        log: What the broker says; None when it has no such topic.

    Raises:
        EpochError: It is another log.
    """
    if log is None:
        raise EpochError(f"topic {topic!r} is gone: it was deleted, or the broker is another one")
    if log.is_other(epoch.log):
        raise EpochError(
            f"topic {topic!r} is another log than before: it was {epoch.log.shown}, and is "
            f"{log.shown}. Was it made again, or moved to this cluster for good, then `fastdata "
            "epoch` begins to count it beside the old one; else check FASTDATA_BROKER"
        )
    return log
