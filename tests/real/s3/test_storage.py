"""Objects on S3: written once, whole, and all of them found."""

import asyncio
import os
import random

import pytest

from fastdata.archive import open_archive_storage
from fastdata.errors import ArchiveConflictError, ArchiveUnavailableError
from tests.archive.events import START, World, click, clicks, feed, values
from tests.real.s3.losing import LosingProxy
from tests.support.services.s3 import S3


async def test_of_many_who_write_one_object_one_wins(bucket: str) -> None:
    writers = [open_archive_storage(f"s3://{bucket}/race") for _ in range(8)]
    for n in range(25):
        won = await asyncio.gather(
            *(one.create(f"object-{n}", b"%d" % who) for who, one in enumerate(writers))
        )

        assert sum(won) == 1
        assert await writers[0].get(f"object-{n}") == b"%d" % won.index(True)


async def test_two_archivers_of_one_partition_make_one_archive(world: World) -> None:
    log = clicks(0, 200)
    both = [await world.opened(), await world.opened()]
    rng = random.Random(3)
    while any(archive.durable < 200 for archive in both):
        for archive in both:
            feed(archive, log[archive.position : archive.position + rng.randrange(25)])
        flushes = (archive.flush(force=True) for archive in both)
        for result in await asyncio.gather(*flushes, return_exceptions=True):
            # The server may neither take nor show what the other one has just written.
            if isinstance(result, BaseException) and not isinstance(
                result, ArchiveUnavailableError
            ):
                raise result

    assert await world.archived() == values(log)


async def test_of_many_who_delete_one_object_none_fails(bucket: str) -> None:
    sweepers = [open_archive_storage(f"s3://{bucket}/swept") for _ in range(8)]
    names = [f"object-{n}" for n in range(20)]
    for _ in range(20):
        await asyncio.gather(*(sweepers[0].create(name, b"tile") for name in names))
        await asyncio.gather(*(one.delete(*names) for one in sweepers))

        assert await sweepers[0].names("") == []


async def test_an_object_with_other_events_is_a_conflict(world: World) -> None:
    one, other = await world.opened(), await world.opened()
    feed(one, clicks(0, 10))
    feed(other, [click(n, page="other") for n in range(10)])
    await world.storage.create(
        "topics/web.clicks/partition=0/web.clicks+0+0000000000.avro", b"of somebody else"
    )

    with pytest.raises(ArchiveConflictError, match="holds other records"):
        await one.flush()


async def test_an_object_of_many_megabytes_is_kept_whole_and_written_once(bucket: str) -> None:
    storage, data = open_archive_storage(f"s3://{bucket}"), os.urandom(20 << 20)

    assert await storage.create("large", data)
    for _ in range(20):
        # The server refuses before it has read all, and hangs up.
        assert not await storage.create("large", data[::-1])
    assert await storage.get("large") == data


async def test_a_segment_of_many_megabytes_is_archived(world: World) -> None:
    archive = await world.opened()
    log = [click(n, START, page=os.urandom(1 << 20).hex()) for n in range(10)]
    feed(archive, log)

    await archive.flush()

    assert await world.archived() == values(log)


async def test_a_listing_has_thousands_of_names(bucket: str) -> None:
    storage = open_archive_storage(f"s3://{bucket}/a")
    names = [f"many/{n:05}" for n in range(5_000)]
    await asyncio.gather(*(storage.create(name, b"") for name in names))

    assert await storage.names("many") == names
    await storage.delete(*names[1:])
    assert await storage.names("many") == names[:1]


async def test_a_write_whose_answer_was_lost_counts_as_written(
    s3: S3, bucket: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LosingProxy(s3.port, losses=3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        world.storage = open_archive_storage(f"s3://{bucket}/lossy")
        archive = await world.opened()
        feed(archive, clicks(0, 40))
        while await archive.flush() < 40:
            pass

        assert proxy.lost == 3
        assert await world.archived() == values(clicks(0, 40))
