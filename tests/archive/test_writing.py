import io
import json

import fastavro
import pytest

from fastdata.archive import ArchivedRecord
from fastdata.coordinates.segments import Coverage
from fastdata.errors import ArchiveHoleError
from tests.archive.events import (
    HOUR,
    NEW_SCHEMA,
    OLD_SCHEMA,
    START,
    World,
    click,
    clicks,
    feed,
    read_rejects,
    values,
)


async def test_a_closed_segment_is_one_object_named_by_its_first_offset(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 20))

    assert await archive.flush() == 20
    assert await world.names() == [
        "manifest/web.clicks/partition=0/segment=0000000000.json",
        "manifest/web.clicks/partition=0/segment=0000000001.json",
        "topics/web.clicks/partition=0/web.clicks+0+0000000000.avro",
        "topics/web.clicks/partition=0/web.clicks+0+0000000010.avro",
    ]


async def test_what_was_archived_is_the_log_byte_by_byte(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 20))
    await archive.flush()

    assert await world.archived() == values(clicks(0, 20))


async def test_nothing_of_an_open_segment_is_written_before_it_is_due(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 9))

    assert await archive.flush() == 0
    assert await world.names() == []


async def test_an_open_segment_is_durable_as_a_tile_when_it_is_old_enough(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 3))
    world.clock.now = 9_999
    assert await archive.flush() == 0
    world.clock.now = 10_000

    assert await archive.flush() == 3
    assert await world.names("tiles") == [
        "tiles/web.clicks/partition=0/tile=0000000000.json",
        "tiles/web.clicks/partition=0/web.clicks+0+0000000000+0000000003.avro",
    ]


async def test_an_open_segment_is_durable_as_a_tile_when_it_is_large_enough(world: World) -> None:
    archive = world.archiver(tile_bytes=100)
    await archive.open()
    archive.append(click(0, page="x" * 50))
    assert await archive.flush() == 0
    archive.append(click(1, page="x" * 50))

    assert await archive.flush() == 2


async def test_tiles_are_merged_when_the_segment_closes_and_then_deleted(world: World) -> None:
    archive = await world.opened()
    for record in clicks(0, 10):
        archive.append(record)
        await archive.flush(force=True)

    assert await world.names() == [
        "manifest/web.clicks/partition=0/segment=0000000000.json",
        "topics/web.clicks/partition=0/web.clicks+0+0000000000.avro",
    ]
    assert await world.archived() == values(clicks(0, 10))


async def test_an_object_has_the_same_bytes_however_it_was_tiled(world: World) -> None:
    directly = await world.opened()
    feed(directly, clicks(0, 10))
    await directly.flush()
    name = "topics/web.clicks/partition=0/web.clicks+0+0000000000.avro"
    expected = await world.storage.get(name)
    for each in await world.names():
        await world.storage.delete(each)

    tiled = await world.opened()
    for record in clicks(0, 10):
        tiled.append(record)
        await tiled.flush(force=True)

    assert await world.storage.get(name) == expected


async def test_any_avro_reader_can_read_an_object(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 10))
    await archive.flush()
    name = "topics/web.clicks/partition=0/web.clicks+0+0000000000.avro"
    data = await world.storage.get(name)

    records = list(fastavro.reader(io.BytesIO(data or b"")))

    assert records == [{"at": START + n * 60_000, "page": f"/{n}"} for n in range(10)]


async def test_an_object_of_many_blocks_can_be_read(world: World) -> None:
    archive = await world.opened()
    big = [click(n, page=str(n) * 40_000) for n in range(10)]
    feed(archive, big)
    await archive.flush()

    assert await world.archived() == values(big)


async def test_a_restarted_archive_goes_on_where_its_chain_ends(world: World) -> None:
    first = await world.opened()
    feed(first, clicks(0, 14))
    await first.flush(force=True)
    second = world.archiver()

    assert await second.open() == 14
    feed(second, clicks(14, 20))
    assert await second.flush() == 20
    assert await world.archived() == values(clicks(0, 20))


async def test_records_that_are_archived_already_are_ignored(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 10))
    await archive.flush()
    feed(archive, clicks(0, 10))

    assert archive.position == 10
    assert await archive.flush(force=True) == 10


async def test_offsets_that_the_log_skips_are_holes_and_do_not_shift_others(world: World) -> None:
    archive = await world.opened()
    some = [click(2), click(3), click(7)]
    feed(archive, some)
    archive.advance(10)
    await archive.flush()
    (entry,) = (await world.reader().snapshot()).entries[0]

    assert entry.holes == ((0, 2), (4, 3), (8, 2))
    assert await world.archived() == values(some)


async def test_the_consumers_position_closes_a_segment(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 9))
    archive.advance(10)

    assert await archive.flush() == 10


async def test_a_hole_of_many_segments_is_one_entry(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 5))
    archive.append(click(10_000_005))
    await archive.flush(force=True)
    snapshot = await world.reader().snapshot()

    entries = [(e.first, e.next) for e in snapshot.entries[0]]
    assert entries == [(0, 10), (10, 10_000_000), (10_000_000, 10_000_006)]
    assert snapshot.coverage == Coverage({0: 1_000_000}, {0: 10_000_006})
    assert snapshot.durable == {0: 10_000_006}


async def test_two_schemas_that_alternate_are_two_objects_of_a_segment(world: World) -> None:
    archive = await world.opened()
    log = [click(n, schema=(OLD_SCHEMA, NEW_SCHEMA)[n % 2]) for n in range(10)]
    feed(archive, log[:5])
    await archive.flush(force=True)
    feed(archive, log[5:])
    await archive.flush()
    objects = (await world.reader().snapshot()).objects()

    assert [(each.first, each.next, each.count) for each in objects] == [(0, 9, 5), (1, 10, 5)]
    assert [each.schema for each in objects] == [OLD_SCHEMA.canonical, NEW_SCHEMA.canonical]
    assert await world.archived() == values(log)


async def test_what_cannot_be_decoded_keeps_its_bytes_headers_and_reason(world: World) -> None:
    archive = await world.opened()
    bad = [
        ArchivedRecord(0, 7, b"key", b"no avro", [("trace", b"\x01"), ("empty", None)]),
        ArchivedRecord(1, 8, None, None),
        ArchivedRecord(2, 9, None, b"\0\0\0\0\x01datum"),
        ArchivedRecord(3, 10, None, (click(3).value or b"") + b"more"),
    ]
    feed(archive, bad)
    await archive.flush(force=True)
    feed(archive, clicks(4, 10))
    await archive.flush()
    reader = world.reader()
    snapshot = await reader.snapshot()
    (rejected,) = snapshot.rejected
    rejects = await read_rejects(reader, rejected)

    kept = [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in rejects]
    assert kept == [r._replace(headers=list(r.headers)) for r in bad]
    assert [r.reason for r in rejects] == ["no-magic", "empty", "unknown-schema", "malformed"]
    assert ([each.count for each in snapshot.objects()], snapshot.rejects) == ([6], 4)
    assert rejected.name == "rejects/web.clicks/partition=0/web.clicks+0+0000000000.avro"


async def test_events_without_a_usable_time_are_kept_and_counted_as_timeless(world: World) -> None:
    archive = await world.opened()
    log = [click(0, at=None), click(1, at=-5), click(2, at=START)]
    feed(archive, log)
    archive.advance(10)
    await archive.flush()
    snapshot = await world.reader().snapshot()

    assert ([each.count for each in snapshot.objects()], snapshot.timeless) == ([3], 2)
    assert [each.hours for each in snapshot.objects()] == [{START: 1}]
    assert await world.archived() == values(log)


@pytest.mark.parametrize("old", [0, 3_600_000, 915_148_800_000, 3_600_000_000_000])
async def test_hours_far_apart_are_read_as_they_were_written(world: World, old: int) -> None:
    archive = await world.opened()
    feed(archive, [click(0, at=START), click(1, at=old)])
    archive.advance(10)
    await archive.flush()
    snapshot = await world.reader().snapshot()

    assert [each.hours for each in snapshot.objects()] == [{START: 1, old: 1}]


async def test_hours_count_the_events_of_each_hour_of_event_time(world: World) -> None:
    archive = await world.opened()
    times = [START, START + HOUR - 1, START + HOUR, START - 1, START + 5 * HOUR]
    feed(archive, [click(n, at) for n, at in enumerate(times)])
    await archive.flush(force=True)
    archive.advance(10)
    await archive.flush()

    (entry,) = (await world.reader().snapshot()).objects()
    assert entry.hours == {START - HOUR: 1, START: 2, START + HOUR: 1, START + 5 * HOUR: 1}


async def test_events_deleted_before_they_were_archived_stop_the_archive(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 5))
    await archive.flush(force=True)

    with pytest.raises(ArchiveHoleError, match=r"\[5, 32\).*--accept-loss"):
        await world.archiver().open(log_start=32)


async def test_an_accepted_loss_is_recorded_and_the_archive_goes_on(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 5))
    await archive.flush(force=True)
    again = await world.opened(log_start=32, accept_loss=True)
    feed(again, clicks(32, 40))
    await again.flush()
    snapshot = await world.reader().snapshot()

    assert snapshot.lost == {0: [(5, 32)]}
    assert snapshot.coverage == Coverage({0: 4})
    assert await world.archived() == values([*clicks(0, 5), *clicks(32, 40)])


async def test_an_archive_that_begins_late_says_what_it_misses(world: World) -> None:
    archive = world.archiver()

    assert await archive.open(log_start=23) == 23
    feed(archive, clicks(23, 30))
    await archive.flush()
    snapshot = await world.reader().snapshot()

    assert snapshot.lost == {0: [(0, 23)]}
    assert await world.archived() == values(clicks(23, 30))


async def test_offsets_before_the_epoch_are_no_loss(world: World) -> None:
    archive = world.archiver()
    assert await archive.open(0, first=7) == 7
    assert await archive.open(0, first=7) == 7
    archive.append(click(7))
    await archive.flush(force=True)
    snapshot = await world.reader().snapshot()
    assert (snapshot.durable, snapshot.lost) == ({0: 8}, {})
    with pytest.raises(ArchiveHoleError, match=r"offsets \[8, 9\)"):
        await world.archiver().open(9, first=7)

    other = world.archiver(partition=1)
    assert await other.open(9, first=7) == 9
    snapshot = await world.reader().snapshot()
    assert (snapshot.durable, snapshot.lost) == ({0: 8, 1: 9}, {1: [(7, 9)]})


async def test_a_manifest_entry_is_plain_json(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 10))
    await archive.flush()
    name = "manifest/web.clicks/partition=0/segment=0000000000.json"
    entry = json.loads(await world.storage.get(name) or b"")["entry"]

    assert (entry["first"], entry["next"], entry["holes"]) == (0, 10, [])
    assert entry["objects"][0]["hours"] == {str(START): 10}


async def test_an_object_that_is_refused_before_it_is_seen_is_no_conflict(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await world.opened(), await world.opened()
    feed(one, clicks(0, 10))
    feed(other, clicks(0, 10))
    await one.flush()
    await world.storage.delete(*await world.storage.names("manifest"))
    get, hidden = world.storage.get, [3]

    async def see_late(name: str) -> bytes | None:
        hidden[0] -= 1
        return None if hidden[0] >= 0 else await get(name)

    monkeypatch.setattr(world.storage, "get", see_late)

    assert await other.flush() == 10
    assert hidden[0] < 0
