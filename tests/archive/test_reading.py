import copy
import hashlib
import json
import random
import zlib
from pathlib import Path

import pytest

from fastdata import failpoints
from fastdata.archive import ArchivedRecord, ObjectEntry, open_archive_storage
from fastdata.coordinates.segments import Coverage
from fastdata.errors import (
    ArchiveConflictError,
    ArchiveHoleError,
    ArchiveUnavailableError,
    CorruptStateError,
)
from tests.archive.events import HOUR, START, World, click, clicks, feed, values
from tests.support.rules import without

SEGMENT_0 = "manifest/web.clicks/partition=0/segment=0000000000.json"
SEGMENT_1 = "manifest/web.clicks/partition=0/segment=0000000001.json"
OBJECT_0 = "topics/web.clicks/partition=0/web.clicks+0+0000000000.avro"


async def archive_clicks(world: World, records: list[ArchivedRecord], partition: int = 0) -> None:
    archive = world.archiver(partition=partition)
    await archive.open()
    feed(archive, records)
    await archive.flush(force=True)


async def replace(world: World, name: str, data: bytes) -> None:
    await world.storage.delete(name)
    await world.storage.create(name, data)


async def first_object(world: World) -> ObjectEntry:
    return (await world.reader().snapshot()).objects()[0]


async def test_an_empty_archive_covers_nothing(world: World) -> None:
    snapshot = await world.reader().snapshot()

    assert (snapshot.coverage, snapshot.durable, snapshot.objects()) == (Coverage({}), {}, [])


async def test_of_open_segments_what_there_is_is_read(world: World) -> None:
    await archive_clicks(world, clicks(0, 25))
    await archive_clicks(world, clicks(0, 8), partition=3)
    snapshot = await world.reader().snapshot()

    assert snapshot.coverage == Coverage({0: 2}, {0: 25, 3: 8})
    assert snapshot.durable == {0: 25, 3: 8}
    assert sum(each.count for each in snapshot.objects()) == 33


async def test_without_the_rule_the_open_segment_counts_as_covered(world: World) -> None:
    await archive_clicks(world, clicks(0, 25))
    with without("closed segments only"):
        snapshot = await world.reader().snapshot()

    assert snapshot.coverage.segments == {0: 3}


async def test_the_manifest_tells_which_objects_hold_an_hour(world: World) -> None:
    times = [START] * 10 + [START + HOUR] * 10 + [START] * 9 + [START + HOUR]
    await archive_clicks(world, [click(n, at) for n, at in enumerate(times)])
    objects = (await world.reader().snapshot()).objects()

    assert [(o.first, o.hours) for o in objects] == [
        (0, {START: 10}),
        (10, {START + HOUR: 10}),
        (20, {START: 9, START + HOUR: 1}),
    ]


async def test_a_snapshot_can_be_narrowed_to_an_earlier_coverage(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    earlier = await world.reader().snapshot()
    await archive_clicks(world, clicks(0, 40))
    now = await world.reader().snapshot()
    narrowed = now.at(earlier.coverage)

    assert narrowed is not None
    assert narrowed.coverage == Coverage({0: 1})
    assert narrowed.objects() == earlier.objects()
    assert [len(s.objects()) for s in (narrowed, now)] == [1, 4]
    with pytest.raises(ValueError, match="the archive covers"):
        earlier.at(now.coverage)


async def test_a_missing_manifest_entry_is_a_hole(world: World) -> None:
    await archive_clicks(world, clicks(0, 30))
    await world.storage.delete(SEGMENT_1)

    with pytest.raises(ArchiveHoleError, match=r"a hole: .* begins at 20, .* ends at 10"):
        await world.reader().snapshot()


async def test_a_missing_tile_is_a_hole(world: World) -> None:
    archive = await world.opened()
    for record in clicks(0, 6):
        archive.append(record)
        await archive.flush(force=True)
    await world.storage.delete("tiles/web.clicks/partition=0/tile=0000000003.json")

    with pytest.raises(ArchiveHoleError, match=r"a hole: .* begins at 4, .* ends at 3"):
        await world.reader().snapshot()
    with pytest.raises(ArchiveHoleError, match=r"a hole: .* begins at 4, .* ends at 3"):
        await world.opened()


async def test_overlapping_entries_are_found(world: World) -> None:
    archive = await world.opened()
    archive.advance(30)
    archive.append(click(30))
    await archive.flush()  # one entry [0, 30), as nothing is in it
    spare = copy.copy(world)
    spare.storage = open_archive_storage("memory:///")
    await archive_clicks(spare, clicks(0, 20))
    await world.storage.create(SEGMENT_1, await spare.storage.get(SEGMENT_1) or b"")

    with pytest.raises(ArchiveHoleError, match="an overlap"):
        await world.reader().snapshot()


async def test_an_object_that_is_gone_is_named(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    entry = await first_object(world)
    await world.storage.delete(OBJECT_0)

    with pytest.raises(CorruptStateError, match=r"web.clicks\+0\+0000000000.avro is gone"):
        await world.reader().read(entry)


async def test_no_flipped_bit_of_an_object_goes_unseen(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    entry = await first_object(world)
    good = await world.storage.get(OBJECT_0) or b""
    rng = random.Random(7)
    for _ in range(500):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        await replace(world, OBJECT_0, bytes(bad))
        with pytest.raises(CorruptStateError, match="is corrupt"):
            await world.reader().read(entry)


async def test_no_flipped_bit_of_a_manifest_entry_goes_unseen(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    good = await world.storage.get(SEGMENT_0) or b""
    expected = await first_object(world)
    rng = random.Random(7)
    seen = 0
    for _ in range(300):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        await replace(world, SEGMENT_0, bytes(bad))
        try:
            assert await first_object(world) == expected
        except CorruptStateError:
            seen += 1

    assert seen > 290


@pytest.mark.parametrize("cut", [0, 3, 4, 50, 300, -1, -17])
async def test_a_truncated_object_is_corrupt(world: World, cut: int) -> None:
    await archive_clicks(world, clicks(0, 10))
    entry = await first_object(world)
    good = await world.storage.get(OBJECT_0) or b""
    await replace(world, OBJECT_0, good[:cut])

    with pytest.raises(CorruptStateError):
        await world.reader().read(entry)


async def test_a_bomb_is_not_unpacked(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    entry = await first_object(world)
    good = await world.storage.get(OBJECT_0) or b""
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(300_000_000)) + packer.flush()
    sync = good[-16:]
    head = good[: good.index(sync) + 16]
    length = len(bomb) * 2
    size = bytearray()
    while length > 0x7F:
        size.append((length & 0x7F) | 0x80)
        length >>= 7
    await replace(world, OBJECT_0, head + b"\x14" + bytes([*size, length]) + bomb + sync)

    with pytest.raises(CorruptStateError, match="is corrupt"):
        await world.reader().read(entry)


async def test_a_manifest_of_another_declaration_is_refused(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    world.source.segment_size = 5

    with pytest.raises(ArchiveConflictError, match="fixed for a topic's life"):
        await world.reader().snapshot()
    with pytest.raises(ArchiveConflictError, match="fixed for a topic's life"):
        await world.opened()


async def test_an_entry_whose_numbers_do_not_add_up_is_corrupt(world: World) -> None:
    await archive_clicks(world, clicks(0, 10))
    entry = json.loads(await world.storage.get(SEGMENT_0) or b"")["entry"]
    entry["holes"] = [[3, 1]]
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    forged = {"entry": entry, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    await replace(world, SEGMENT_0, json.dumps(forged).encode())

    with pytest.raises(CorruptStateError, match="do not make up"):
        await world.reader().snapshot()


async def test_an_object_of_the_same_name_with_other_events_is_left_alone(world: World) -> None:
    other = await world.opened()
    feed(other, [click(n, page="other") for n in range(10)])
    failpoints.set_action("archive.after_object", "raise")
    with pytest.raises(failpoints.FailpointError):
        await other.flush()
    before = await world.storage.get(OBJECT_0)

    archive = await world.opened()
    feed(archive, clicks(0, 10))
    with pytest.raises(ArchiveConflictError, match="holds other records"):
        await archive.flush()
    assert await world.storage.get(OBJECT_0) == before


async def test_an_object_that_another_zlib_packed_is_taken_as_ours(world: World) -> None:
    archive = await world.opened()
    feed(archive, clicks(0, 10))
    failpoints.set_action("archive.after_object", "raise")
    with pytest.raises(failpoints.FailpointError):
        await archive.flush()
    good = await world.storage.get(OBJECT_0) or b""
    sync = good[-16:]
    head = good[: good.index(sync) + 16]
    packer = zlib.compressobj(level=0, wbits=-15)
    stored = packer.compress(zlib.decompress(good[len(head) + 3 : -16], wbits=-15)) + packer.flush()
    size = len(stored) * 2
    length = bytes([size & 0x7F | 0x80, size >> 7])
    await replace(world, OBJECT_0, head + good[len(head) : len(head) + 1] + length + stored + sync)

    again = await world.opened()
    feed(again, clicks(0, 10))
    assert await again.flush() == 10
    assert await world.archived() == values(clicks(0, 10))


async def test_a_full_or_read_only_folder_is_an_error_that_can_be_retried(tmp_path: Path) -> None:
    world = World(tmp_path, open_archive_storage(str(tmp_path / "kept")))
    archive = await world.opened()
    feed(archive, clicks(0, 10))
    (tmp_path / "kept" / "topics").write_text("a file where a folder must be")

    with pytest.raises(ArchiveUnavailableError, match="could not write topics/"):
        await archive.flush()
    (tmp_path / "kept" / "topics").unlink()

    assert await archive.flush() == 10
