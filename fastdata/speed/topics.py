"""The topics that a worker needs, checked before it starts."""

from fastdata.errors import BrokerError
from fastdata.speed.deadletters import dead_letter_topic
from fastdata.speed.producing import AckedProducer
from fastdata.speed.table import CHANGELOG_CONFIG

__all__ = ["prepare_topics"]


async def prepare_topics(producer: AckedProducer, topic: str, changelog: str) -> int:
    """Check the source's topic, and create what stands beside it.

    Faust takes a time-out while creating a topic for success, and a changelog with another
    number of partitions fails at the first write, or restores nothing.

    Returns:
        How many partitions the source's topic has.

    Raises:
        BrokerError: A topic is missing, or the changelog does not fit.
    """
    partitions = await producer.partitions(topic)
    if not partitions:
        raise BrokerError(
            f"there is no topic {topic!r} at {', '.join(producer.servers)}: create it with as "
            "many partitions as it shall ever have"
        )
    for name, config in ((changelog, CHANGELOG_CONFIG), (dead_letter_topic(topic), {})):
        if not await producer.create(name, topic, config):
            # A broker without an admin API creates what is asked for.
            await producer.partitions(name)
    found = await producer.partitions(changelog)
    if found != partitions:
        raise BrokerError(
            f"topic {topic!r} has {partitions} partitions and its changelog {changelog!r} has "
            f"{found}: they must be equal. If partitions were added, stop all workers, delete "
            "the changelog and their state folders, start again, and replay"
        )
    return partitions
