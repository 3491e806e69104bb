"""Avro object container files, written around datums that are copied as they came.

Any Avro reader can read them. Offsets and lengths of the datums are in the file's metadata, so
that each can be had alone. The manifest has a digest of the file: nothing is parsed before it
verifies.
"""

import base64
import hashlib
import io
import json
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import BinaryIO

from fastdata.archive.container import (
    SYNC_BYTES,
    Block,
    Header,
    read_blocks,
    write_block,
    write_header,
)
from fastdata.archive.manifest import ObjectEntry, Stretch
from fastdata.errors import CorruptStateError

__all__ = [
    "Records",
    "build_object",
    "cut_object",
    "gaps_of",
    "is_same",
    "join_objects",
    "read_object",
    "records_of",
    "verified",
]

_BLOCK_BYTES = 64 * 1024
_RAW_DEFLATE = -zlib.MAX_WBITS


@dataclass(slots=True)
class Records:
    """Records of one schema, ordered by offset: what becomes an object.

    Attributes:
        schema: Canonical JSON of the writer's schema.
        schema_id: As in the manifest; None for rejects.
        hours: How many are of each hour of event time, ms UTC; None: of no usable time.
    """

    schema: str
    schema_id: int | None
    offsets: list[int] = field(default_factory=list)
    datums: list[bytes] = field(default_factory=list)
    hours: Counter[int | None] = field(default_factory=Counter)


def build_object(name: str, partition: int, records: Records) -> tuple[ObjectEntry, bytes]:
    """The object, and what the manifest says about it. Equal records have equal bytes."""
    sizes = [len(datum) for datum in records.datums]
    meta = {
        "avro.schema": records.schema.encode(),
        "avro.codec": b"deflate",
        "fastdata.offsets": json.dumps(
            _stretches_of(records.offsets), separators=(",", ":")
        ).encode(),
        # Readers want text.
        "fastdata.lengths": base64.b64encode(zlib.compress(struct.pack(f"<{len(sizes)}I", *sizes))),
    }
    file = io.BytesIO()
    sync = hashlib.sha256(name.encode()).digest()[:SYNC_BYTES]
    write_header(file, Header(meta, sync))
    step = _BLOCK_BYTES * len(sizes) // (sum(sizes) + 1) + 1
    for at in range(0, len(sizes), step):
        datums = records.datums[at : at + step]
        packed = zlib.compress(b"".join(datums), wbits=_RAW_DEFLATE)
        write_block(file, Block(len(datums), packed, sync))
    data = file.getvalue()
    hours = {hour: n for hour, n in records.hours.items() if hour is not None}
    entry = ObjectEntry(
        name, partition, records.offsets[0], records.offsets[-1] + 1, len(sizes), sum(sizes),
        records.schema, records.schema_id, hashlib.sha256(data).hexdigest(),
        dict(sorted(hours.items())), records.hours[None],
    )  # fmt: skip
    return entry, data


def read_object(data: bytes | None, entry: ObjectEntry) -> list[tuple[int, bytes]]:
    """The offsets and datums of an object, ordered by offset.

    Args:
        data: What is stored under its name; None if there is nothing.

    Raises:
        CorruptStateError: It is not what the manifest says.
    """
    return records_of(verified(data, entry))


def records_of(data: bytes) -> list[tuple[int, bytes]]:
    """The offsets and datums of an object that is verified, ordered by offset."""
    return _unpack(data)[1]


def cut_object(data: bytes, entry: ObjectEntry) -> bytes:
    """Of an object that is verified, the records of a tile that was merged into it."""
    rows = [row for row in records_of(data) if entry.first <= row[0] < entry.next]
    offsets, datums = zip(*rows, strict=True)
    records = Records(entry.schema, entry.schema_id, [*offsets], [*datums])
    return build_object(entry.name, entry.partition, records)[1]


def verified(data: bytes | None, entry: ObjectEntry) -> bytes:
    """The bytes of an object, when they are what the manifest says.

    Args:
        data: What is stored under its name; None if there is nothing.

    Raises:
        CorruptStateError: They are not.
    """
    if data is None or hashlib.sha256(data).hexdigest() != entry.digest:
        raise CorruptStateError(
            f"the archive's object {entry.name} is {'gone' if data is None else 'corrupt'}: the "
            f"manifest has its digest, {entry.digest}; restore it from a copy"
        )
    return data


def join_objects(objects: Sequence[bytes], file: BinaryIO) -> list[list[Stretch]]:
    """Write the records of some objects, in their order, as one Avro file: faster to read.

    Args:
        objects: Of one schema, verified.

    Returns:
        The offsets of each object's records, as stretches (first, length).
    """
    stretches, first = [], None
    for data in objects:
        header, blocks = read_blocks(data)
        stretches.append(_stretches_in(header.meta["fastdata.offsets"]))
        if first is None:
            first = header
            write_header(file, first)
        for block in blocks:
            write_block(file, block._replace(sync=first.sync))
    return stretches


def is_same(data: bytes, other: bytes) -> bool:
    """Whether two objects hold the same records, although another zlib may have packed them.

    Args:
        other: May be anything.
    """
    try:
        return _unpack(data) == _unpack(other)
    except Exception:  # noqa: BLE001  (whatever cannot be read is not the same)
        return False


def _unpack(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Schema, and offsets with datums."""
    header, blocks = read_blocks(data)
    lengths = zlib.decompress(base64.b64decode(header.meta["fastdata.lengths"]))
    stretches = _stretches_in(header.meta["fastdata.offsets"])
    offsets = chain.from_iterable(range(first, first + length) for first, length in stretches)
    datums = b"".join(zlib.decompress(block.packed, wbits=_RAW_DEFLATE) for block in blocks)
    rows, at = [], 0
    for offset, (size,) in zip(offsets, struct.iter_unpack("<I", lengths), strict=True):
        rows.append((offset, datums[at : at + size]))
        at += size
    return header.meta["avro.schema"], rows


def _stretches_in(text: bytes) -> list[Stretch]:
    return [(first, length) for first, length in json.loads(text)]


def gaps_of(offsets: Sequence[int], start: int, end: int) -> tuple[Stretch, ...]:
    """The stretches (first, length) of `[start, end)` that are not among its growing offsets."""
    if len(offsets) == end - start:
        return ()
    return tuple((a + 1, b - a - 1) for a, b in pairwise((start - 1, *offsets, end)) if b > a + 1)


def _stretches_of(offsets: Sequence[int]) -> list[Stretch]:
    gaps = gaps_of(offsets, offsets[0], offsets[-1] + 1)
    starts = [offsets[0], *map(sum, gaps)]
    ends = [*(start for start, _ in gaps), offsets[-1] + 1]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]
