"""Many manifest entries in one object, so that a reader far away asks once for many.

A checkpoint is a copy: entries that are not in one, or not as they were, are read each by itself.
"""

import asyncio
import logging
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from fastdata.archive.layout import checkpoint_name, folder, place_of
from fastdata.archive.manifest import Entry
from fastdata.archive.storage import ArchiveStorage
from fastdata.declare.source import Source
from fastdata.errors import CorruptStateError

__all__ = ["SEGMENTS", "load_checkpoints", "save_checkpoints"]

_log = logging.getLogger(__name__)
SEGMENTS = 256
"""Segments whose entries are in one checkpoint."""


async def save_checkpoints(
    storage: ArchiveStorage, source: Source, partition: int, closed_end: int
) -> None:
    """Write those that are missing. Idempotent; they never change.

    Args:
        closed_end: Where the closed segments end.

    Raises:
        ArchiveUnavailableError: The store did not do it; retriable.
        ArchiveRefusedError: The store refuses.
    """
    blocks = closed_end // source.segment_size // SEGMENTS
    if not blocks:
        return
    saved = await _numbers(storage, "checkpoints", source, partition)
    missing = [block for block in range(blocks) if block * SEGMENTS not in saved]
    if not missing:
        return
    names: dict[int, list[str]] = defaultdict(list)
    for segment, name in (await _numbers(storage, "manifest", source, partition)).items():
        names[segment // SEGMENTS].append(name)
    for block in missing:
        contents = await asyncio.gather(*map(storage.get, names[block]))
        pairs = zip(names[block], contents, strict=True)
        lines = [b"%s %s" % (name.encode(), data) for name, data in pairs if data is not None]
        checkpoint = checkpoint_name(source.topic, partition, block * SEGMENTS)
        await storage.create(checkpoint, zlib.compress(b"\n".join(lines)))


async def load_checkpoints(
    storage: ArchiveStorage, source: Source, wanted: Sequence[str]
) -> dict[str, Entry]:
    """Those of the wanted entries that are in a checkpoint, by name, each verified.

    Raises:
        ArchiveUnavailableError: The store did not answer; retriable.
        ArchiveRefusedError: The store refuses.
    """
    blocks = {(place[0], place[1] // SEGMENTS) for place in map(place_of, wanted) if place}
    names = [checkpoint_name(source.topic, p, block * SEGMENTS) for p, block in sorted(blocks)]
    contents = await asyncio.gather(*map(storage.get, names))
    entries: dict[str, Entry] = {}
    for name, data in zip(names, contents, strict=True):
        try:
            entries |= _unpack(data) if data is not None else {}
        except (CorruptStateError, ValueError, zlib.error) as error:
            _log.warning("the checkpoint %s is not used: %s", name, error)
    return {name: entries[name] for name in wanted if name in entries}


def _unpack(data: bytes) -> dict[str, Entry]:
    entries = {}
    for line in zlib.decompress(data).splitlines():
        name, _, content = line.partition(b" ")
        entries[name.decode()] = Entry.load(content, name.decode())
    return entries


async def _numbers(
    storage: ArchiveStorage, kind: str, source: Source, partition: int
) -> Mapping[int, str]:
    names = await storage.names(folder(kind, source.topic, partition))
    return {place[1]: name for name in names if (place := place_of(name)) is not None}
