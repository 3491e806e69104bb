"""The archive is the log, whatever its segments, flushes, crashes and rivals."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import failpoints
from fastdata.archive import ArchivedRecord, PartitionArchive, open_archive_storage
from fastdata.failpoints import FailpointError
from tests.archive.events import NEW_SCHEMA, OLD_SCHEMA, World, click, feed, values

POINTS = [
    "archive.after_object",
    "archive.after_tile",
    "archive.mid_merge",
    "archive.after_manifest",
    "archive.mid_cleanup",
]


def make_log(kinds: list[str]) -> list[ArchivedRecord]:
    """One record per offset, or none: new, old, bad, timeless, hole."""
    records = []
    for offset, kind in enumerate(kinds):
        if kind == "bad":
            records.append(ArchivedRecord(offset, 0, None, b"x%d" % offset, [("h", b"1")]))
        elif kind == "timeless":
            records.append(click(offset, at=None))
        elif kind != "hole":
            schema = OLD_SCHEMA if kind == "old" else NEW_SCHEMA
            records.append(click(offset, page=f"/{offset}", schema=schema))
    return records


async def run_some(archive: PartitionArchive, log: list[ArchivedRecord], end: int) -> None:
    feed(archive, [record for record in log if archive.position <= record.offset < end])
    archive.advance(end)


kinds = st.lists(
    st.sampled_from(["new", "new", "new", "old", "bad", "timeless", "hole"]),
    min_size=1,
    max_size=60,
)
step = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 12)),
    st.tuples(st.just("flush"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("restart"), st.integers(0, 1), st.just(0)),
    st.tuples(
        st.just("crash"), st.integers(0, 1), st.tuples(st.sampled_from(POINTS), st.integers(1, 3))
    ),
)


@settings(max_examples=200)
@given(kinds=kinds, size=st.integers(1, 17), steps=st.lists(step, max_size=40))
def test_the_archive_is_the_log_whatever_happens(
    kinds: list[str], size: int, steps: list[tuple[str, int, object]]
) -> None:
    """Two archivers, either of which may be the zombie, that flush, crash and start again."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), open_archive_storage("memory:///"), size)
        asyncio.run(_drive(world, kinds, steps))


async def _drive(world: World, kinds: list[str], steps: list[tuple[str, int, object]]) -> None:
    log = make_log(kinds)
    both = [await world.opened(), await world.opened()]
    durable = 0
    for what, who, argument in steps:
        archive = both[who]
        if what == "read":
            assert isinstance(argument, int)
            await run_some(archive, log, min(len(kinds), archive.position + argument))
        elif what == "flush":
            durable = max(durable, await archive.flush(force=bool(argument)))
        else:
            if what == "crash":
                assert isinstance(argument, tuple)
                failpoints.set_action(argument[0], "raise", argument[1])
                with contextlib.suppress(FailpointError):
                    await archive.flush(force=True)
                failpoints.reset()
            both[who] = await world.opened()
            assert both[who].position >= durable
        await _check(world, log, len(kinds), durable)
    last = await world.opened()
    await run_some(last, log, len(kinds))
    await last.flush(force=True)
    last.advance(len(kinds) + world.source.segment_size)
    await last.flush()
    await world.opened()
    assert await world.archived() == values(log)
    assert await world.names("tiles") == []


async def _check(world: World, log: list[ArchivedRecord], end: int, durable: int) -> None:
    """What is read is the log up to there; what was said to be durable is."""
    snapshot = await world.reader().snapshot()
    covered = snapshot.coverage.end(0, world.source.segment_size)
    assert await world.archived() == values([r for r in log if r.offset < covered])
    assert snapshot.durable.get(0, 0) >= durable
    assert sum(each.count for each in (*snapshot.objects(), *snapshot.rejected)) == sum(
        r.offset < covered for r in log
    )


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_crash_at_any_point_is_repaired_by_the_next_start(
    world: World, point: str, at: int
) -> None:
    log = make_log(["new", "old", "bad", "new", "timeless", "hole"] * 5)
    failpoints.set_action(point, "raise", at)
    crashes = 0
    archive = await world.opened()
    while archive.position < 30 or crashes == 0:
        try:
            await run_some(archive, log, archive.position + 2)
            await archive.flush(force=True)
        except FailpointError:
            crashes += 1
            archive = await world.opened()
    archive.advance(40)
    await archive.flush()
    await world.opened()

    assert crashes == 1
    assert await world.archived() == values(log)
    assert await world.names("tiles") == []


async def test_of_two_archivers_the_slower_goes_on_after_the_faster(world: World) -> None:
    log = make_log(["new"] * 30)
    zombie, owner = await world.opened(), await world.opened()
    await run_some(zombie, log, 7)
    await run_some(owner, log, 4)
    await owner.flush(force=True)

    assert await zombie.flush(force=True) == 7
    await run_some(owner, log, 30)
    assert await owner.flush() == 30
    await run_some(zombie, log, 12)
    assert await zombie.flush(force=True) == 30
    assert await world.archived() == values(log)


async def test_two_archivers_at_once_write_each_entry_once(world: World) -> None:
    log = make_log(["new", "bad", "hole"] * 20)

    async def archive_all(step: int) -> None:
        archive = await world.opened()
        while archive.position < 60:
            await run_some(archive, log, min(60, archive.position + step))
            await archive.flush(force=True)

    await asyncio.gather(archive_all(3), archive_all(7), archive_all(4))

    assert await world.archived() == values(log)


async def test_a_tile_written_by_a_zombie_after_the_segment_closed_means_nothing(
    world: World,
) -> None:
    log = make_log(["new"] * 20)
    zombie, owner = await world.opened(), await world.opened()
    await run_some(owner, log, 20)
    await owner.flush()
    await run_some(zombie, log, 5)
    await zombie.flush(force=True)
    assert await world.names("tiles") != []

    assert (await world.reader().snapshot()).durable == {0: 20}
    await world.opened()
    assert await world.names("tiles") == []
    await run_some(zombie, log, 15)
    assert await zombie.flush(force=True) == 20
