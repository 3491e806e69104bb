"""Workers that come and go while events flow."""

import asyncio
import logging
import time

from tests.chaos.killing import Scenario
from tests.chaos.stream import Stage
from tests.real.kafka.groups import Group
from tests.support.lab import Lab, stop
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


async def test_two_workers_share_the_partitions_and_one_takes_over(lab: Lab, kafka: Kafka) -> None:
    group = Group(kafka.bootstrap, lab.topic)
    with lab.worker() as first, lab.worker() as second:
        lab.wait_until(lambda: len(group.shares()) == 2)
        lab.produce(1_000)
        lab.wait_until_folded(1_000)
        first.kill()
        lab.produce(1_000)
        lab.wait_until_folded(2_000)
        assert stop(second) == 0

    folders = sorted(p.name for p in (lab.folder / "data/state").iterdir())
    assert folders == ["worker-0", "worker-1"]
    assert await lab.answer() == lab.expected()
