"""A year of events, replayed every day: right after each run, and no more work each day."""

from pathlib import Path
from typing import cast

import pytest

from fastdata.coordinates.instants import DAY_MS, HOUR_MS
from tests.simulation.year import LATEST_MS, START, WINDOW_MS, Work, Year

WINDOW_DAYS = WINDOW_MS // DAY_MS


async def check_window(year: Year) -> None:
    """Every answer of the window holds the truth; where all is covered, it is the truth."""
    open_days = year.open_days()
    for day, row in (await year.answers(year.now - WINDOW_MS - DAY_MS, year.now)).items():
        truth = year.days[day].numbers
        for value, estimate in zip(truth, row.estimates, strict=True):
            low, high = cast("tuple[int | None, int | None]", (estimate.lower, estimate.upper))
            assert low is None or low <= value, (day, truth, row)
            assert high is None or value <= high, (day, truth, row)
        if day not in open_days and row.end < year.now - DAY_MS:
            assert row.is_exact, (day, row)
        if row.is_exact:
            assert tuple(estimate.value for estimate in row.estimates) == truth


async def check_everything(year: Year) -> None:
    answers = await year.answers(START - LATEST_MS - DAY_MS, year.now)
    open_days = year.open_days()
    assert answers.keys() == year.days.keys()
    for day, row in answers.items():
        if day not in open_days and row.end < year.now - DAY_MS:
            assert tuple(estimate.value for estimate in row.estimates) == year.days[day].numbers


def check_work(work: Work, *, is_first: bool) -> None:
    """It did what was dirty, and touched nothing before the window."""
    assert work.run.error is None
    assert work.run.uncounted == ()
    assert work.run.report is not None
    (metric,) = work.run.report.metrics
    assert set(work.written) == work.dirty
    assert len(work.written) == metric.recomputed == len(work.dirty)
    assert work.objects <= work.holding
    # One tile entry and one object of a tile for each partition at most is open.
    assert work.entries <= work.closed + 2 * len(metric.coverage.segments) + 2
    hours_of_window = (WINDOW_DAYS + 1) * DAY_MS // HOUR_MS
    assert len(work.moved) <= hours_of_window
    assert min(work.moved, default=work.run.window_start) >= work.run.window_start
    if not is_first:
        starts = [start for start, _ in work.looked_at]
        assert min(starts) >= work.run.window_start


@pytest.mark.parametrize(
    ("days", "events_a_day", "segment"),
    [
        pytest.param(90, 24, 8, id="a quarter"),
        pytest.param(365, 24, 8, marks=pytest.mark.nightly, id="a year"),
        pytest.param(365, 1_000, 250, marks=pytest.mark.nightly, id="a large year"),
    ],
)
async def test_days_replayed_every_day(
    tmp_path: Path, days: int, events_a_day: int, segment: int
) -> None:
    year = Year(tmp_path, events_a_day, segment)
    await year.open()
    works: list[Work] = []
    before: dict[tuple[int, str], bytes] = {}
    for day in range(days):
        await year.live_a_day()
        works.append(await year.replay())
        check_work(works[-1], is_first=day == 0)
        await check_window(year)
        # What is before the window was right while it was in it, and is as it was.
        now = await year.store.current(year.metric.id)
        edge = works[-1].run.window_start
        old = {key: state for key, state in before.items() if key[0] < edge}
        assert {key: state for key, state in now.items() if key[0] < edge} == old
        before = now
        if day % 60 == 59:
            await check_everything(year)
    await check_everything(year)

    assert len(before) > 0.9 * len(year.sent) - 2 * segment
    second_month, last_month = works[30:60], works[-30:]
    for figure in ("objects", "entries"):
        early = sum(getattr(work, figure) for work in second_month)
        late = sum(getattr(work, figure) for work in last_month)
        assert late <= 1.2 * early, (figure, early, late)
