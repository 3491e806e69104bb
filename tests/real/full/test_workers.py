"""Workers that are killed, sleep, come and go, on Kafka and a Cassandra that syncs its log."""

import os
import signal

import pytest

from tests.chaos.killing import FAILPOINTS, Scenario, plan
from tests.chaos.stream import Stage
from tests.real.kafka.test_rebalances import *  # noqa: F403  (the same, on the stage here)

pytestmark = pytest.mark.timeout(1800)

KILLS = int(os.environ.get("FASTDATA_TEST_KILLS", "8"))


@pytest.mark.parametrize(
    ("share", "workers", "wiping"),
    [(0.4, 1, 0.0), (0.2, 1, 0.7), (0.4, 2, 0.3)],
    ids=["one worker", "one worker that loses its disk", "two workers"],
)
async def test_a_worker_that_is_killed_loses_and_repeats_nothing(
    stage: Stage, share: float, workers: int, wiping: float
) -> None:
    scenario = Scenario(stage, workers)
    async with scenario.running():
        await scenario.kill_all(plan(share, *FAILPOINTS, wiping=wiping, kills=KILLS))
        await scenario.drain()

    scenario.check()
    assert scenario.replaced == 0


async def test_a_worker_that_sleeps_while_another_takes_over_changes_nothing_when_it_wakes_up(
    stage: Stage,
) -> None:
    scenario = Scenario(stage, workers=2)
    async with scenario.running():
        for index in range(2):
            await scenario.have_folded(300)
            sleeper = scenario.workers[index]
            sleeper.send_signal(signal.SIGSTOP)
            await scenario.have_folded_all()
            sleeper.send_signal(signal.SIGCONT)
        await scenario.drain()

    scenario.check()
    assert scenario.replaced == 0
