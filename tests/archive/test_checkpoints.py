"""Checkpoints change nothing but the number of requests."""

from pathlib import Path

import pytest

from fastdata.archive import ArchiveReader, open_archive_storage
from fastdata.archive.chains import SEGMENTS, load_checkpoints
from fastdata.errors import ArchiveHoleError, CorruptStateError
from tests.archive.events import World, clicks, feed, values

COUNT = 2 * SEGMENTS + 40


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """An archive of segments of one event."""
    world = World(tmp_path, open_archive_storage("memory:///"), segment_size=1)
    archive = await world.opened()
    feed(archive, clicks(0, COUNT))
    await archive.flush()
    return world


def names(first: int = 0) -> list[str]:
    folder = "checkpoints/web.clicks/partition=0"
    return [f"{folder}/segments={n:010}.entries" for n in (0, SEGMENTS)][first:]


async def test_each_full_block_of_segments_has_one(world: World) -> None:
    assert await world.names("checkpoints") == names()


async def test_a_checkpoint_has_the_entries_of_its_segments(world: World) -> None:
    wanted = await world.names("manifest")
    found = await load_checkpoints(world.storage, world.source, wanted)

    assert list(found) == wanted[: 2 * SEGMENTS]
    assert [entry.first for entry in found.values()] == [*range(2 * SEGMENTS)]


async def test_what_is_read_is_the_same_without_them(world: World) -> None:
    expected = await world.reader().snapshot()
    await world.storage.delete(*names())

    assert await world.reader().snapshot() == expected
    assert await world.archived() == values(clicks(0, COUNT))


async def test_missing_ones_are_written_at_the_next_start(world: World) -> None:
    expected = [await world.storage.get(name) for name in names()]
    await world.storage.delete(*names())

    await world.opened()

    assert [await world.storage.get(name) for name in names()] == expected


@pytest.mark.parametrize("content", [b"", b"no zlib", b"x\x9c\x03\x00\x00\x00\x00\x01"])
async def test_a_corrupt_one_is_not_used(world: World, content: bytes) -> None:
    await world.storage.delete(names()[0])
    await world.storage.create(names()[0], content)

    assert await world.archived() == values(clicks(0, COUNT))


async def test_an_entry_that_is_gone_is_a_hole_although_a_checkpoint_has_it(world: World) -> None:
    await world.storage.delete("manifest/web.clicks/partition=0/segment=0000000007.json")

    with pytest.raises(ArchiveHoleError, match="a hole"):
        await world.reader().snapshot()


async def test_an_entry_that_was_copied_corrupt_is_found(world: World) -> None:
    name = "manifest/web.clicks/partition=0/segment=0000000007.json"
    data = await world.storage.get(name) or b""
    await world.storage.delete(*names(), name)
    await world.storage.create(name, data.replace(b'"count":1', b'"count":2'))
    await world.opened()

    with pytest.raises(CorruptStateError, match=r"segment=0000000007.json does not verify"):
        await ArchiveReader(world.storage, world.source).snapshot()
