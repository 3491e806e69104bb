"""The names of all that is in an archive. No other module builds or reads a name.

    topics/<topic>/partition=<p>/<topic>+<p>+<first>.avro          events of a closed segment
    rejects/<topic>/partition=<p>/<topic>+<p>+<first>.avro         what could not be decoded of it
    tiles/<topic>/partition=<p>/<topic>+<p>+<first>+<next>.avro    the same for a piece of the open
    tiles/<topic>/partition=<p>/<topic>+<p>+<first>+<next>.rejects.avro                  segment
    manifest/<topic>/partition=<p>/segment=<n>.json                a closed segment
    manifest/<topic>/partition=<p>/tile=<first>.json               a piece of the open segment

The names of closed objects are those of Kafka Connect's S3 sink: the first offset in it,
padded to ten digits.
"""

import re

from fastdata.errors import SettingsError

__all__ = [
    "check_topic",
    "first_of",
    "manifest_prefix",
    "object_name",
    "partition_of",
    "segment_name",
    "tile_name",
    "tile_object_name",
    "tiles_prefix",
]

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PARTITION = re.compile(r"/partition=(\d{1,10})/")
_FIRST = re.compile(r"(?:/(?P<kind>segment|tile)=|\+)(?P<first>\d{10,19})(?:\+\d{10,19})?\.[a-z.]+")


def check_topic(topic: str) -> str:
    """The topic itself, when it can be part of a name.

    Raises:
        SettingsError: It is no name of a Kafka topic.
    """
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise SettingsError(f"{topic!r} is no name of a Kafka topic; it cannot be archived")
    return topic


def _folder(kind: str, topic: str, partition: int) -> str:
    return f"{kind}/{check_topic(topic)}/partition={int(partition)}"


def object_name(topic: str, partition: int, first: int, *, is_rejects: bool = False) -> str:
    """The object of a closed segment whose first record has the offset `first`."""
    folder = _folder("rejects" if is_rejects else "topics", topic, partition)
    return f"{folder}/{topic}+{partition}+{first:010}.avro"


def tile_object_name(
    topic: str, partition: int, first: int, end: int, *, is_rejects: bool = False
) -> str:
    """The object of a tile with the records of `[first, end)`."""
    suffix = ".rejects" if is_rejects else ""
    return (
        f"{tiles_prefix(topic, partition)}/{topic}+{partition}+{first:010}+{end:010}{suffix}.avro"
    )


def tiles_prefix(topic: str, partition: int) -> str:
    """The folder of the objects of all tiles of a partition."""
    return _folder("tiles", topic, partition)


def manifest_prefix(topic: str, partition: int | None = None) -> str:
    """The folder of the manifest of a partition, or of all partitions."""
    if partition is None:
        return f"manifest/{check_topic(topic)}"
    return _folder("manifest", topic, partition)


def segment_name(topic: str, partition: int, segment: int) -> str:
    """The manifest entry of a closed segment."""
    return f"{manifest_prefix(topic, partition)}/segment={segment:010}.json"


def tile_name(topic: str, partition: int, first: int) -> str:
    """The manifest entry of the tile that begins at the offset `first`."""
    return f"{manifest_prefix(topic, partition)}/tile={first:010}.json"


def partition_of(name: str) -> int | None:
    """The partition that a name belongs to; None for a foreign name."""
    found = _PARTITION.search(name)
    return int(found[1]) if found else None


def first_of(name: str, kind: str | None = None) -> int | None:
    """The number in a name: first offset, or segment; None for a name of another kind.

    Args:
        kind: `segment` or `tile` for manifest entries, None for objects.
    """
    found = _FIRST.search(name)
    return int(found["first"]) if found and found["kind"] == kind else None
