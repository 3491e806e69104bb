"""Avro object container files, written around datums that are copied and read within bounds.

Any Avro reader can read them. Ours trusts nothing: it knows from the manifest how much may
come out, and compares a digest of all of it before it hands anything out. Offsets and lengths
of the datums are in the file's metadata, so that each can be had alone.
"""

import base64
import hashlib
import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

from fastdata.archive.manifest import ObjectEntry, Run
from fastdata.errors import CorruptStateError

__all__ = ["ObjectWriter", "read_container", "runs_of"]

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_BLOCK_BYTES = 64 * 1024
_MAX_META = 64
_MAX_LONG_BYTES = 10
_BAD_BYTES = (
    ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, struct.error,
    zlib.error,
)  # fmt: skip


class ObjectWriter:
    """Builds one object. Its bytes are a function of its records and name alone."""

    def __init__(self, schema: str, schema_id: int | None) -> None:
        self._schema = schema
        self._schema_id = schema_id
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._hours: Counter[int] = Counter()
        self._timeless = 0
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._blocks: list[tuple[int, bytes]] = []
        self._digest = hashlib.sha256(schema.encode())

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self._offsets[0]

    @property
    def next(self) -> int:
        """One after the offset of the last record."""
        return self._offsets[-1] + 1

    def extend(
        self, offsets: Sequence[int], datums: Sequence[bytes], hours: dict[int, int], timeless: int
    ) -> None:
        """Add records, ordered by offset."""
        self._offsets.extend(offsets)
        self._lengths.extend(map(len, datums))
        self._hours.update(hours)
        self._timeless += timeless
        size = self._block_bytes
        for datum in datums:
            self._block.append(datum)
            size += len(datum) + 8  # so that empty datums end a block, too
            if size >= _BLOCK_BYTES:
                self._cut()
                size = 0
        self._block_bytes = size

    def finish(self, name: str, partition: int) -> tuple[ObjectEntry, bytes]:
        """The object, and what the manifest says about it."""
        self._cut()
        runs = json.dumps(runs_of(self._offsets), separators=(",", ":")).encode()
        lengths = struct.pack(f"<{len(self._lengths)}I", *self._lengths)
        self._digest.update(lengths + runs)
        entry = ObjectEntry(
            name, partition, self.first, self.next, len(self._offsets), sum(self._lengths),
            self._schema, self._schema_id, self._digest.hexdigest(),
            dict(sorted(self._hours.items())), self._timeless,
        )  # fmt: skip
        meta = {
            "avro.schema": self._schema.encode(),
            "avro.codec": b"deflate",
            "fastdata.offsets": runs,
            "fastdata.lengths": base64.b64encode(_deflate(lengths)),  # readers want text
        }
        sync = _sync(name)
        head = [_MAGIC, _long(len(meta))]
        for key, value in meta.items():
            head += [_bytes(key.encode()), _bytes(value)]
        blocks = (
            part
            for count, data in self._blocks
            for part in (_long(count), _long(len(data)), data, sync)
        )
        return entry, b"".join(chain(head, (b"\0", sync), blocks))

    def _cut(self) -> None:
        if self._block:
            data = b"".join(self._block)
            self._digest.update(data)
            self._blocks.append((len(self._block), _deflate(data)))
            self._block.clear()


def runs_of(offsets: Sequence[int]) -> list[Run]:
    """Growing offsets as runs (first, length)."""
    if not offsets:
        return []
    if offsets[-1] - offsets[0] == len(offsets) - 1:
        return [(offsets[0], len(offsets))]
    starts = [offsets[0], *(b for a, b in pairwise(offsets) if b != a + 1)]
    ends = [*(a for a, b in pairwise(offsets) if b != a + 1), offsets[-1]]
    return [(start, end - start + 1) for start, end in zip(starts, ends, strict=True)]


def read_container(data: bytes, entry: ObjectEntry) -> list[tuple[int, bytes]]:
    """The offsets and datums of an object, ordered by offset.

    Needs no more memory than the entry says the datums take.

    Raises:
        CorruptStateError: The object is not what the manifest says.
    """
    try:
        return _read(_Cursor(data), entry)
    except _BAD_BYTES as error:
        raise CorruptStateError(
            f"the archive's object {entry.name} is not what its manifest says: {error}; "
            "restore it from a copy, nothing of it was used"
        ) from error


class _Cursor:
    """Reads the primitives of Avro from bytes that may be hostile."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self._at:
            raise ValueError(f"it ends before byte {self._at + size}")
        self._at += size
        return self._data[self._at - size : self._at]

    def long(self) -> int:
        value = 0
        for place in range(_MAX_LONG_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
        raise ValueError("a number has too many bytes")

    def bytes(self) -> bytes:
        return self.take(self.long())


def _read(cursor: _Cursor, entry: ObjectEntry) -> list[tuple[int, bytes]]:
    if cursor.take(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is no Avro container")
    meta = _read_meta(cursor)
    if meta[b"avro.schema"] != entry.schema.encode() or meta[b"avro.codec"] != b"deflate":
        raise ValueError("it has another schema or codec")
    packed = _inflate(base64.b64decode(meta[b"fastdata.lengths"]), 4 * entry.count)
    lengths = struct.unpack(f"<{entry.count}I", packed)
    if sum(lengths) != entry.size:
        raise ValueError(f"its datums have {sum(lengths)} bytes, not {entry.size}")
    datums = _read_blocks(cursor, entry)
    digest = hashlib.sha256(entry.schema.encode())
    digest.update(datums)
    digest.update(packed + meta[b"fastdata.offsets"])
    if digest.hexdigest() != entry.digest:
        raise ValueError("its digest is another")
    offsets = _offsets(json.loads(meta[b"fastdata.offsets"]), entry)
    view, at = [], 0
    for offset, length in zip(offsets, lengths, strict=True):
        view.append((offset, datums[at : at + length]))
        at += length
    return view


def _read_meta(cursor: _Cursor) -> dict[bytes, bytes]:
    count = cursor.long()
    if not 0 < count <= _MAX_META:
        raise ValueError(f"it has {count} entries of metadata")
    meta = {cursor.bytes(): cursor.bytes() for _ in range(count)}
    if cursor.long() != 0:
        raise ValueError("its metadata goes on")
    return meta


def _read_blocks(cursor: _Cursor, entry: ObjectEntry) -> bytes:
    sync = _sync(entry.name)
    if cursor.take(_SYNC_BYTES) != sync:
        raise ValueError("its sync marker is another")
    left, blocks = entry.count, []
    room = entry.size
    while not cursor.is_at_end:
        left -= (count := cursor.long())
        if count < 1 or left < 0:
            raise ValueError("it has other numbers of records")
        block = _inflate(cursor.bytes(), room)
        room -= len(block)
        blocks.append(block)
        if cursor.take(_SYNC_BYTES) != sync:
            raise ValueError("a block does not end with the sync marker")
    if left or room:
        raise ValueError(f"{left} records and {room} bytes are missing")
    return b"".join(blocks)


def _offsets(runs: list[list[int]], entry: ObjectEntry) -> Iterable[int]:
    if sum(length for _, length in runs) != entry.count:
        raise ValueError("its offsets do not make up its count")
    offsets = [o for start, length in runs for o in range(start, start + length)]
    if not offsets or (offsets[0], offsets[-1] + 1) != (entry.first, entry.next):
        raise ValueError("it holds other offsets")
    return offsets


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    # max_length=0 means "no limit" to zlib.
    out = unpacker.decompress(data, max_bytes + 1)
    if len(out) > max_bytes:
        raise ValueError(f"more than {max_bytes} bytes come out of a block")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("a block is cut off, or has bytes behind it")
    return out


def _long(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(value: bytes) -> bytes:
    return _long(len(value)) + value


def _sync(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:_SYNC_BYTES]
