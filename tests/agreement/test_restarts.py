"""Workers that end in the middle, and metrics that are declared when the topic is old."""

from pathlib import Path

import pyarrow as pa
import pytest

from fastdata import Count, Metric, Sum, Uniques, failpoints
from fastdata.answer.query import query
from fastdata.declare.metric import Measure
from fastdata.events.schema import encode
from fastdata.failpoints import FailpointError
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.agreement.driver import Log, Loop
from tests.agreement.stages import Deployment
from tests.agreement.traffic import HOUR, START

DECLARED = Path(__file__).parent / "declared"
PLACES = ("Oslo", "Rome", None)
FLUSH = ("flush.before_table", "flush.after_table", "flush.after_store", "flush.after_commit")


def deploy(folder: Path) -> Deployment:
    return Deployment(folder, DECLARED / "agents" / "clicks.py", DECLARED / "schemas")


def tidy_log(deployment: Deployment, clicks: int = 900) -> Log:
    """Three partitions of clicks in order, over six hours; each amount is another power of two."""
    log = Log(3)
    for number in range(clicks):
        at = START + 6 * HOUR * number // clicks
        click: dict[str, object] = {
            "click": f"c{number}",
            "at": at,
            "place": PLACES[number % 7 % 3],
            "user": number % 150,
            "amount": 1 << number % 40,
            "seconds": number / 3,
        }
        log.send(number % 3, encode(deployment.source.schema, click), at)
    return log


async def answer(loop: Loop, store: ServingStore, metric: int = 0) -> pa.Table:
    by = loop.metrics[metric].by
    return await query(loop.metrics[metric], every="1h", by=by, store=store)


async def fold_in_steps(loop: Loop, store: ServingStore, wipe: bool | None) -> list[pa.Table]:
    """The answer after each 50 records of each partition, with a worker for each 100 or one."""
    await loop.start(store)
    answers = []
    for step in range(6):
        for p in loop.partitions:
            loop.fold(p, 50)
        await loop.layer.flush()
        answers.append(await answer(loop, store))
        if wipe is not None and step % 2 == 0:
            for p in loop.partitions:
                loop.fold(p, 20)  # and this worker dies before it flushes them
            await loop.start(store, wipe=wipe)
            for p in loop.partitions:
                loop.fold(p, loop.committed[p] - loop.position(p))
    return answers


def without_freshness(tables: list[pa.Table]) -> list[pa.Table]:
    return [table.drop_columns(["fresh_until", "read_until"]) for table in tables]


@pytest.mark.parametrize("wipe", [False, True], ids=["state kept", "state lost"])
async def test_a_reader_does_not_notice_that_workers_die(tmp_path: Path, wipe: bool) -> None:
    deployment = deploy(tmp_path)
    async with MemoryStore() as one, MemoryStore() as other:
        expected = await fold_in_steps(deployment.loop(tidy_log(deployment)), one, None)
        answers = await fold_in_steps(deployment.loop(tidy_log(deployment)), other, wipe)
        # When the end of the log was seen depends on how often workers looked.
        assert without_freshness(expected) == without_freshness(answers)
        assert expected[-1]["clicks"].to_pylist() != expected[0]["clicks"].to_pylist()


@pytest.mark.parametrize("wipe", [False, True], ids=["state kept", "state lost"])
@pytest.mark.parametrize("failpoint", FLUSH)
async def test_a_worker_that_dies_in_a_flush_counts_each_event_once(
    tmp_path: Path, failpoint: str, wipe: bool
) -> None:
    deployment = deploy(tmp_path)
    loop = deployment.loop(tidy_log(deployment))
    async with MemoryStore() as store:
        await loop.start(store)
        loop.fold(0, 250)
        await loop.layer.flush()
        loop.fold(0, 30)
        failpoints.set_action(failpoint, "raise")
        with pytest.raises(FailpointError):
            await loop.layer.flush()
        failpoints.clear(failpoint)
        await loop.start(store, wipe=wipe)
        await loop.drain()
        table = await answer(loop, store)
        assert sum(table["clicks"].to_pylist()) == 900
        assert sum(table["amount"].to_pylist()) == sum(1 << n % 40 for n in range(900))


@pytest.mark.parametrize("url", ["memory:", "sqlite:///store.db"])
async def test_a_metric_declared_later_is_a_gap_until_it_is_replayed(
    tmp_path: Path, url: str
) -> None:
    deployment = deploy(tmp_path)
    loop = deployment.loop(tidy_log(deployment))
    async with open_store(url.replace("store.db", str(tmp_path / "store.db"))) as store:
        await loop.start(store)
        for p in loop.partitions:
            loop.fold(p, 150)
        await loop.layer.flush()
        before = await answer(loop, store)

        users: dict[str, Measure] = {
            "clicks": Count(),
            "amount": Sum("amount"),
            "users": Uniques("user"),
        }
        loop.metrics.append(Metric("users_of_places", loop.source, ["place"], users))
        await loop.start(store)
        await loop.drain()

        # The first hundred of each partition are a segment that the new metric never folded.
        young = await answer(loop, store, metric=1)
        assert sum(young["clicks"].to_pylist()) == 900 - 300
        assert set(young["gap"].to_pylist()) == {True}
        old = await answer(loop, store)
        assert set(old["gap"].to_pylist()) == {False}
        assert without_freshness([old.slice(0, 3)]) == without_freshness([before.slice(0, 3)])
        truth = dict(zip(keys(old), old["clicks"].to_pylist(), strict=True))
        for key, row in zip(keys(young), young.to_pylist(), strict=True):
            assert row["clicks_lower"] <= truth[key] <= row["clicks_upper"]

        loop.log.fill(deployment.source.segment_size)
        await loop.drain()
        await loop.archive()
        await loop.replay()
        both = [await answer(loop, store, metric) for metric in (0, 1)]
        assert both[0].select(both[1].column_names) == both[1]
        assert set(both[1]["gap"].to_pylist()) == {False}
        assert True in both[1]["exact"].to_pylist()
        assert sum(both[1]["clicks"].to_pylist()) == 900


def keys(table: pa.Table) -> list[tuple[object, object]]:
    return [(row["window_start"], row["place"]) for row in table.to_pylist()]


async def test_what_is_behind_the_watermark_after_a_crash_is_counted_once(tmp_path: Path) -> None:
    deployment = deploy(tmp_path)
    log = Log(1)
    click: dict[str, object] = {"place": None, "user": None, "amount": 1, "seconds": None}
    for number, at in enumerate((START, START + 5 * HOUR)):
        value = encode(deployment.source.schema, {**click, "click": f"c{number}", "at": at})
        log.send(0, value, at)
    loop = deployment.loop(log)
    async with MemoryStore() as store:
        await loop.start(store)
        loop.fold(0, 2)
        failpoints.set_action("flush.after_table", "raise")
        with pytest.raises(FailpointError):
            await loop.layer.flush()
        failpoints.clear("flush.after_table")
        await loop.start(store)
        await loop.drain()
        table = await answer(loop, store)
        assert [1, 1] == table["clicks"].to_pylist()
        assert [1, 1] == table["clicks_lower"].to_pylist()
