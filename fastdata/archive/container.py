"""Avro's object container file: a header and blocks of packed datums, each of them a record.

The two records are declared as in Avro's specification, so fastavro knows how they are written.
Its own readers and writers of files unpack each block, which most here need not, and pack it
otherwise than objects that are in the archive already.
"""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import fastavro

__all__ = ["SYNC_BYTES", "Block", "Header", "read_blocks", "write_block", "write_header"]

SYNC_BYTES = 16
_MAGIC = b"Obj\x01"
_SYNC = {"type": "fixed", "name": "Sync", "size": SYNC_BYTES}


def _record(name: str, **types: object) -> fastavro.types.Schema:
    fields = [{"name": field, "type": kind} for field, kind in types.items()]
    return fastavro.parse_schema({"type": "record", "name": name, "fields": fields})


_HEADER = _record(
    "Header",
    magic={"type": "fixed", "name": "Magic", "size": len(_MAGIC)},
    meta={"type": "map", "values": "bytes"},
    sync=_SYNC,
)
_BLOCK = _record("Block", records="long", packed="bytes", sync=_SYNC)


class Header(NamedTuple):
    """What a file begins with.

    Attributes:
        meta: In the order of the file; `avro.schema` and `avro.codec` are Avro's own.
        sync: The bytes that end the header and each block.
    """

    meta: dict[str, bytes]
    sync: bytes
    magic: bytes = _MAGIC


class Block(NamedTuple):
    """Some datums of a file.

    Attributes:
        records: How many.
        packed: They, one behind the other, packed by the codec.
        sync: As in the header.
    """

    records: int
    packed: bytes
    sync: bytes


def read_blocks(data: bytes) -> tuple[Header, Iterator[Block]]:
    """The header of a file, and its blocks as they are asked for.

    Raises:
        ValueError: It is no such file, or it is cut off. The blocks raise it, too.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("it does not begin like one")
    file = io.BytesIO(data)
    header = Header(**_read(file, _HEADER))
    return header, _blocks(file, len(data), header.sync)


def _blocks(file: io.BytesIO, size: int, sync: bytes) -> Iterator[Block]:
    while file.tell() < size:
        block = Block(**_read(file, _BLOCK))
        if block.sync != sync:
            raise ValueError(f"there is no sync marker before byte {file.tell()}")
        yield block


def _read(file: io.BytesIO, schema: fastavro.types.Schema) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", fastavro.schemaless_reader(file, schema, None))
    except (EOFError, IndexError) as error:
        raise ValueError(f"it is cut off at byte {file.seek(0, io.SEEK_END)}") from error


def write_header(file: BinaryIO, header: Header) -> None:
    """Begin a file. Equal headers have equal bytes."""
    fastavro.schemaless_writer(file, _HEADER, header._asdict())


def write_block(file: BinaryIO, block: Block) -> None:
    """Add a block. Equal blocks have equal bytes."""
    fastavro.schemaless_writer(file, _BLOCK, block._asdict())
