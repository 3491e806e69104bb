"""The command in processes of its own: killed, interrupted, two at a time, and watched."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from fastdata import load
from fastdata.archive import open_archive_storage
from fastdata.store.opening import open_store
from fastdata.store.protocol import ServingStore
from tests.batch.sales import Key, Numbers, Sale, Sales, count

pytestmark = pytest.mark.processes

COMMAND = [sys.executable, "-c", "from fastdata.cli.main import main; main()", "replay"]
ROOT = Path(__file__).parents[2]
# 20 hours of a day, 20 events each.
OLD = [Sale(f"o{n}", n * 3 % 1200, "north", n, f"b{n % 7}") for n in range(400)]
NEW = [Sale(f"n{n}", n * 7 % 1200, "south", n, f"b{n % 5}") for n in range(400)]


@pytest.fixture
def world(tmp_path: Path) -> Sales:
    return Sales(tmp_path, open_archive_storage(str(tmp_path / "archive")), segment_size=100)


@pytest.fixture
async def database(world: Sales) -> AsyncIterator[ServingStore]:
    async with open_store(f"sqlite:///{world.folder / 'store.db'}") as store:
        yield store


def start(
    world: Sales, *options: str, failpoints: str = "", store: str = ""
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FASTDATA_AGENTS": str(world.folder / "agents"),
        "FASTDATA_ARCHIVE": str(world.folder / "archive"),
        "FASTDATA_STORE": store or f"sqlite:///{world.folder / 'store.db'}",
        "FASTDATA_FAILPOINTS": failpoints,
    }
    return subprocess.Popen(
        [*COMMAND, *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


async def test_the_command_reports_as_json(world: Sales, database: ServingStore) -> None:
    await world.archive(OLD)

    code, out, err = finish(start(world, "--metric", "by_shop", "--json"))

    assert (code, err) == (0, "")
    (metric,) = json.loads(out)["metrics"]
    assert (metric["recomputed"], metric["events"], metric["totals"]) == (20, 400, 400)
    assert await world.shown(database) == count({0: OLD})


async def test_an_unknown_metric_is_an_error_that_names_those_there_are(world: Sales) -> None:
    code, _, err = finish(start(world, "--metric", "by_shops"))

    assert code == 1
    assert "did you mean 'by_shop'?" in err


async def test_a_replay_killed_while_it_writes_is_resumed(
    world: Sales, database: ServingStore
) -> None:
    await world.archive(OLD)
    assert finish(start(world, "--metric", "by_shop"))[0] == 0
    await world.archive(NEW)

    killed = finish(start(world, "--metric", "by_shop", failpoints="store.after_totals=kill"))
    between = await world.shown(database)
    code, out, _ = finish(start(world, "--resume", "--metric", "by_shop", "--json"))

    assert killed[0] == -signal.SIGKILL
    assert between == count({0: OLD})
    assert code == 0
    assert json.loads(out)["metrics"][0]["run"] == 2
    assert await world.shown(database) == count({0: OLD + NEW})


async def test_two_replays_at_once_give_one_result(world: Sales, database: ServingStore) -> None:
    await world.archive(OLD)
    await world.archive(NEW, partition=1)

    both = [start(world, "--workers", "0", "--json") for _ in range(2)]
    ended = [finish(process) for process in both]

    assert [code for code, _, _ in ended] == [0, 0]
    assert await world.shown(database) == count({0: OLD, 1: NEW})
    heads = await world.heads(database)
    assert {head.coverage.dump() for head in heads.values()} == {'{"0": 4, "1": 4}'}


def by_hour(shown: dict[Key, Numbers]) -> dict[int, dict[Key, Numbers]]:
    hours: dict[int, dict[Key, Numbers]] = {}
    for key, numbers in shown.items():
        hours.setdefault(key[0] // 3_600_000, {})[key] = numbers
    return hours


async def test_readers_during_a_replay_see_each_hour_old_or_new(
    world: Sales, database: ServingStore
) -> None:
    await world.archive(OLD)
    await world.replay(database)
    await world.archive(NEW)
    old, new = by_hour(count({0: OLD})), by_hour(count({0: OLD + NEW}))

    process = start(world, "--workers", "0")
    readings = []
    while process.poll() is None:
        readings.append(by_hour(await world.shown(database)))
    readings.append(by_hour(await world.shown(database)))

    assert finish(process)[0] == 0
    assert len(readings) > 2
    for reading in readings:
        assert reading.keys() == old.keys()
        assert all(reading[hour] in (old[hour], new[hour]) for hour in reading)
    assert readings[-1] == new


async def test_ctrl_c_leaves_the_run_to_be_resumed(world: Sales, database: ServingStore) -> None:
    await world.archive(OLD)
    text = world.file.read_text()
    slow = text.replace("    return None if", "    time.sleep(0.05)\n    return None if")
    world.file.write_text("import time\n" + slow)
    # Another map function makes another metric; this file is not loaded by the command.
    twin = world.folder / "agents" / "_twin.py"
    twin.write_text(world.file.read_text())
    metric = load(twin).by_shop.id

    process = start(world, "--workers", "1", "--metric", "by_shop")
    while process.poll() is None and await database.last_run(metric) is None:
        continue
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    run = await database.last_run(metric)

    assert code == 130, err
    said = "interrupted: what is published stays; fastdata replay --resume finishes it"
    assert err.strip() == said
    assert run is not None
    assert not run.is_done


async def test_a_schedule_runs_until_it_is_terminated(world: Sales, database: ServingStore) -> None:
    await world.archive(OLD)
    process = start(world, "--every", "1d", "--window", "36500d", "--metric", "by_shop", "--json")
    assert process.stdout is not None
    first = json.loads(await asyncio.to_thread(process.stdout.readline))

    process.send_signal(signal.SIGTERM)

    assert finish(process) == (0, "", "")
    assert first["replay"]["metrics"][0]["recomputed"] == 20
    assert (first["error"], first["older"], first["overrun"]) == (None, {}, False)
    assert first["next"].endswith("T00:00:00Z")
    assert await world.shown(database) == count({0: OLD})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_schedule_ends_within_a_run_and_the_next_one_finishes_it(
    world: Sales, database: ServingStore, number: signal.Signals
) -> None:
    await world.archive(OLD)
    options = ("--every", "1d", "--window", "36500d", "--metric", "by_shop")
    process = start(world, *options, "--max-writes-per-s", "1")
    while process.poll() is None and await database.last_run(world.by_shop.id) is None:
        continue
    process.send_signal(number)
    code, _, err = await asyncio.to_thread(finish, process)
    between = await world.shown(database)

    again = start(world, *options, "--json")
    assert again.stdout is not None
    line = json.loads(await asyncio.to_thread(again.stdout.readline))
    again.terminate()

    assert (code, err) == (0, "stopping; what is published stays, and the next start goes on\n")
    assert between == {}
    assert finish(again)[0] == 0
    assert line["resumed"]["metrics"][0]["run"] == 1
    assert await world.shown(database) == count({0: OLD})


@pytest.mark.parametrize("workers", ["0", "1"])
async def test_a_schedule_does_not_wait_for_a_job(world: Sales, workers: str) -> None:
    await world.archive(OLD)
    mark = world.folder / "folding"
    slow = f"    open({str(mark)!r}, 'w').close(); time.sleep(60)\n    return None if"
    text = world.file.read_text().replace("    return None if", slow)
    world.file.write_text("import time\n" + text)
    options = ("--every", "1d", "--window", "36500d", "--metric", "by_shop")
    process = start(world, *options, "--workers", workers)
    while process.poll() is None and not mark.exists():
        continue

    process.send_signal(signal.SIGTERM)

    assert finish(process)[0] == 0


async def test_a_schedule_that_ends_slowly_ends_well(world: Sales) -> None:
    await world.archive(OLD)
    slow = "import time\n\nclass Slow:\n    def __del__(self):\n        time.sleep(3)\n\n"
    world.file.write_text(slow + world.file.read_text() + "\nslow = Slow()\n")
    process = start(world, "--every", "1d", "--metric", "by_shop", "--json", "--workers", "0")
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline)

    process.terminate()

    assert finish(process)[0] == 0


async def test_a_schedule_outlives_a_store_that_is_away(world: Sales) -> None:
    await world.archive(OLD)
    process = start(world, "--every", "1d", "--json", store="sqlite:////nowhere/at/all.db")
    assert process.stdout is not None
    line = json.loads(await asyncio.to_thread(process.stdout.readline))
    process.terminate()

    assert finish(process)[0] == 0
    assert "its folder does not exist" in line["error"]
    assert line["replay"] is None


async def test_the_workers_of_a_killed_replay_end(world: Sales, database: ServingStore) -> None:
    await world.archive(OLD)
    process = start(world, "--workers", "2", failpoints="batch.before_flip=kill")
    children: set[int] = set()
    while process.poll() is None:
        try:
            children |= {child.pid for child in psutil.Process(process.pid).children()}
        except psutil.NoSuchProcess:
            break

    assert finish(process)[0] == -signal.SIGKILL
    assert children
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in children if psutil.pid_exists(pid)], timeout=60
    )
    assert alive == []
