"""kill -9 of worker, archiver and replay at the same time, while events come and a reader asks."""

import asyncio
import logging
import time
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Message

from tests.chaos.copies import CopiesStage
from tests.chaos.killing import FAILPOINTS, Kill, Scenario, plan
from tests.chaos.truth import Truth
from tests.chaos.victims import ARCHIVING, COUNTING, Archiver, Replays
from tests.real.full.conftest import APP, Surround
from tests.support.lab import PARTITIONS

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(0)]

# Of all kills each store gets one half.
WORKERS, ARCHIVERS, REPLAYS = (
    plan(0.18, *FAILPOINTS, wiping=0.2),
    plan(0.16, *ARCHIVING),
    plan(0.16, *COUNTING),
)

logger = logging.getLogger(__name__)


@pytest.fixture
def stage(tmp_path: Path, surround: Surround) -> CopiesStage:
    """A careless stream through all services; what waits in production for long is quick here."""
    services = surround()
    services.kafka.create(services.name, PARTITIONS)
    settings = {
        "FASTDATA_APPLICATION_ID": services.name,
        "FASTDATA_ARCHIVE": services.archive,
        "FASTDATA_CLEAN_UP_INTERVAL_S": "5",
        "FASTDATA_REGISTRY": services.registry,
        "FASTDATA_STORE": services.store,
        "FASTDATA_TILE_AGE_S": "1",
    }
    bootstrap = services.kafka.bootstrap
    return CopiesStage(tmp_path, bootstrap, services.name, APP, **settings, **services.environment)


async def test_every_answer_is_true_while_all_are_killed_at_the_same_time(
    stage: CopiesStage,
) -> None:
    began, truth = time.monotonic(), Truth(stage)
    scenario, archiver, replays = Scenario(stage, reader=truth), Archiver(stage), Replays(stage)
    async with scenario.running(), archiver.running(), replays.running():
        async with asyncio.TaskGroup() as killing:
            others = [
                killing.create_task(scenario.kill_all(WORKERS)),
                killing.create_task(archiver.kill_all(ARCHIVERS)),
            ]
            killing.create_task(replays.kill_all(REPLAYS, others))
        exact_meanwhile = truth.sights.exact
        await scenario.drain()
        await archiver.finish()
        await replays.finish()
    truth.check_complete()

    sights = truth.sights
    kills = scenario.kills, archiver.kills, replays.kills
    logger.info(
        "%s: %d worker, %d archiver, %d replay kills (%s); %d answers, %d exact rows meanwhile, %d "
        "with tips; %d tips, %d overtaken, of %d replays of %d; %d records, %s; %d times twice, "
        "%d out of sight and %d though folded; %.0f s",
        stage.topic, *kills, _places(), truth.answers, exact_meanwhile, sights.exact_of_tips,
        len(sights.tips), len(sights.overtaken), len(sights.overtaken_versions), replays.finished,
        stage.sent, dict(stage.fates), sights.doubled, sights.hidden, sights.shadowed,
        time.monotonic() - began,
    )  # fmt: skip
    assert kills == (len(WORKERS), len(ARCHIVERS), len(REPLAYS))
    assert min(exact_meanwhile, sights.exact_of_tips, sights.doubled) >= sum(kills)
    assert len(sights.overtaken_versions) >= len(REPLAYS) // 4
    letters = stage.read(f"{stage.topic}.dead-letters", stage.sent, timeout_s=20)  # some twice
    assert {_place(letter) for letter in letters} == stage.broken


def _place(letter: Message) -> tuple[int, int]:
    """Partition and offset of a dead letter in the topic of the source."""
    headers = dict(cast("list[tuple[str, bytes]]", letter.headers()))
    return int(headers["fastdata.partition"]), int(headers["fastdata.offset"])


def _places() -> str:
    """How many kills there are of each kind."""

    def place(kill: Kill) -> str:
        return kill.place or ("early" if kill.is_early else "random")

    counts = Counter(map(place, (*WORKERS, *ARCHIVERS, *REPLAYS)))
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
