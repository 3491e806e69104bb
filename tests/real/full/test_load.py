"""Workers that always have more to do than they can, and are killed, on Kafka and either store."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.chaos.killing import FAILPOINTS, FULL, KILLS, Kill, Load, Scenario, plan
from tests.chaos.reading import PatientReader
from tests.chaos.stream import AGENTS, SLOW, SMALL, Stage
from tests.real.full.conftest import APP
from tests.support.lab import PARTITIONS
from tests.support.services.kafka import Kafka
from tests.support.supervising import JOINING, children

pytestmark = pytest.mark.timeout(1800)

SLOW_LOAD = Load(per_s=20_000, backlog=20_000, gate=1_000)
Staging = Callable[..., Stage]

of_kills = pytest.mark.parametrize(
    "kills",
    [5, pytest.param(KILLS, marks=[pytest.mark.nightly, pytest.mark.timeout(0)], id="many")],
)


@pytest.fixture
def staging(request: pytest.FixtureRequest, tmp_path: Path, kafka: Kafka) -> Staging:
    """Makes a stage of a class, on a store."""

    def make(kind: type[Stage], store: str, app: str = APP, agents: str = AGENTS) -> Stage:
        topic = re.sub(r"\W|_", "-", tmp_path.name)
        kafka.create(topic, PARTITIONS, retention_ms="-1")
        settings = {}
        if store != "sqlite":
            url = request.getfixturevalue(store).url(f"load_{uuid4().hex[:8]}")
            settings["FASTDATA_STORE"] = url
        return kind(tmp_path, kafka.bootstrap, topic, len(topic), app, agents, **settings)

    return make


class LongStage(Stage):
    """A stage with longer segments, so that a flush has some events of each cell."""

    segment = 10_000


class ProcessesStage(LongStage):
    """A stage whose workers are two processes below one."""

    def start(self, app: str = "", **environment: str) -> "subprocess.Popen[bytes]":
        joining = JOINING.replace("SESSION_MS", "3000")
        (self.folder / "agents/joining.py").write_text(joining)
        own = {"FASTDATA_APPLICATION_ID": self.topic}
        with (self.folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "fastdata", "worker", "--processes", "2"],
                cwd=self.folder, env=self.environment | own | environment,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip


class ProcessesScenario(Scenario):
    """One of the processes is killed, which the one above starts again; or that one is."""

    async def _kill(self, kill: Kill) -> int:
        if kill.is_early:
            return await super()._kill(kill)
        await self.until(lambda: self.reader.progress >= self._gate)
        await asyncio.sleep(self._rng.random())
        above = self.workers[0].pid
        await self.until(lambda: bool(children(above)))
        os.kill(self._rng.choice(children(above)), signal.SIGKILL)
        return 0

    def _start_again(self, index: int) -> None:
        if self.workers[index].poll() is not None:
            super()._start_again(index)


async def kill_all(scenario: Scenario, kills: list[Kill]) -> None:
    """Kill, work off what was sent, and compare all of it."""
    async with scenario.running():
        await scenario.kill_all(kills)
        await scenario.drain()
    scenario.check()
    assert scenario.kills == len(kills)
    # A kill at a random moment finds workers that have not got anywhere near the end of the log.
    assert sorted(scenario.behind)[len(kills) // 2] >= scenario.reader.stage.segment // 10


@of_kills
@pytest.mark.parametrize(
    ("share", "workers", "wiping", "store"),
    [(0.3, 1, 0.1, "sqlite"), (0.3, 2, 0.1, "postgres")],
    ids=["one worker", "two workers"],
)
async def test_workers_that_are_killed_at_full_load_lose_and_repeat_nothing(
    staging: Staging, share: float, workers: int, wiping: float, store: str, kills: int
) -> None:
    stage = staging(LongStage, store)
    scenario = Scenario(stage, workers, PatientReader(stage), FULL)

    await kill_all(scenario, plan(share, *FAILPOINTS, wiping=wiping, kills=kills))


@of_kills
async def test_processes_that_are_killed_at_full_load_lose_and_repeat_nothing(
    staging: Staging, kills: int
) -> None:
    stage = staging(ProcessesStage, "sqlite")
    scenario = ProcessesScenario(stage, 1, PatientReader(stage), FULL)

    await kill_all(scenario, plan(0.4, kills=kills))


@of_kills
async def test_slow_workers_with_full_queues_that_are_killed_never_stand_still(
    staging: Staging, kills: int
) -> None:
    """20 ms for each message of Faust, which is a hundred events here."""
    app, agents = APP + SMALL.format(records=100), AGENTS + SLOW.format(each_s=0.0002)
    stage = staging(LongStage, "sqlite", app, agents)
    scenario = Scenario(stage, 2, PatientReader(stage), SLOW_LOAD)

    await kill_all(scenario, plan(0.3, *FAILPOINTS, wiping=0.3, kills=kills))
