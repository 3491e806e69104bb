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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO

import fastavro

from fastdata.archive.manifest import ObjectEntry, Run
from fastdata.errors import CorruptStateError

__all__ = [
    "Records",
    "build_object",
    "gaps_of",
    "is_same",
    "join_objects",
    "read_object",
    "verified",
]

_MAGIC, _SYNC_SIZE = b"Obj\x01", 16
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
        "fastdata.offsets": json.dumps(_runs_of(records.offsets), separators=(",", ":")).encode(),
        # Readers want text.
        "fastdata.lengths": base64.b64encode(zlib.compress(struct.pack(f"<{len(sizes)}I", *sizes))),
    }
    sync = hashlib.sha256(name.encode()).digest()[:_SYNC_SIZE]
    parts = [_MAGIC, _long(len(meta))]
    for key, value in meta.items():
        parts += [_long(len(key)), key.encode(), _long(len(value)), value]
    parts += [b"\0", sync]
    step = _BLOCK_BYTES * len(sizes) // (sum(sizes) + 1) + 1
    for at in range(0, len(sizes), step):
        block = records.datums[at : at + step]
        packed = zlib.compress(b"".join(block), wbits=_RAW_DEFLATE)
        parts += [_long(len(block)), _long(len(packed)), packed, sync]
    data = b"".join(parts)
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
    return _unpack(verified(data, entry))[1]


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


def join_objects(objects: Sequence[bytes], file: BinaryIO) -> list[list[Run]]:
    """Write the records of some objects, in their order, as one Avro file: faster to read.

    Args:
        objects: Of one schema, verified.

    Returns:
        The offsets of each object's records, as runs.
    """
    runs, sync = [], b""
    for data in objects:
        metadata, at = _head(data)
        runs.append([(start, length) for start, length in json.loads(metadata["fastdata.offsets"])])
        if not sync:
            sync = data[at - _SYNC_SIZE : at]
            file.write(data[:at])
        while at < len(data):
            start = at
            _, at = _read_long(data, at)
            size, at = _read_long(data, at)
            file.write(data[start : at + size] + sync)
            at += size + _SYNC_SIZE
    return runs


def _head(data: bytes) -> tuple[dict[str, bytes], int]:
    """The metadata of an object, and where its first block begins."""
    count, at = _read_long(data, len(_MAGIC))
    metadata = {}
    for _ in range(count):
        pair = []
        for _ in range(2):
            size, at = _read_long(data, at)
            pair.append(data[at : at + size])
            at += size
        metadata[pair[0].decode()] = pair[1]
    return metadata, at + 1 + _SYNC_SIZE


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two objects hold the same records, although another zlib may have packed them.

    Args:
        other: May be anything.
    """
    try:
        return _unpack(one) == _unpack(other)
    except Exception:  # noqa: BLE001  (whatever cannot be read is not the same)
        return False


def _unpack(data: bytes) -> tuple[str, list[tuple[int, bytes]]]:
    """Schema, and offsets with datums."""
    container = fastavro.block_reader(io.BytesIO(data))
    packed = zlib.decompress(base64.b64decode(container.metadata["fastdata.lengths"]))
    offsets = _offsets(container.metadata)
    datums = b"".join(block.bytes_.getvalue() for block in container)  # type: ignore[attr-defined]
    rows, at = [], 0
    for offset, (size,) in zip(offsets, struct.iter_unpack("<I", packed), strict=True):
        rows.append((offset, datums[at : at + size]))
        at += size
    return container.metadata["avro.schema"], rows


def _offsets(metadata: Mapping[str, str]) -> list[int]:
    runs = json.loads(metadata["fastdata.offsets"])
    return [offset for start, length in runs for offset in range(start, start + length)]


def gaps_of(offsets: Sequence[int], start: int, end: int) -> tuple[Run, ...]:
    """The runs (first, length) of `[start, end)` that are not among its growing offsets."""
    if len(offsets) == end - start:
        return ()
    return tuple((a + 1, b - a - 1) for a, b in pairwise((start - 1, *offsets, end)) if b > a + 1)


def _runs_of(offsets: Sequence[int]) -> list[Run]:
    gaps = gaps_of(offsets, offsets[0], offsets[-1] + 1)
    starts = [offsets[0], *map(sum, gaps)]
    ends = [*(start for start, _ in gaps), offsets[-1] + 1]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _long(value: int) -> bytes:
    """Of a number that is not negative."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_long(data: bytes, at: int) -> tuple[int, int]:
    """What `_long` wrote at a place, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return value >> 1, at
        shift += 7
