"""Several processes on one keyspace."""

import asyncio
import subprocess
from collections import defaultdict

import pytest

from fastdata.coordinates.instants import HOUR_MS
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.real.postgres.writing import KEYS, SPANS, backfill, batches
from tests.store.processes import finish, start
from tests.store.samples import METRIC, NOON, ONE, TOPIC, check_whole, read
from tests.support.services.cassandra import Cassandra

ROUNDS = 60


@pytest.fixture
def url(cassandra: Cassandra, keyspace: str) -> str:
    return cassandra.url(keyspace)


async def together(url: str, call: str, processes: int) -> list[str]:
    """Run a function of `writing` in some processes at once; what each returns."""
    async with open_store(url):
        pass
    code = f"from tests.real.postgres import writing; print(await writing.{call})"
    running = [start(url, code.format(n)) for n in range(processes)]
    return await asyncio.gather(*(asyncio.to_thread(finish, process) for process in running))


async def test_of_many_writers_the_larger_stamp_wins(url: str) -> None:
    expected: dict[int, int] = defaultdict(int)
    for seed in range(3):
        for row in (row for batch in batches(seed) for row in batch):
            expected[row.segment] = max(expected[row.segment], row.stamp)
    await together(url, "write(store, {}, 3)", 3)

    async with open_store(url) as store:
        stored = await store.partials(METRIC, NOON, ONE)
        assert [59] == [p.next_offset for p in await store.progress(TOPIC)]
    assert KEYS == len(stored)
    assert {p.segment: (p.stamp, p.state) for p in stored} == {
        segment: (stamp, b"%d" % stamp) for segment, stamp in expected.items()
    }


async def test_no_reader_sees_half_a_version_while_versions_flip_and_are_cleaned_up(
    url: str,
) -> None:
    async with open_store(url) as store:
        process = start(url, f"await flip_for_a_while(store, {ROUNDS})")
        seen = await asyncio.gather(*(watch(store, process) for _ in range(3)))
        finish(process)
        for versions in seen:
            assert sorted(versions) == versions
            assert len(set(versions)) > 10
        assert ROUNDS == check_whole(await read(store))


async def watch(store: ServingStore, process: "subprocess.Popen[str]") -> list[int]:
    seen = [0]
    while process.poll() is None:
        seen.append(check_whole(await read(store)))
    return seen


async def test_of_two_backfills_at_once_one_wins_each_span(url: str) -> None:
    won = {}
    async with open_store(url) as one, open_store(url) as other:
        for number, *spans in await asyncio.gather(backfill(one, 0), backfill(other, 1)):
            won[number] = spans

    assert sorted(SPANS) == sorted(span for spans in won.values() for span in spans)
    async with open_store(url) as store:
        shown = await read(store, SPANS[0], SPANS[-1] + HOUR_MS)
    of_span = {span: number for number, spans in won.items() for span in spans}
    assert of_span == {span: head.version for span, head in shown.heads.items()}
    for total in shown.totals:
        assert b"%d" % of_span[total.window // HOUR_MS * HOUR_MS] == total.state


async def test_two_processes_that_resume_one_run_do_not_mix_their_rows(url: str) -> None:
    await together(url, "resume(store, {})", 2)

    async with open_store(url) as store:
        shown = await read(store, SPANS[0], SPANS[-1] + HOUR_MS)
    states = defaultdict(list)
    for total in shown.totals:
        states[total.window // HOUR_MS * HOUR_MS].append(total.state)
    assert shown.heads.keys() == states.keys()
    assert all(rows in ([b"0"] * 3, [b"1"] * 4) for rows in states.values())


async def test_processes_that_start_together_make_one_store(url: str) -> None:
    code = "from tests.real.postgres import writing; print(await writing.open_run(store))"
    running = [start(url, code) for _ in range(3)]
    opened = await asyncio.gather(*(asyncio.to_thread(finish, process) for process in running))
    assert ["1", "2", "3"] == sorted(number.strip() for number in opened)
