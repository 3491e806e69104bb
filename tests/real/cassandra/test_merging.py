"""What the store relies on: how Cassandra merges rows, whatever the order of arrival."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from cassandra.cluster import Session

from fastdata import failpoints
from fastdata.coordinates.segments import Coverage
from fastdata.errors import StoreUnavailableError
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Progress, ServingStore
from tests.store.samples import (
    METRIC,
    NOON,
    ONE,
    TOPIC,
    TWO,
    covering,
    partial,
    publish,
    read,
    totals,
)
from tests.support.services.cassandra import Cassandra


@pytest.fixture
async def store(cassandra: Cassandra, keyspace: str) -> AsyncIterator[ServingStore]:
    async with open_store(cassandra.url(keyspace)) as store:
        yield store


async def cover(store: ServingStore, segments: int) -> None:
    """Publish two versions, so that a clean-up may drop what the first one has."""
    for end in (segments, segments + 1):
        await publish(store, covering(p0=end))


async def test_of_equal_stamps_one_row_stays_whole(store: ServingStore) -> None:
    rows = [partial(stamp=7, state=state) for state in (b"aaaa", b"zz", b"mmmmmm")]
    await asyncio.gather(*(store.upsert([row], []) for row in rows))
    assert [b"zz"] == [p.state for p in await store.partials(METRIC, NOON, ONE)]


async def test_of_equal_offsets_the_later_report_stays(store: ServingStore) -> None:
    reports = [Progress(TOPIC, 0, 5, w, u) for w, u in ((1 << 40, 255), (-1, 256), (9, -5))]
    await asyncio.gather(*(store.upsert([], [report]) for report in reports))
    assert [reports[1]] == list(await store.progress(TOPIC))


async def test_what_was_dropped_stays_dead(store: ServingStore) -> None:
    await store.upsert([partial(segment=n, stamp=10 * n + 9) for n in (0, 1, 2)], [])
    await cover(store, 2)
    assert 2 == await store.clean_up(METRIC, NOON, TWO)
    zombies = [partial(segment=0, stamp=9), partial(segment=1, stamp=15)]
    await store.upsert(zombies, [])
    assert [2] == [p.segment for p in await store.partials(METRIC, NOON, TWO)]


async def test_a_place_that_was_forgotten_is_found_again(store: ServingStore) -> None:
    await store.upsert([partial(segment=1, stamp=19)], [])
    await cover(store, 2)
    assert 1 == await store.clean_up(METRIC, NOON, TWO)
    await store.upsert([partial(segment=3, stamp=31)], [])
    assert [3] == [p.segment for p in (await read(store)).partials]


async def test_a_place_without_partials_is_none(
    store: ServingStore, plain: Session, keyspace: str
) -> None:
    """A worker may die between noting a place and writing into it."""
    await store.upsert([partial()], [])
    plain.execute(f"TRUNCATE {keyspace}.partials")
    assert not await store.has_partials(METRIC)


async def test_a_covered_place_is_not_kept(
    store: ServingStore, plain: Session, keyspace: str
) -> None:
    await store.upsert([partial(segment=1), partial(ONE, segment=1)], [])
    await cover(store, 2)
    await store.clean_up(METRIC, NOON, TWO)
    assert [ONE] == [row.span for row in plain.execute(f"SELECT span FROM {keyspace}.places")]


async def test_rows_of_an_interrupted_attempt_are_dropped(
    store: ServingStore, plain: Session, keyspace: str
) -> None:
    failpoints.set_action("store.after_totals", "raise")
    with pytest.raises(failpoints.FailpointError):
        await store.write_totals(METRIC, 7, {NOON: totals(NOON, b"a", b"b")})
    left = f"SELECT count(*) FROM {keyspace}.totals"
    assert 2 == plain.execute(left).one()[0]
    await store.clean_up(METRIC, NOON, ONE)
    assert 0 == plain.execute(left).one()[0]


async def test_rows_of_a_superseded_attempt_are_dropped_once_its_version_is_published(
    store: ServingStore, plain: Session, keyspace: str
) -> None:
    run = await store.open_run(METRIC, NOON, ONE, Coverage())
    for states in ([b"a", b"b"], [b"c"]):
        await store.write_totals(METRIC, run.number, {NOON: totals(NOON, *states)})
    await store.clean_up(METRIC, NOON, ONE)
    left = f"SELECT count(*) FROM {keyspace}.totals"
    assert 3 == plain.execute(left).one()[0]
    await store.publish(METRIC, [Flip(NOON, None, run.number, covering(p0=1), 1)])
    await store.clean_up(METRIC, NOON, ONE)
    assert 1 == plain.execute(left).one()[0]
    assert [b"c"] == [total.state for total in (await read(store)).totals]


async def test_an_attempt_that_a_clean_up_dropped_cannot_be_completed(
    cassandra: Cassandra, store: ServingStore, plain: Session, keyspace: str
) -> None:
    many = {NOON: totals(NOON, *[bytes(10_000)] * 1_500)}
    async with open_store(f"{cassandra.url(keyspace)}&writes_per_s=1000") as slow:
        writing = asyncio.create_task(slow.write_totals(METRIC, 7, many))
        left = f"SELECT window FROM {keyspace}.totals LIMIT 1"
        async with asyncio.timeout(120):
            while not plain.execute(left).one():  # noqa: ASYNC110 - in the node
                await asyncio.sleep(0.01)
        await store.clean_up(METRIC, NOON, ONE)
        with pytest.raises(StoreUnavailableError, match="write them again"):
            await writing
    assert plain.execute(left).one() is None


async def test_a_rate_is_kept(cassandra: Cassandra, keyspace: str) -> None:
    async with open_store(f"{cassandra.url(keyspace)}&writes_per_s=1000") as slow:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await slow.write_totals(METRIC, 7, {NOON: totals(NOON, *[b"x"] * 2_000)})
        assert 1.5 < loop.time() - started
