"""An archive of version 0.1.0 is read, and would be written again as it is."""

import io
from dataclasses import replace
from typing import Any

import fastavro
import pytest

from fastdata.archive import ArchiveReader, ArchiveStorage, PartitionArchive, open_archive_storage
from fastdata.archive.avro_file import is_same
from fastdata.archive.chains import load_checkpoints
from fastdata.archive.manifest import Entry
from tests.stored.written import PARTITIONS, Written, committed, declared, decoder, records

KINDS = ("topics", "rejects", "manifest", "checkpoints")


@pytest.mark.parametrize("topic", ["visits", "readings", "hits"])
async def test_the_manifest_is_whole_up_to_what_was_committed(written: Written, topic: str) -> None:
    source = declared().sources[topic]
    snapshot = await ArchiveReader(written.archive(), source).snapshot()

    ends = dict(enumerate(committed(topic)))
    assert ends == snapshot.durable
    assert {p: end // source.segment_size for p, end in ends.items()} == snapshot.coverage.segments
    # What lies past the closed segments is in tiles.
    assert any(end % source.segment_size for end in ends.values())


async def test_entries_are_read_from_the_checkpoint(written: Written) -> None:
    archive = written.archive()
    source = declared().sources["readings"]
    names = await archive.names("manifest/readings")
    kept = await load_checkpoints(archive, source, names)
    await ArchiveReader(archive, source).snapshot()

    assert names[:256] == list(kept)
    assert not set(kept) & set(archive.read)


@pytest.mark.parametrize("topic", PARTITIONS)
async def test_the_same_log_is_archived_as_it_was(written: Written, topic: str) -> None:
    old, new = written.archive(), open_archive_storage("memory:///")
    for partition, end in enumerate(committed(topic)):
        await _archive(new, topic, partition, end)
    for kind in KINDS:
        names = await old.names(f"{kind}/{topic}")
        assert names == await new.names(f"{kind}/{topic}")
        for name in names:
            assert _is_as_good(await old.get(name), await new.get(name), name), name


async def test_rejects_are_what_came(written: Written) -> None:
    archive = written.archive()
    kept: list[Any] = [
        record
        for name in await archive.names("rejects/visits")
        for record in fastavro.reader(io.BytesIO(await archive.get(name) or b""))
    ]
    log = {record.offset: record for record in records("visits", 0)}

    assert [reject["reason"] for reject in kept] == ["no-magic", "empty", "unknown-schema"]
    for reject in kept:
        record = log[reject["offset"]]
        headers = [(header["key"], header["value"]) for header in reject["headers"]]
        found = (reject["timestamp_ms"], reject["key"], reject["value"], headers)
        assert found == (record.timestamp_ms, record.key, record.value, list(record.headers))


async def test_an_archive_goes_on_after_its_tiles(written: Written) -> None:
    """The segment that was open when all was kept closes with what came later."""
    old, new = written.archive(), open_archive_storage("memory:///")
    for storage in (old, new):
        for partition in range(PARTITIONS["visits"]):
            end = records("visits", partition)[-1].offset + 1
            await _archive(storage, "visits", partition, end)

    for kind in ("topics", "rejects", "manifest"):
        names = await new.names(f"{kind}/visits")
        assert names == await old.names(f"{kind}/visits")
        for name in names:
            assert _is_as_good(await old.get(name), await new.get(name), name), name


async def _archive(storage: ArchiveStorage, topic: str, partition: int, end: int) -> None:
    source = declared().sources[topic]
    archive = PartitionArchive(storage, source, decoder(source), partition)
    await archive.open()
    for record in records(topic, partition)[:end]:
        archive.append(record)
    await archive.flush(force=True)


def _is_as_good(old: bytes | None, new: bytes | None, name: str) -> bool:
    """Whether the bytes are the same, but for what another zlib makes of them."""
    assert old is not None
    assert new is not None
    if name.endswith(".avro"):
        return is_same(old, new)
    if name.endswith(".json"):
        return _without_digests(Entry.load(old, name)) == _without_digests(Entry.load(new, name))
    return True  # a checkpoint, of entries and with their digests


def _without_digests(entry: Entry) -> Entry:
    objects = tuple(replace(each, digest="") for each in entry.objects)
    return replace(entry, objects=objects)
