"""kill -9 of a worker, over and over, while events come and a reader asks."""

import pytest

from tests.chaos.killing import FAILPOINTS, Scenario, plan
from tests.chaos.stream import Stage

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(0)]


async def test_a_worker_that_is_killed_loses_and_repeats_nothing(stage: Stage) -> None:
    scenario = Scenario(stage)
    async with scenario.running():
        await scenario.kill_all(plan(0.4, *FAILPOINTS))
        await scenario.drain()

    scenario.check()


async def test_a_worker_that_loses_its_disk_each_time_goes_on_from_the_changelog(
    stage: Stage,
) -> None:
    scenario = Scenario(stage)
    async with scenario.running():
        await scenario.kill_all(plan(0.2, *FAILPOINTS, wiping=0.7))
        await scenario.drain()

    scenario.check()
