"""Several processes on one database."""

import asyncio
import json
from collections import defaultdict

import asyncpg

from fastdata.coordinates.instants import HOUR_MS
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.real.postgres.writing import KEYS, SPANS, batches
from tests.store.processes import finish, start
from tests.store.samples import METRIC, NOON, ONE, TOPIC, check_whole, read


def together(url: str, call: str, processes: int) -> list[str]:
    """Run a function of `writing` in some processes at once; what each returns."""
    code = f"from tests.real.postgres import writing; print(await writing.{call})"
    running = [start(url, code.format(n)) for n in range(processes)]
    for process in running:
        process.wait(180)
    return [finish(process) for process in running]


async def test_of_many_writers_the_larger_stamp_wins_without_deadlocks(url: str) -> None:
    expected: dict[int, int] = defaultdict(int)
    for seed in range(4):
        for row in (row for batch in batches(seed) for row in batch):
            expected[row.segment] = max(expected[row.segment], row.stamp)
    together(url, "write(store, {}, 4)", 4)

    async with open_store(url) as store:
        stored = await store.partials(METRIC, NOON, ONE)
        assert [59] == [p.next_offset for p in await store.progress(TOPIC)]
    assert KEYS == len(stored)
    assert {p.segment: (p.stamp, p.state) for p in stored} == {
        segment: (stamp, b"%d" % stamp) for segment, stamp in expected.items()
    }
    assert 0 == await deadlocks(url)


async def deadlocks(url: str) -> int:
    connection = await asyncpg.connect(url)
    asked = "select deadlocks from pg_stat_database where datname = current_database()"
    count = await connection.fetchval(asked)
    await connection.close()
    assert isinstance(count, int)
    return count


async def test_no_reader_sees_half_a_version_while_versions_flip_and_are_cleaned_up(
    url: str,
) -> None:
    async with open_store(url) as store:
        process = start(url, "await flip_for_a_while(store, 150)")
        seen = await asyncio.gather(*(watch(store, process.poll) for _ in range(3)))
        finish(process)
        for versions in seen:
            assert sorted(versions) == versions
            assert len(set(versions)) > 20
        assert 150 == check_whole(await read(store))


async def watch(store: ServingStore, has_ended: object) -> list[int]:
    assert callable(has_ended)
    seen = [0]
    while has_ended() is None:
        seen.append(check_whole(await read(store)))
    return seen


async def test_of_two_backfills_at_once_one_wins_each_span(url: str) -> None:
    won = {}
    for said in together(url, "backfill(store, {})", 2):
        number, *spans = json.loads(said)
        won[number] = spans

    assert sorted(SPANS) == sorted(span for spans in won.values() for span in spans)
    async with open_store(url) as store:
        shown = await read(store, SPANS[0], SPANS[-1] + HOUR_MS)
    of_span = {span: number for number, spans in won.items() for span in spans}
    assert of_span == {span: head.version for span, head in shown.heads.items()}
    for total in shown.totals:
        assert b"%d" % of_span[total.window // HOUR_MS * HOUR_MS] == total.state


async def test_two_processes_that_resume_one_run_do_not_mix_their_rows(url: str) -> None:
    together(url, "resume(store, {})", 2)

    async with open_store(url) as store:
        shown = await read(store, SPANS[0], SPANS[-1] + HOUR_MS)
    states = defaultdict(list)
    for total in shown.totals:
        states[total.window // HOUR_MS * HOUR_MS].append(total.state)
    assert shown.heads.keys() == states.keys()
    assert all(rows in ([b"0"] * 3, [b"1"] * 4) for rows in states.values())


async def test_processes_that_start_together_make_one_store(url: str) -> None:
    assert ["1", "2", "3", "4"] == sorted(n.strip() for n in together(url, "open_run(store)", 4))
