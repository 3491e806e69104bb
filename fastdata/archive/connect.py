"""Objects that Kafka Connect's S3 sink wrote: its Avro format, its default partitioner.

Each is an Avro container named after the offset of its first record; nothing in it tells the
offsets of the others.
"""

import re
import zlib
from dataclasses import dataclass

import cramjam

from fastdata.archive.container import read_blocks
from fastdata.archive.storage import ArchiveStorage
from fastdata.errors import CorruptStateError, DeclarationError
from fastdata.events.schema import Schema

__all__ = ["ConnectObject", "Container", "find_objects", "read_container"]

_CRC_BYTES = 4
_RAW_DEFLATE = -zlib.MAX_WBITS
_FAILURES = (LookupError, ValueError, zlib.error, cramjam.DecompressionError)


@dataclass(frozen=True, slots=True, order=True)
class ConnectObject:
    """One object of the sink.

    Attributes:
        first: Offset of its first record.
        size: Bytes.
    """

    partition: int
    first: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Container:
    """The records of an object, as datums one behind the other.

    Attributes:
        blocks: Number of records and their datums, of each block.
    """

    schema: Schema
    blocks: tuple[tuple[int, bytes], ...]

    @property
    def count(self) -> int:
        """Records in it."""
        return sum(count for count, _ in self.blocks)


async def find_objects(storage: ArchiveStorage, topic: str) -> tuple[list[ConnectObject], int]:
    """The objects of a topic by partition and offset, and how many have other names.

    Args:
        storage: Of the folder that has a folder for the topic: the sink's `topics.dir`.

    Raises:
        ArchiveUnavailableError: The store did not answer; retriable.
        ArchiveRefusedError: The store refuses.
    """
    quoted = re.escape(topic)
    pattern = re.compile(rf"{quoted}/partition=(\d+)/{quoted}\+(\d+)\+(\d+)\.avro")
    objects, others = [], 0
    for name, size in await storage.listing(topic):
        match = pattern.fullmatch(name)
        if match is None or match[1] != match[2]:
            others += 1
        else:
            objects.append(ConnectObject(int(match[1]), int(match[3]), name, size))
    return sorted(objects), others


def read_container(data: bytes | None, name: str) -> Container:
    """The schema and the blocks of an Avro object container.

    Args:
        data: What is stored under the name; None if there is nothing.

    Raises:
        CorruptStateError: It is none, or it is cut off.
    """
    try:
        if data is None:
            raise ValueError("it is gone")
        header, blocks = read_blocks(data)
        codec = header.meta.get("avro.codec", b"null").decode()
        schema = Schema.parse(header.meta["avro.schema"].decode())
        unpacked = ((block.records, _unpack(block.packed, codec)) for block in blocks)
        return Container(schema, tuple(unpacked))
    except (*_FAILURES, DeclarationError) as error:
        raise CorruptStateError(
            f"{name} cannot be read as an Avro container: {error}; nothing of it or after it was "
            "imported: restore it from a copy, or move it away to have a hole there"
        ) from error


def _unpack(packed: bytes, codec: str) -> bytes:
    if codec == "null":
        return packed
    if codec == "deflate":
        return zlib.decompress(packed, wbits=_RAW_DEFLATE)
    if codec == "snappy":
        block = bytes(cramjam.snappy.decompress_raw(packed[:-_CRC_BYTES]))
        if zlib.crc32(block) != int.from_bytes(packed[-_CRC_BYTES:], "big"):
            raise ValueError("the checksum of a block is wrong")
        return block
    raise ValueError(f"the codec {codec} is not supported (null, deflate and snappy are)")
