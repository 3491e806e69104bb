"""A broker of three is killed, or the only one is started again, under those who read."""

import asyncio
import logging
import time

from tests.chaos.killing import Scenario
from tests.real.kafka.conftest import NewStage
from tests.real.kafka.test_archivers import archived, archiver
from tests.support.services.kafka import Kafka, KafkaCluster

logger = logging.getLogger(__name__)


async def test_a_killed_broker_of_three_costs_seconds_and_no_event(
    new_stage: NewStage, kafka_cluster: KafkaCluster
) -> None:
    stage = new_stage(kafka_cluster)
    scenario = Scenario(stage)
    with archiver(stage) as archiving:
        async with scenario.running():
            await scenario.have_folded_all()
            kafka_cluster.kill(kafka_cluster.leader(stage.topic, 0))
            began = time.monotonic()
            await scenario.have_folded_all()
            stall_s = time.monotonic() - began
            assert archiving.poll() is None, "the archiver ended"
            await scenario.drain()
        archiving.terminate()
        assert await asyncio.to_thread(archiving.wait, 120) == 0
    kept = await archived(stage)

    scenario.check()
    assert scenario.replaced == 0
    logger.info("all partitions were folded again %.1f s after a broker was killed", stall_s)
    assert len(kept) == stage.sent
    assert stall_s < 45


async def test_a_worker_outlives_a_restart_of_its_only_broker(
    new_stage: NewStage, restartable_kafka: Kafka
) -> None:
    stage = new_stage(restartable_kafka)
    scenario = Scenario(stage)
    async with scenario.running():
        await scenario.have_folded_all()
        await asyncio.to_thread(restartable_kafka.restart)
        await scenario.have_folded_all()
        await scenario.drain()

    scenario.check()
    assert scenario.replaced == 0


def test_a_worker_and_an_archiver_say_in_one_line_that_their_broker_is_gone_and_back(
    new_stage: NewStage, restartable_kafka: Kafka
) -> None:
    stage = new_stage(restartable_kafka)
    stage.send_next(50)
    with archiver(stage) as archiving, stage.worker() as worker:
        stage.wait_until_folded(50)
        restartable_kafka.kill()
        for log in ("worker.log", "archive.log"):
            stage.wait_for("nobody listens there; see FASTDATA_BROKER; nothing is lost", log=log)
        restartable_kafka.start()
        for log in ("worker.log", "archive.log"):
            stage.wait_for("the broker can be used again", log=log)
            lines = (stage.folder / log).read_text().splitlines()
            assert sum("aiokafka" in line or "Unable" in line for line in lines) < 50
        stage.send_next(50)
        stage.wait_until_folded(100)
        assert (worker.poll(), archiving.poll()) == (None, None)
