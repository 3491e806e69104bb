"""The place of a worker in its group that it finds again when it is started again.

A worker that was killed stays in the group until its session ends, and whoever joins meanwhile
makes all others stand still until then. One with a place of its own (KIP-345) takes it again, with
the same partitions, and the others notice nothing.

aiokafka says whose place it is when it joins, not with heartbeats, and does not know the error of a
place that is taken. So of two of one name each takes the place from the other, until one ends
with an unknown error: names are made up, and never set by somebody.
"""

import warnings
import zlib
from collections.abc import Mapping

import faust
from aiokafka import AIOKafkaConsumer
from faust.exceptions import AlreadyConfiguredWarning

__all__ = ["give_up_place", "name_place"]


def name_place(app: faust.App, partitions: Mapping[str, int]) -> None:
    """Let an app that has a place have another one when it reads other partitions than before.

    A place comes with the partitions that it had. Those that a topic has got since are shared out
    by a rebalance, which only a new member causes.

    Args:
        partitions: How many each topic has.
    """
    member: str | None = app.conf.consumer_group_instance_id
    if member is not None:
        log = zlib.crc32(repr(sorted(partitions.items())).encode())
        with warnings.catch_warnings():  # nobody has joined yet
            warnings.simplefilter("ignore", AlreadyConfiguredWarning)
            app.conf.consumer_group_instance_id = f"{member}-{log:08x}"


def give_up_place(consumer: AIOKafkaConsumer | None) -> None:
    """Let a worker that stops in order leave the group, so that others go on at once.

    aiokafka leaves no group in which it has a place.
    """
    coordinator = getattr(consumer, "_coordinator", None)
    if coordinator is not None:
        coordinator._group_instance_id = None
