"""A limit on rows a second."""

import asyncio

import pytest

from fastdata.store.pace import Pace


class Time:
    """Seconds that pass only in sleep."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize("rows", [1, 7, 200, 1_000])
async def test_never_more_than_the_rate_and_a_fifth_of_a_second(rows: int) -> None:
    time = Time()
    pace = Pace(1_000, time.clock, time.sleep)
    written = 0
    while written < 10_000:
        await pace.wait(rows)
        written += rows
        assert written <= 1_000 * (time.now_s - 1_000 + 0.2) + 1e-3
    assert written >= 1_000 * (time.now_s - 1_000)


async def test_a_pause_saves_up_no_more_than_a_fifth_of_a_second() -> None:
    time = Time()
    pace = Pace(1_000, time.clock, time.sleep)
    await pace.wait(100)
    time.now_s = 5_000.0

    await pace.wait(1_200)

    assert time.now_s == pytest.approx(5_001.0)


async def test_tasks_share_it() -> None:
    time = Time()
    pace = Pace(100, time.clock, time.sleep)

    await asyncio.gather(*(pace.wait(10) for _ in range(12)))

    assert pace.rows_at_once == 20
    assert time.now_s >= 1_001.0
