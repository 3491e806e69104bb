"""Values that are no Avro are archived as they came, whether they can be read today or not."""

import io
import json
from pathlib import Path

import fastavro
import pytest

from fastdata import Source, failpoints
from fastdata.archive import ArchiveReader, ArchiveStorage, PartitionArchive, open_archive_storage
from fastdata.archive.records import ArchivedRecord
from fastdata.coordinates.instants import HOUR_MS
from fastdata.errors import ArchiveConflictError
from fastdata.events.decoder import Decoder
from fastdata.events.formats import load_value
from fastdata.events.registry import FolderRegistry
from fastdata.failpoints import FailpointError
from tests.archive.events import read_rejects

LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "word", "type": "string"},
    ],
}
NARROW, WIDE = r"(?P<word>[a-z]+)", r"(?P<word>\w+)"
LOG = [
    ArchivedRecord(0, 5, b"key", b"one"),
    ArchivedRecord(1, HOUR_MS, None, b"TWO"),
    ArchivedRecord(2, HOUR_MS, None, b"\xff"),
    ArchivedRecord(3, HOUR_MS, None, None),
    ArchivedRecord(4, -1, None, b"four"),
    ArchivedRecord(5, 7, None, b""),
]


def source(folder: Path, pattern: str | None = NARROW, **more: object) -> Source:
    (folder / "line.avsc").write_text(json.dumps(LINE))
    declared = {"format": "text", "pattern": pattern, **more}
    return Source(
        "lines", topic="lines", schema=str(folder / "line.avsc"), time="at", segment_size=6,
        **{"oldest": "1970-01-01", **declared},  # type: ignore[arg-type]
    )  # fmt: skip


async def archive(source: Source, storage: ArchiveStorage, folder: Path, end: int = 6) -> None:
    archiver = PartitionArchive(storage, source, Decoder(source, FolderRegistry(folder)), 0)
    first = await archiver.open()
    for record in LOG[first:end]:
        archiver.append(record)
    await archiver.flush(force=True)


@pytest.fixture
def storage() -> ArchiveStorage:
    return open_archive_storage("memory:///")


async def test_what_has_a_value_is_kept_with_its_timestamp(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    lines = source(tmp_path)
    await archive(lines, storage, tmp_path)

    reader = ArchiveReader(storage, lines)
    snapshot = await reader.snapshot()
    (kept,) = snapshot.objects()
    (rejected,) = snapshot.rejected

    found = {offset: load_value(datum) for offset, datum in await reader.read(kept)}
    assert found == {r.offset: (r.timestamp_ms, r.value) for r in LOG if r.value is not None}
    assert [(r.offset, r.reason) for r in await read_rejects(reader, rejected)] == [(3, "empty")]
    assert (kept.hours, kept.timeless) == ({0: 1}, 4)


async def test_any_avro_reader_reads_them(tmp_path: Path, storage: ArchiveStorage) -> None:
    lines = source(tmp_path)
    await archive(lines, storage, tmp_path)
    (kept,) = (await ArchiveReader(storage, lines).snapshot()).objects()

    data = await storage.get(kept.name)

    assert data is not None
    assert next(iter(fastavro.reader(io.BytesIO(data)))) == {"timestamp_ms": 5, "value": b"one"}


async def test_a_later_pattern_counts_the_hours_anew(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    await archive(source(tmp_path), storage, tmp_path)
    later = source(tmp_path, WIDE)
    reader = ArchiveReader(storage, later)

    snapshot = await reader.index_again(await reader.snapshot())

    (kept,) = snapshot.objects()
    assert (kept.hours, kept.timeless) == ({0: 1, HOUR_MS: 1}, 3)
    assert snapshot.rejects == 1


async def test_the_hours_of_the_same_declaration_are_believed(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    lines = source(tmp_path)
    await archive(lines, storage, tmp_path)
    reader = ArchiveReader(storage, lines)
    snapshot = await reader.snapshot()

    assert await reader.index_again(snapshot) is snapshot


async def test_events_before_the_oldest_are_in_no_hour_until_the_source_has_them(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    one_o_clock = source(tmp_path, WIDE, oldest="1970-01-01T01:00Z")
    await archive(one_o_clock, storage, tmp_path)

    async def hours(of: Source) -> list[tuple[dict[int, int], int]]:
        reader = ArchiveReader(storage, of)
        objects = (await reader.index_again(await reader.snapshot())).objects()
        return [(entry.hours, entry.timeless) for entry in objects]

    assert await hours(one_o_clock) == [({HOUR_MS: 1}, 4)]
    assert await hours(source(tmp_path, WIDE)) == [({0: 1, HOUR_MS: 1}, 3)]
    assert await hours(source(tmp_path, WIDE, oldest="1971-01-01")) == [({}, 5)]


async def test_a_pattern_that_changes_within_a_segment_makes_two_objects(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    await archive(source(tmp_path), storage, tmp_path, end=2)
    later = source(tmp_path, WIDE)
    await archive(later, storage, tmp_path)
    reader = ArchiveReader(storage, later)

    snapshot = await reader.index_again(await reader.snapshot())

    assert [(each.first, each.count) for each in snapshot.objects()] == [(0, 2), (2, 3)]
    assert [each.hours for each in snapshot.objects()] == [{0: 1, HOUR_MS: 1}, {}]


async def test_a_pattern_that_changes_after_a_crash_is_no_conflict(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    failpoints.set_action("archive.after_object", "raise")
    with pytest.raises(FailpointError):
        await archive(source(tmp_path), storage, tmp_path)
    failpoints.reset()
    later = source(tmp_path, WIDE)

    await archive(later, storage, tmp_path)

    (kept,) = (await ArchiveReader(storage, later).snapshot()).objects()
    assert kept.hours == {0: 1, HOUR_MS: 1}


async def test_a_source_that_is_declared_as_avro_by_mistake_is_told(
    tmp_path: Path, storage: ArchiveStorage
) -> None:
    await archive(source(tmp_path), storage, tmp_path)
    wrong = source(tmp_path, None, format="avro")
    reader = ArchiveReader(storage, wrong)

    with pytest.raises(ArchiveConflictError, match="give it the format of the topic"):
        await reader.index_again(await reader.snapshot())
