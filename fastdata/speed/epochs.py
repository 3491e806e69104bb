"""Which log a worker folds, and whether it is still that one."""

from dataclasses import replace

from fastdata.archive.epochs import check_log, load_epochs
from fastdata.archive.storage import ArchiveStorage
from fastdata.coordinates.epochs import FIRST_EPOCH, Epoch, LogIdentity
from fastdata.speed.producer import AckedProducer
from fastdata.store.protocol import ServingStore

__all__ = ["confirm_epoch", "find_epoch"]


async def find_epoch(
    topic: str, producer: AckedProducer, store: ServingStore, archive: ArchiveStorage | None
) -> Epoch:
    """The epoch of a topic that the archive tells of, or the store; a new one is the first.

    Raises:
        EpochError: The topic is another log than that.
        BrokerError: The broker did not answer.
        StoreUnavailableError: The store did not; retriable.
        ArchiveUnavailableError: The archive did not; retriable.
        CorruptStateError: An epoch does not verify.
    """
    epochs = await load_epochs(archive, topic) if archive else ()
    newest = epochs[-1] if epochs else FIRST_EPOCH
    log = check_log(topic, newest, await producer.identify(topic))
    for report in await store.progress(topic):
        if report.partition >= newest.first:
            check_log(topic, replace(newest, log=LogIdentity.load(report.epoch)), log)
    return replace(newest, log=log)


async def confirm_epoch(producer: AckedProducer, topic: str, epoch: Epoch) -> None:
    """Make sure that a topic is still the log of an epoch.

    Raises:
        EpochError: It is another one.
        BrokerError: The broker did not answer.
    """
    check_log(topic, epoch, await producer.identify(topic))
