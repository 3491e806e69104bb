"""Workers that come and go while events flow."""

import asyncio
import logging
import time

from tests.chaos.killing import Scenario
from tests.chaos.stream import Stage
from tests.real.kafka.groups import Group
from tests.support.services.kafka import Kafka

logger = logging.getLogger(__name__)


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
