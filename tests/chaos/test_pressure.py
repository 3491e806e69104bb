"""Workers that are slower than their events come, whose queues are full all the time."""

import re
from pathlib import Path

import pytest

from tests.chaos.killing import FAILPOINTS, Scenario, plan
from tests.chaos.stream import AGENTS, APP, SLOW, SMALL, Stage
from tests.support.mockbroker import MockBroker

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(0)]


@pytest.fixture
def stage(tmp_path: Path, broker: MockBroker) -> Stage:
    topic = re.sub(r"\W|_", "-", tmp_path.name)
    broker.create(topic)
    app, agents = APP + SMALL.format(records=10), AGENTS + SLOW.format(each_s=0.02)
    return Stage(tmp_path, broker.address, topic, seed=len(topic), app=app, agents=agents)


async def test_workers_with_full_queues_that_are_killed_lose_nothing_and_never_stand_still(
    stage: Stage,
) -> None:
    stage.send_next(1_400)
    scenario = Scenario(stage, workers=2)
    async with scenario.running():
        await scenario.kill_all(plan(0.3, *FAILPOINTS, wiping=0.3))
        await scenario.drain()

    scenario.check()
