"""Where an archive begins: at offset 0, or its first entry says what was lost before."""

import logging

import pytest

from fastdata.coordinates.segments import Coverage
from fastdata.errors import ArchiveHoleError
from tests.archive.events import World, clicks, feed, values

MANIFEST = "manifest/web.clicks/partition=0"


async def archived_from(world: World, log_start: int, end: int) -> None:
    archive = world.archiver()
    assert await archive.open(log_start) == log_start
    feed(archive, clicks(log_start, end))
    await archive.flush()


async def test_an_oldest_entry_that_is_gone_is_a_hole(world: World) -> None:
    await archived_from(world, 0, 30)
    await world.storage.delete(f"{MANIFEST}/segment=0000000000.json")

    with pytest.raises(ArchiveHoleError, match=r"a hole: its first entry begins at 10,.*restore"):
        await world.reader().snapshot()


@pytest.mark.parametrize("log_start", [20, 23])
async def test_a_late_beginning_is_in_the_first_entry(world: World, log_start: int) -> None:
    await archived_from(world, log_start, 40)
    snapshot = await world.reader().snapshot()

    entries = [(e.first, e.next, e.lost) for e in snapshot.entries[0]]
    assert entries[0] == (0, 20, ((0, 20),))
    assert snapshot.lost == {0: [(0, log_start)]}
    assert snapshot.coverage == Coverage({0: 4})
    assert await world.archived() == values(clicks(log_start, 40))


async def test_of_a_late_beginning_the_oldest_entry_is_missed_too(world: World) -> None:
    await archived_from(world, 23, 40)
    await world.storage.delete(f"{MANIFEST}/segment=0000000000.json")

    with pytest.raises(ArchiveHoleError, match="its first entry begins at 20"):
        await world.reader().snapshot()


async def test_an_archive_whose_beginning_is_not_told_goes_on_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await archived_from(world, 20, 40)
    await world.storage.delete(f"{MANIFEST}/segment=0000000000.json")

    with caplog.at_level(logging.WARNING):
        archive = await world.opened(log_start=20)
    feed(archive, clicks(40, 50))
    await archive.flush()

    assert "the manifest begins at offset 20" in caplog.text
    with pytest.raises(ArchiveHoleError, match="its first entry begins at 20"):
        await world.reader().snapshot()


async def test_an_accepted_loss_of_the_beginning_is_recorded(world: World) -> None:
    await archived_from(world, 20, 40)
    await world.storage.delete(f"{MANIFEST}/segment=0000000000.json")

    for _ in range(2):
        await world.opened(log_start=20, accept_loss=True)

    snapshot = await world.reader().snapshot()
    assert snapshot.lost == {0: [(0, 20)]}
    assert await world.archived() == values(clicks(20, 40))
