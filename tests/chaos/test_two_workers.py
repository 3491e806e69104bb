"""Two workers, of which one is killed at a time, or wakes up after the other has taken over."""

import ctypes

import pytest

from fastdata.speed.watchdog import EXIT_FAILED
from tests.chaos.killing import FAILPOINTS, Scenario, plan
from tests.chaos.stream import Stage
from tests.support.mockbroker import MockBroker

pytestmark = pytest.mark.timeout(0)

_SYNC_GROUP, _INVALID_REQUEST = 14, 42


@pytest.mark.nightly
async def test_one_of_two_workers_that_is_killed_loses_and_repeats_nothing(stage: Stage) -> None:
    scenario = Scenario(stage, workers=2)
    async with scenario.running():
        await scenario.kill_all(plan(0.4, *FAILPOINTS, wiping=0.3))
        await scenario.drain()

    scenario.check()


@pytest.mark.nightly
async def test_a_worker_that_sleeps_while_others_take_over_changes_nothing_when_it_wakes_up(
    stage: Stage,
) -> None:
    scenario = Scenario(stage, workers=2)
    async with scenario.running():
        for index in range(2):
            await scenario.let_sleep(index)
        await scenario.drain()

    scenario.check()


@pytest.mark.processes
def test_a_worker_that_the_group_refuses_ends_at_once(stage: Stage, broker: MockBroker) -> None:
    refuse = broker._lib.rd_kafka_mock_push_request_errors_array
    refuse.argtypes = [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.c_void_p]
    errors = (ctypes.c_int * 1)(_INVALID_REQUEST)
    refuse(broker._cluster, _SYNC_GROUP, 1, errors)
    with stage.worker() as worker:
        assert worker.wait(120) == EXIT_FAILED

    said = (stage.folder / "worker.log").read_text()
    assert "fastdata ends this worker: taking part in the consumer group failed" in said
