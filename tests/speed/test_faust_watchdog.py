"""The watchdog ends what hangs, and leaves alone what works or has nothing to do."""

import subprocess
import sys
import time

import pytest

from fastdata.speed.watchdog import EXIT_FAILED, Sign, Watchdog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ends() -> list[int]:
    return []


@pytest.fixture
def watchdog(clock: Clock, ends: list[int]) -> Watchdog:
    return Watchdog(ends.append, clock)


@pytest.mark.parametrize(
    "hanging",
    ["the event loop", "the flush of clicks", "clicks/3", "the recovery of the state"],
)
def test_what_stands_still_for_longer_than_its_limit_ends_the_process(
    hanging: str,
    watchdog: Watchdog,
    clock: Clock,
    ends: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    watchdog.report([Sign(hanging, 7, 60), Sign("another", None, 1)])
    clock.now = 61

    watchdog.check()

    assert ends == [EXIT_FAILED]
    assert f"no progress of {hanging} for 61 s (stood at 7)" in caplog.text


def test_a_slow_recovery_with_progress_goes_on(
    watchdog: Watchdog, clock: Clock, ends: list[int]
) -> None:
    for restored in range(100):
        watchdog.report([Sign("the recovery of the state", (1, restored), 300)])
        clock.now += 200
        watchdog.check()

    assert ends == []


def test_what_has_nothing_to_do_may_stand_still(
    watchdog: Watchdog, clock: Clock, ends: list[int]
) -> None:
    watchdog.report([Sign("clicks/0", None, 60)])
    clock.now = 100_000
    watchdog.check()

    assert ends == []


def test_the_age_counts_from_when_the_progress_changed(watchdog: Watchdog, clock: Clock) -> None:
    for now, progress in ((0, 1), (10, 2), (20, 2)):
        clock.now = now
        watchdog.report([Sign("clicks/0", progress, 60)])
    clock.now = 25

    assert watchdog.age_s("clicks/0") == 15
    assert watchdog.age_s("unknown") == 0


def test_work_that_comes_after_a_pause_has_its_whole_time(
    watchdog: Watchdog, clock: Clock, ends: list[int]
) -> None:
    watchdog.report([Sign("clicks/0", None, 60)])
    clock.now = 1_000
    watchdog.report([Sign("clicks/0", 5, 60)])
    clock.now = 1_050
    watchdog.check()

    assert ends == []


def test_a_loop_that_reports_no_more_is_noticed_from_the_thread(ends: list[int]) -> None:
    watchdog = Watchdog(ends.append)
    watchdog.report([Sign("the event loop", 1, 0.02)])
    watchdog.start(every_s=0.01)
    deadline = time.monotonic() + 120
    while not ends and time.monotonic() < deadline:
        time.sleep(0.01)
    watchdog.stop()

    assert ends[0] == EXIT_FAILED


def test_the_end_comes_with_the_stacks_of_all_threads() -> None:
    program = (
        "from fastdata.speed.watchdog import end_process\ndef stuck(): end_process(70)\nstuck()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert ended.returncode == EXIT_FAILED
    assert b"in stuck" in ended.stderr
