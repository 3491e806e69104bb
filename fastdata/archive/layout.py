"""The names of all events in an archive, and of what is known of them; no other module builds one.

    topics/<topic>/partition=<p>/<topic>+<p>+<first>.avro          events of a closed segment
    rejects/<topic>/partition=<p>/<topic>+<p>+<first>.avro         what could not be decoded of it
    manifest/<topic>/partition=<p>/segment=<n>.json                its manifest entry
    epochs/<topic>/epoch=<n>.json                                  which log the topic is
    checkpoints/<topic>/partition=<p>/segments=<n>.entries         copies of the entries from n on
    tiles/<topic>/partition=<p>/<topic>+<p>+<first>+<next>.avro    the same three for a piece of
    tiles/<topic>/partition=<p>/<topic>+<p>+<first>+<next>.rejects.avro        the open segment
    tiles/<topic>/partition=<p>/tile=<first>.json

Below `rollups/` are states that replays keep; see `fastdata.batch.rollups.storage`.

The names of closed objects are those of Kafka Connect's S3 sink: the first offset in it,
padded to ten digits.
"""

import re

from fastdata.errors import SettingsError

__all__ = ["checkpoint_name", "entry_name", "epoch_name", "folder", "object_name", "place_of"]

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PLACE = re.compile(r"/partition=(\d{1,10})/(?:segments?=|tile=|[^/+]+\+\d+\+)(\d{10,19})[+.]")


def folder(kind: str, topic: str, partition: int | None = None) -> str:
    """The folder of a partition, or of all partitions.

    Args:
        kind: `topics`, `rejects`, `manifest`, `epochs`, `checkpoints` or `tiles`.

    Raises:
        SettingsError: The topic is no name of a Kafka topic.
    """
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise SettingsError(f"{topic!r} is no name of a Kafka topic; it cannot be archived")
    return f"{kind}/{topic}" if partition is None else f"{kind}/{topic}/partition={partition}"


def object_name(
    topic: str, partition: int, first: int, tile_end: int | None = None, *, is_rejects: bool = False
) -> str:
    """The object whose first record has the offset `first`.

    Args:
        tile_end: One after its last record, for an object of a tile.
    """
    name = f"{topic}+{partition}+{first:010}"
    if tile_end is None:
        return f"{folder('rejects' if is_rejects else 'topics', topic, partition)}/{name}.avro"
    suffix = ".rejects" if is_rejects else ""
    return f"{folder('tiles', topic, partition)}/{name}+{tile_end:010}{suffix}.avro"


def entry_name(topic: str, partition: int, number: int, *, is_closed: bool) -> str:
    """The manifest entry of a closed segment, or of the tile that begins at an offset."""
    if is_closed:
        return f"{folder('manifest', topic, partition)}/segment={number:010}.json"
    return f"{folder('tiles', topic, partition)}/tile={number:010}.json"


def epoch_name(topic: str, number: int) -> str:
    """The record of which log an epoch counts."""
    return f"{folder('epochs', topic)}/epoch={number:010}.json"


def checkpoint_name(topic: str, partition: int, segment: int) -> str:
    """The checkpoint of the entries from a segment on."""
    return f"{folder('checkpoints', topic, partition)}/segments={segment:010}.entries"


def place_of(name: str) -> tuple[int, int] | None:
    """Partition, and segment or first offset, of a name; None for a foreign one."""
    match = _PLACE.search(name)
    return (int(match[1]), int(match[2])) if match else None
