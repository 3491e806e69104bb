"""The contract on SQLite, and what only a file of several processes can show."""

import asyncio
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.coordinates.segments import Coverage
from fastdata.errors import (
    CommitUnknownError,
    SpanConflictError,
    StoreError,
    StoreLostError,
    StoreUnavailableError,
)
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import Flip, Gap, Partial, Progress, ServingStore
from fastdata.store.sql.dialect import NONE, READ
from fastdata.store.sql.sqlite import Sqlite
from fastdata.store.sql.store import SqlStore
from tests.store.contract import StoreContract
from tests.store.processes import finish, start
from tests.store.samples import (
    METRIC,
    NOON,
    ONE,
    TOPIC,
    TWO,
    UNFOLDED,
    check_whole,
    covering,
    partial,
    publish,
    read,
    totals,
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


async def test_what_is_written_goes_to_the_file_that_is_there(url: str, tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    had = Progress(TOPIC, 0, 90, 5, 1)
    async with open_store(url) as store:
        await store.upsert([partial()], [had])
        file.rename(tmp_path / "moved.db")
        with pytest.raises(StoreUnavailableError, match="removed"):
            await store.upsert([partial(stamp=1)], [had], expected=[had])
        assert not file.exists()
        async with open_store(url):
            with pytest.raises(StoreLostError):
                await store.upsert([partial(stamp=1)], [had], expected=[had])
            await store.upsert([partial(stamp=1)], [had])
        async with open_store(url, create=False) as reader:
            assert [1] == [p.stamp for p in await reader.partials(METRIC, NOON, ONE)]


class TestSqlite(StoreContract):
    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[ServingStore]:
        async with open_store(url) as store:
            yield store


def file_url(path: Path) -> URL:
    return URL.create("sqlite+aiosqlite", database=str(path))


def impatient(path: Path) -> SqlStore:
    """A store that waits for other writers only shortly."""
    return SqlStore(Sqlite(file_url(path), 0.05))


async def test_a_store_is_there_after_it_was_closed(url: str) -> None:
    async with open_store(url) as store:
        await store.upsert([partial(stamp=4)], [Progress(TOPIC, 0, 5, 6, 7)])
        await publish(store, covering(p0=0), b"a")
    async with open_store(url, create=False) as store:
        reading = await read(store)
    assert [partial(stamp=4)] == list(reading.partials)
    assert totals(NOON, b"a") == list(reading.totals)
    assert [Progress(TOPIC, 0, 5, 6, 7)] == list(reading.progress)


UNCLOSED = """
import asyncio, sys
from fastdata.store.opening import open_store

opened = []

async def leave():
    opened.append(open_store(sys.argv[1]))
    await opened[0].__aenter__()
    await opened[0].progress("topic")

asyncio.run(leave())
"""


def test_a_store_that_nobody_closed_does_not_keep_its_process(url: str) -> None:
    program = [sys.executable, "-c", UNCLOSED, url]

    assert subprocess.run(program, check=False, timeout=60, capture_output=True).returncode == 0


async def test_run_numbers_are_never_used_again(url: str, tmp_path: Path) -> None:
    async with open_store(url) as store:
        first = await store.open_run(METRIC, NOON, TWO, Coverage())
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("DELETE FROM runs")
    connection.close()
    async with open_store(url) as store:
        assert (await store.open_run(METRIC, NOON, TWO, Coverage())).number > first.number


@pytest.mark.processes
async def test_no_reader_sees_half_a_version_of_another_process(url: str) -> None:
    async with open_store(url) as store:
        process = start(url, "await flip_for_a_while(store, 150)")
        seen = [0]
        while process.poll() is None:
            seen.append(check_whole(await read(store)))
        finish(process)
        assert sorted(seen) == seen
        assert len(set(seen)) > 5
        assert 150 == check_whole(await read(store))


@pytest.mark.processes
async def test_processes_that_start_together_use_one_store(url: str) -> None:
    code = (
        "print(await asyncio.gather(publish(store, covering(p0=3), b'x', b'y'),"
        " return_exceptions=True))"
    )
    outcomes = [finish(process).strip() for process in [start(url, code) for _ in range(3)]]
    async with open_store(url) as store:
        version = (await store.heads(METRIC, NOON, ONE))[NOON].version
        assert totals(NOON, b"x", b"y") == list((await read(store)).totals)
        assert 4 == (await store.open_run(METRIC, NOON, ONE, Coverage())).number
    # One that found the head of another replaced it in turn, or lost the race to it.
    assert f"[{version}]" in outcomes
    assert all(re.fullmatch(r"\[\d\]|\[SpanConflictError.*", outcome) for outcome in outcomes)


async def test_stores_that_open_together_make_one_store(tmp_path: Path) -> None:
    for n in range(10):
        stores = [open_store(f"sqlite:///{tmp_path / f'{n}.db'}") for _ in range(6)]
        opened = await asyncio.gather(*(store.__aenter__() for store in stores))
        runs = [await store.open_run(METRIC, NOON, TWO, Coverage()) for store in opened]
        assert [1, 2, 3, 4, 5, 6] == [run.number for run in runs]
        await asyncio.gather(*(store.__aexit__() for store in opened))


@pytest.mark.processes
async def test_a_flush_does_not_wait_for_a_whole_replay(url: str) -> None:
    code = (
        "rows = [Total(NOON, str(i), bytes(100)) for i in range(4_000)]; "
        "[await store.write_totals(METRIC, n, {NOON + i: rows for i in range(10)}) for n in (1, 2)]"
    )
    async with open_store(url) as store:
        process = start(url, code)
        longest, flushes = 0.0, 0
        while process.poll() is None:
            began = time.monotonic()
            await store.upsert([partial(stamp=flushes)], [])
            longest, flushes = max(longest, time.monotonic() - began), flushes + 1
        finish(process)
    assert flushes > 10
    assert longest < 3


async def test_a_failed_upsert_writes_nothing(url: str, tmp_path: Path) -> None:
    async with open_store(url) as store:
        with sqlite3.connect(tmp_path / "store.db") as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON progress"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        connection.close()
        with pytest.raises(StoreUnavailableError, match="no room"):
            await store.upsert([partial()], [Progress(TOPIC, 0, 1, 1, 1)])
        assert [] == list(await store.partials(METRIC, NOON, ONE))


async def test_a_cancelled_call_keeps_no_lock(tmp_path: Path) -> None:
    rows = [partial(segment=n, state=bytes(200)) for n in range(10_000)]
    async with SqlStore(Sqlite(file_url(tmp_path / "store.db"), 1.0)) as store:
        for after in range(40):
            call = asyncio.create_task(store.upsert(rows, []))
            await asyncio.wait([call], timeout=after / 500)
            call.cancel()
            # What it raised refers to the frames that held the connection.
            (kept,) = await asyncio.gather(call, return_exceptions=True)
            await store.upsert([partial(NOON + MINUTE_MS, stamp=after)], [])
            assert kept is None or isinstance(kept, asyncio.CancelledError)
            assert len(await store.partials(METRIC, NOON, ONE)) in (1, 1 + len(rows))


async def test_a_locked_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with impatient(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="another process keeps it locked"):
            await store.upsert([partial()], [])
        assert [] == list((await read(store)).partials)
        other.execute("ROLLBACK")
        other.close()
        await store.upsert([partial()], [])
        assert [partial()] == list((await read(store)).partials)


async def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    store = impatient(tmp_path / "store.db")

    async with store:
        await store.upsert([partial()], [])
        async with store._transaction("limit", NONE) as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=40")
        with pytest.raises(StoreUnavailableError, match="disk is full"):
            await store.upsert([partial(segment=1, state=bytes(1 << 20))], [])
        assert [partial()] == list((await read(store)).partials)


async def test_a_commit_that_fails_has_an_unknown_outcome(url: str, tmp_path: Path) -> None:
    async with open_store(url) as store:
        assert isinstance(store, SqlStore)
        with sqlite3.connect(tmp_path / "store.db") as connection:
            connection.executescript(
                "CREATE TABLE child (of REFERENCES layout DEFERRABLE INITIALLY DEFERRED);"
                "CREATE TRIGGER late AFTER INSERT ON gaps BEGIN INSERT INTO child VALUES (99); END"
            )
        connection.close()
        async with store._transaction("switch on", NONE) as switch:
            await switch.exec_driver_sql("PRAGMA foreign_keys=ON")
        with pytest.raises(CommitUnknownError, match="do it again") as caught:
            await store.record_gap(Gap(TOPIC, 0, 1, 2))
        assert caught.value.retriable
        assert caught.value.__cause__ is not None


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path, url: str) -> None:
    (tmp_path / "store.db").write_bytes(b"these are notes, and no database at all\n" * 100)
    with pytest.raises(StoreUnavailableError, match="no SQLite database"):
        await open_store(url).__aenter__()


async def test_a_folder_in_place_of_the_file_is_a_clear_error(tmp_path: Path, url: str) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreUnavailableError, match="check that the folder exists"):
        await open_store(url).__aenter__()


async def test_a_store_of_another_layout_is_refused(tmp_path: Path, url: str) -> None:
    async with open_store(url):
        pass
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE layout SET version = 7")
    connection.close()
    for create in (True, False):
        with pytest.raises(StoreError, match="layout 7, this fastdata needs 2"):
            await open_store(url, create).__aenter__()


async def test_a_reader_makes_no_store_of_an_empty_file(tmp_path: Path, url: str) -> None:
    (tmp_path / "store.db").touch()
    with pytest.raises(StoreUnavailableError, match="start a worker or a replay first"):
        await open_store(url, create=False).__aenter__()
    assert b"" == (tmp_path / "store.db").read_bytes()


async def test_the_file_is_as_safe_and_as_parallel_as_promised(url: str) -> None:
    async with open_store(url) as store:
        assert isinstance(store, SqlStore)
        async with store._transaction("look", READ) as connection:
            settings = [
                (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "busy_timeout")
            ]
    assert ["wal", 1, 30_000] == settings


Step = Callable[[ServingStore], Awaitable[object]]

spans = st.sampled_from([-HOUR_MS, NOON, ONE])
coverages = st.dictionaries(st.integers(0, 1), st.integers(1, 4)).map(Coverage)
partials = st.builds(
    partial,
    st.builds(lambda span, minute: span + minute * MINUTE_MS, spans, st.integers(0, 59)),
    segment=st.integers(0, 4),
    stamp=st.integers(0, 9),
    partition=st.integers(0, 1),
    metric=st.sampled_from([METRIC, UNFOLDED]),
)


def upserting(rows: list[Partial]) -> Step:
    progress = [Progress(TOPIC, p.partition, p.stamp, 0, 0) for p in rows]
    return lambda store: store.upsert(rows, progress)


def publishing(span: int, coverage: Coverage, rows: int, close: bool) -> Step:
    return lambda store: publish(store, coverage, *[b"t"] * rows, span=span, close=close)


def relabelling(span: int, coverage: Coverage) -> Step:
    async def step(store: ServingStore) -> object:
        head = (await store.heads(METRIC, span, span + HOUR_MS)).get(span)
        expected = (head.version, head.coverage) if head else None
        flip = Flip(span, expected, head.version if head else 0, coverage, None)
        try:
            await store.publish(METRIC, [flip])
        except SpanConflictError:
            return "conflict"
        return "done"

    return step


def writing(version: int, rows: dict[int, int]) -> Step:
    written = {span: totals(span, *[b"w"] * count) for span, count in rows.items()}

    async def step(store: ServingStore) -> object:
        try:
            return await store.write_totals(METRIC, version, written)
        except SpanConflictError:
            return "conflict"

    return step


steps = st.one_of(
    st.builds(upserting, st.lists(partials, max_size=8)),
    st.builds(publishing, spans, coverages, st.integers(0, 3), st.booleans()),
    st.builds(relabelling, spans, coverages),
    st.builds(writing, st.integers(1, 5), st.dictionaries(spans, st.integers(0, 3))),
    st.builds(lambda span: lambda store: store.undo(METRIC, span), spans),
    st.builds(
        lambda unfolded: lambda store: store.clean_up(METRIC, -HOUR_MS, TWO, unfolded),
        st.sampled_from(["", UNFOLDED]),
    ),
    st.builds(
        lambda start, end: lambda store: store.record_gap(Gap(TOPIC, 0, start, end)),
        st.integers(0, 2),
        st.integers(3, 6),
    ),
)


@settings(max_examples=60)
@given(st.lists(steps, max_size=14))
def test_any_history_reads_as_it_does_in_memory(history: list[Step]) -> None:
    async def run() -> None:
        with TemporaryDirectory() as folder:
            async with MemoryStore() as memory, open_store(f"sqlite:///{folder}/s.db") as file:
                for step in history:
                    assert await step(memory) == await step(file)
                assert await everything(memory) == await everything(file)

    asyncio.run(run())


async def everything(store: ServingStore) -> list[object]:
    reading = await read(store, -HOUR_MS, TWO)
    return [
        reading.heads,
        sorted(reading.totals, key=lambda t: (t.window, t.dims)),
        list(reading.partials),
        list(reading.unfolded),
        list(reading.gaps),
        list(reading.progress),
        list(await store.partials(METRIC, -HOUR_MS, TWO)),
        list(await store.partials(UNFOLDED, -HOUR_MS, TWO)),
        await store.last_run(METRIC),
    ]
