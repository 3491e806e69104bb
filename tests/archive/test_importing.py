"""What Kafka Connect's S3 sink wrote becomes an archive, record by record."""

import asyncio
from pathlib import Path

import pytest

from fastdata import Metric, failpoints
from fastdata.archive import ArchiveReader, ArchiveStorage, open_archive_storage
from fastdata.archive.import_connect import ImportReport, import_objects
from fastdata.batch.replay import replay
from fastdata.errors import ArchiveConflictError, CorruptStateError, SettingsError
from fastdata.events.decoder import Decoder
from fastdata.events.registry import FolderRegistry
from fastdata.store.memory import MemoryStore
from tests.archive.events import read_rejects
from tests.archive.sink import (
    DECLARED,
    START,
    TOPIC,
    WRITTEN,
    declare,
    make_object,
    object_name,
    view,
    write_sink,
)
from tests.support.rules import without

ALIEN = {"type": "record", "name": "Alien", "fields": [{"name": "size", "type": "long"}]}
TEXT = {"type": "string", "default": ""}
GROWN = {**DECLARED, "fields": [*DECLARED["fields"], {"name": "country", **TEXT}]}


class Site:
    """A sink's objects, and an archive of segments of ten offsets."""

    def __init__(self, folder: Path) -> None:
        self.metric: Metric = declare(folder, segment_size=10)
        self.source = self.metric.source
        self.registry = FolderRegistry(folder)
        self.origin = open_archive_storage("memory:///")
        self.storage: ArchiveStorage = open_archive_storage("memory:///")

    async def put(
        self, first: int, count: int, codec: str = "null", schema: object = WRITTEN
    ) -> None:
        records = [view(0, offset, START + offset) for offset in range(first, first + count)]
        await self.origin.create(object_name(0, first), make_object(records, codec, schema))

    async def take(self, *, dry_run: bool = False, stop: bool = False) -> ImportReport:
        event = asyncio.Event()
        if stop:
            event.set()
        return await import_objects(
            self.origin, self.storage, self.source, stop=event, dry_run=dry_run
        )

    async def ids(self) -> dict[int, str]:
        """The events of closed segments and tiles, by offset."""
        reader = ArchiveReader(self.storage, self.source)
        found = {}
        with without("closed segments only"):
            snapshot = await reader.snapshot()
        for entry in snapshot.objects():
            decoder = Decoder(self.source, self.registry)
            schema = self.source.schema.parse(entry.schema)
            for offset, datum in await reader.read(entry):
                fields = decoder.decode_datum(schema, datum).fields or {}
                found[offset] = str(fields["id"])
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
async def test_each_record_of_each_object_is_archived_at_its_offset(site: Site, codec: str) -> None:
    for first in range(0, 24, 3):
        await site.put(first, 3, codec)

    report = await site.take()

    assert await site.ids() == {offset: f"0-{offset}" for offset in range(24)}
    (one,) = report.partitions
    assert (one.objects, one.done, one.records, one.holes, one.end) == (8, 8, 24, [], 24)
    assert report.is_complete


async def test_small_objects_become_one_for_each_segment(site: Site) -> None:
    for first in range(0, 20, 2):
        await site.put(first, 2)

    await site.take()

    assert await site.storage.names("topics") == [
        f"topics/{TOPIC}/partition=0/{TOPIC}+0+0000000000.avro",
        f"topics/{TOPIC}/partition=0/{TOPIC}+0+0000000010.avro",
    ]


async def test_a_replay_counts_what_was_imported(site: Site) -> None:
    written = await write_sink(site.origin, 60, partitions=3)
    await site.take()
    store = MemoryStore()

    (report,) = (await replay([site.metric], store=store, archive=site.storage)).metrics

    imported = sum(written.records.values())
    assert (report.events, report.duplicates, report.rejects) == (imported, 0, 0)


async def test_an_imported_archive_is_gone_on_with(site: Site) -> None:
    await site.put(0, 7)
    await site.take()
    await site.put(7, 8)

    report = await site.take()

    assert report.partitions[0].records == 8
    assert await site.ids() == {offset: f"0-{offset}" for offset in range(15)}


async def test_an_import_that_is_done_changes_nothing_again(site: Site) -> None:
    await site.put(0, 7)
    await site.put(7, 16)
    await site.take()
    before = await site.storage.names("")

    report = await site.take()

    assert (report.partitions[0].records, report.partitions[0].repeated) == (0, 0)
    assert report.is_complete
    assert await site.storage.names("") == before


async def test_offsets_that_no_object_has_are_holes_that_are_told(site: Site) -> None:
    await site.put(0, 6)
    await site.put(9, 13)

    report = await site.take()

    assert report.partitions[0].holes == [(6, 3)]
    assert sorted(await site.ids()) == [*range(6), *range(9, 22)]


async def test_records_that_two_objects_have_are_taken_once(site: Site) -> None:
    await site.put(0, 8)
    await site.put(5, 8)

    report = await site.take()

    assert (report.partitions[0].records, report.partitions[0].repeated) == (13, 3)
    assert await site.ids() == {offset: f"0-{offset}" for offset in range(13)}


async def test_an_archive_whose_beginning_is_gone_says_so(site: Site) -> None:
    await site.put(13, 9)

    await site.take()
    snapshot = await ArchiveReader(site.storage, site.source).snapshot()

    assert snapshot.lost == {0: [(0, 13)]}


async def test_what_does_not_fit_the_source_is_a_reject(site: Site) -> None:
    await site.put(0, 4)
    await site.origin.create(
        object_name(0, 4), make_object([{"size": 9}, {"size": 300}], schema=ALIEN)
    )
    await site.put(6, 4)

    report = await site.take()
    reader = ArchiveReader(site.storage, site.source)
    snapshot = await reader.snapshot()
    (rejects,) = [await read_rejects(reader, each) for each in snapshot.rejected]

    assert report.partitions[0].rejects == 2
    assert [(r.offset, r.reason, (r.value or b"")[5:]) for r in rejects] == [
        (4, "schema-mismatch", b"\x12"),
        (5, "schema-mismatch", b"\xd8\x04"),
    ]
    assert len(await site.ids()) == 8


async def test_objects_of_several_schemas_are_read_by_the_one_of_the_source(site: Site) -> None:
    await site.put(0, 5)
    await site.put(5, 5, schema=GROWN)

    await site.take()

    assert await site.ids() == {offset: f"0-{offset}" for offset in range(10)}


@pytest.mark.parametrize("cut", [0, 3, 40, -1, -17])
async def test_an_object_that_is_cut_off_is_named_and_stops_the_import(
    site: Site, cut: int
) -> None:
    await site.put(0, 10)
    data = make_object([view(0, 10, START)])[:cut]
    await site.origin.create(object_name(0, 10), data)

    with pytest.raises(CorruptStateError, match=r"web.views\+0\+0000000010.avro cannot be read"):
        await site.take()
    assert len(await site.ids()) == 10


async def test_a_block_that_is_not_of_its_schema_is_named(site: Site) -> None:
    good = make_object([view(0, 0, START)])
    await site.origin.create(object_name(0, 0), good.replace(b"\x060-0", b"\x7f0-0"))

    with pytest.raises(CorruptStateError, match=r"\+0000000000.avro is no Avro container"):
        await site.take()


async def test_a_block_whose_checksum_is_wrong_is_named(site: Site) -> None:
    data = bytearray(make_object([view(0, 0, START)], "snappy"))
    data[-17] ^= 1  # the last byte before the sync marker
    await site.origin.create(object_name(0, 0), bytes(data))

    with pytest.raises(CorruptStateError, match="the checksum of a block is wrong"):
        await site.take()


async def test_a_dry_run_tells_what_there_is_and_writes_nothing(site: Site) -> None:
    await site.put(0, 7)
    await site.put(7, 7)

    report = await site.take(dry_run=True)

    (one,) = report.partitions
    assert (one.objects, one.skipped, one.done, one.start) == (2, 0, 0, 0)
    assert await site.storage.names("") == []


async def test_an_import_that_is_stopped_keeps_what_it_has_and_is_not_complete(site: Site) -> None:
    await site.put(0, 7)

    report = await site.take(stop=True)

    assert not report.is_complete
    assert (await site.take()).is_complete
    assert len(await site.ids()) == 7


@pytest.mark.parametrize("at", range(1, 8))
@pytest.mark.parametrize("point", ["after_object", "after_manifest"])
async def test_an_import_that_dies_is_finished_by_the_next(site: Site, point: str, at: int) -> None:
    for first in range(0, 77, 7):
        await site.put(first, 7)
    failpoints.set_action(f"archive.{point}", "raise", at)
    with pytest.raises(failpoints.FailpointError):
        await site.take()

    await site.take()

    assert await site.ids() == {offset: f"0-{offset}" for offset in range(77)}


async def test_nothing_is_put_before_the_beginning_of_an_archive(site: Site) -> None:
    await site.put(30, 5)
    await site.take()
    await site.put(0, 5)

    with pytest.raises(ArchiveConflictError, match="begins at 30 and the objects at 0"):
        await site.take()


async def test_objects_of_other_names_are_counted_and_left_out(site: Site) -> None:
    await site.put(0, 5)
    await site.origin.create(f"{TOPIC}/partition=0/notes.txt", b"")
    await site.origin.create(f"{TOPIC}/partition=1/{TOPIC}+0+0000000000.avro", b"")

    assert (await site.take()).foreign == 2


async def test_a_folder_without_such_objects_is_refused(site: Site) -> None:
    await site.origin.create(f"{TOPIC}/year=2024/{TOPIC}+0+0000000000.avro", b"")

    with pytest.raises(SettingsError, match=r"there is no object .* and 1 others"):
        await site.take()
