"""Workers that are killed, sleep, come and go, on Kafka and a Cassandra that syncs its log."""

import asyncio
import logging
import time

import pytest

from fastdata.speed.watchdog import EXIT_FAILED
from tests.chaos.killing import FAILPOINTS, KILLS, Scenario, plan
from tests.chaos.reading import Reader
from tests.chaos.stream import Stage
from tests.real.kafka.groups import Group
from tests.support.services.cassandra import Cassandra
from tests.support.services.kafka import Kafka

pytestmark = pytest.mark.timeout(1800)

logger = logging.getLogger(__name__)


@pytest.mark.parametrize(
    "kills",
    [5, pytest.param(KILLS, marks=[pytest.mark.nightly, pytest.mark.timeout(0)], id="many")],
)
@pytest.mark.parametrize(
    ("share", "workers", "wiping"),
    [(0.4, 1, 0.0), (0.2, 1, 0.7), (0.4, 2, 0.3)],
    ids=["one worker", "one worker that loses its disk", "two workers"],
)
async def test_a_worker_that_is_killed_loses_and_repeats_nothing(
    stage: Stage, share: float, workers: int, wiping: float, kills: int
) -> None:
    scenario = Scenario(stage, workers)
    async with scenario.running():
        await scenario.kill_all(plan(share, *FAILPOINTS, wiping=wiping, kills=kills))
        await scenario.drain()

    scenario.check()


async def test_workers_that_come_go_and_die_lose_and_repeat_nothing(
    stage: Stage, kafka: Kafka
) -> None:
    scenario = Scenario(stage, workers=2)
    group = Group(kafka.bootstrap, stage.topic)
    async with scenario.running():
        await scenario.until(lambda: len(group.shares()) == 2)
        await scenario.have_folded_all()
        scenario.workers.append(stage.start())
        await scenario.until(lambda: len(group.shares()) == 3)
        await scenario.have_folded_all()
        await scenario.stop_one()
        await scenario.until(lambda: len(group.shares()) == 2)
        await scenario.have_folded_all()
        victim = scenario.workers.pop()
        victim.kill()
        await asyncio.to_thread(victim.wait)
        began = time.monotonic()
        await scenario.have_folded_all()
        takeover_s = time.monotonic() - began
        await scenario.drain()

    scenario.check()
    assert scenario.replaced == 0
    logger.info("the partitions of a killed worker were read again after %.1f s", takeover_s)


async def test_a_worker_that_sleeps_while_another_takes_over_changes_nothing_when_it_wakes_up(
    stage: Stage,
) -> None:
    scenario = Scenario(stage, workers=2)
    async with scenario.running():
        for index in range(2):
            await scenario.let_sleep(index)
        await scenario.drain()

    scenario.check()


async def test_a_store_that_is_killed_has_what_it_acknowledged_when_it_is_back(
    stage: Stage, durable_cassandra: Cassandra
) -> None:
    reader = Reader(stage)
    for _ in range(2):
        stage.send_next(300)
        with stage.worker() as worker:
            stage.learn()
            stage.wait_until_folded(stage.sent)
            stage.send_next(300)
            await asyncio.sleep(stage.rng.random())  # any moment
            durable_cassandra.kill()
            stage.send_next(300)
            stage.learn()
            assert worker.wait(180) == EXIT_FAILED
            durable_cassandra.start()
        await reader.ask()
        assert "fastdata ends this worker: flushing" in (stage.folder / "worker.log").read_text()
    with stage.worker():
        stage.wait_until_folded(stage.sent)
    await reader.ask()
    reader.check_complete()
