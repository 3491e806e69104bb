"""The error of the speed layer as a metric of its own."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastdata.cli.main import commands
from fastdata.coordinates.instants import DAY_MS, floor_to
from fastdata.store.memory import MemoryStore
from fastdata.store.opening import open_store
from fastdata.store.past_runs import PastRun, past_runs
from fastdata.store.protocol import ServingStore
from fastdata.verify.errors_metric import errors_of
from tests.verify.clicks import MINUTE, START, Clicks


async def careless(folder: Path, store: ServingStore | None = None) -> Clicks:
    """Eight minutes of which two get a late event, in an hour before."""
    clicks = Clicks(folder, store or MemoryStore())
    for n in range(8):
        clicks.send(n)
    clicks.send(200)
    for n in range(2):
        clicks.send(n, came=START + 200 * MINUTE)
    await clicks.fold()
    await clicks.replay()
    return clicks


async def test_it_can_be_asked_for_by_cause(tmp_path: Path) -> None:
    clicks = await careless(tmp_path)
    await clicks.verify(store_result=True)

    rows = {(row["measure"], row["cause"]): row for row in await clicks.rows("measure", "cause")}

    assert 2 == rows[None, "late"]["events"]
    assert (0, None) == (rows[None, "late"]["rows"], rows[None, "late"]["error"])
    wrong = rows["clicks", "late"]
    assert (2, 0.5, 0.5) == (wrong["rows"], wrong["error"], wrong["max_error"])
    assert 7 == rows["clicks", "none"]["rows"]
    assert 1 / 9 == pytest.approx(
        next(r["error"] for r in await clicks.rows("measure") if r["measure"] == "clicks")
    )


async def test_storing_it_again_changes_nothing(tmp_path: Path) -> None:
    clicks = await careless(tmp_path)
    await clicks.verify(store_result=True)
    before = await clicks.rows("measure", "cause", "since")
    await clicks.verify(store_result=True)
    assert before == await clicks.rows("measure", "cause", "since")


async def test_what_later_replays_add_is_added(tmp_path: Path) -> None:
    clicks = await careless(tmp_path)
    await clicks.verify(store_result=True)
    for n in range(3):
        clicks.send(n, came=START + 201 * MINUTE, id=f"d{n}")
    await clicks.fold()
    await clicks.replay()
    await clicks.verify(store_result=True)
    await clicks.verify(store_result=True)

    (row,) = [r for r in await clicks.rows("measure", "cause") if r["measure"] is None]
    assert ("late", 5) == (row["cause"], row["events"])

    await clicks.replay()
    await clicks.verify(store_result=True)
    (row,) = [r for r in await clicks.rows("measure", "cause") if r["measure"] is None]
    assert 5 == row["events"]


async def test_nothing_is_stored_unless_it_is_asked_for(tmp_path: Path) -> None:
    clicks = await careless(tmp_path)
    await clicks.verify()
    assert [] == await clicks.rows()


async def test_a_verification_is_remembered_with_how_many_hours_it_compared(
    tmp_path: Path,
) -> None:
    clicks = await careless(tmp_path)
    id = errors_of(clicks.visits).id
    await clicks.verify()
    assert [] == await past_runs(clicks.store, id)

    await clicks.verify(store_result=True, clock=lambda: 7)

    (run,) = await past_runs(clicks.store, id)
    day = floor_to(START, DAY_MS)
    assert PastRun(
        7, 0, start=day, end=day + 2 * DAY_MS, counted=2, confirmed=46, events=11
    ) == replace(run, took_s=0)


async def test_a_verification_that_compares_nothing_is_remembered(tmp_path: Path) -> None:
    clicks = Clicks(tmp_path, MemoryStore())
    clicks.send(0)
    await clicks.replay()

    await clicks.verify(store_result=True, clock=lambda: 7)

    (run,) = await past_runs(clicks.store, errors_of(clicks.visits).id)
    assert (7, 0, 24, None) == (run.began, run.counted, run.confirmed, run.error)
    assert [] == await clicks.rows()


async def test_what_nothing_explains_is_remembered(tmp_path: Path) -> None:
    clicks = await careless(tmp_path)
    await clicks.alter_total(START, [(0, 1)])

    await clicks.verify(store_result=True)

    (run,) = await past_runs(clicks.store, errors_of(clicks.visits).id)
    assert run.error is not None
    assert "differences that nothing explains" in run.error


async def test_the_errors_of_another_definition_are_apart(tmp_path: Path) -> None:
    clicks = await careless(tmp_path)
    assert f"{clicks.visits.id}:error" == errors_of(clicks.visits).id
    assert "visits:error" == errors_of(clicks.visits).name


def test_the_commands_store_and_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare() -> None:
        async with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
            await careless(tmp_path, store)

    asyncio.run(prepare())
    monkeypatch.chdir(tmp_path)

    words = ["verify", "visits", "--sample", "3", "--store-result"]
    done = CliRunner().invoke(commands, words, catch_exceptions=False)
    asked = CliRunner().invoke(
        commands, ["query", "visits:error", "--every", "all", "--by", "cause", "--format", "csv"]
    )
    counted = CliRunner().invoke(commands, ["verify", "--json"])

    assert done.exit_code == 0, done.output
    assert "events by which the layers differed: 2 late" in done.output
    assert "no unexplained difference" in done.output
    assert "clicks: 2 of 9 rows were off before the replay, by 11.111% on average" in done.output
    assert '"late"' in asked.output
    assert '"exit_code": 0' in counted.output
