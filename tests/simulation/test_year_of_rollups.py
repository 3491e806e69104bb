"""Days replayed every day, with days, months and 30 days of a zone kept ready.

After each run every answer is right, and no run opens more than those of months before.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from fastdata.answer.query import query
from fastdata.coordinates.instants import DAY_MS, to_datetime
from tests.simulation.year import LATEST_MS, START, Counted, Numbers, Visit, Year

EVENTS_A_DAY, SEGMENT = 12, 4
ZONE = "Europe/Berlin"
OPTIONS = {"day": {"every": "day"}, "month": {"every": "month"}}
OPTIONS["30d"] = {"every": "day", "rolling": "30d"}


def local(at: int) -> date:
    return to_datetime(at).astimezone(ZoneInfo(ZONE)).date()


def dates_of(grain: str, last: date) -> list[date]:
    """Those of the window with that last date."""
    if grain == "month":
        return [last.replace(day=n + 1) for n in range(last.day)]
    return [last - timedelta(n) for n in range(30 if grain == "30d" else 1)]


class Truth:
    """A plain count by local dates."""

    def __init__(self) -> None:
        self.days: dict[date, Counted] = {}
        self._seen = 0

    def count(self, year: Year) -> None:
        """Add what was sent since the last time."""
        for visit in year.sent[self._seen :]:
            self.days.setdefault(local(visit.at), Counted()).add(visit)
        self._seen = len(year.sent)

    def of(self, dates: Iterable[date]) -> Numbers:
        days = [self.days[day] for day in dates if day in self.days]
        return (
            sum(len(day.ids) for day in days),
            sum(day.size for day in days),
            len(set().union(*(day.visitors for day in days))),
        )


async def check(year: Year, truth: Truth, start: int) -> Counter[str]:
    """Every answer from then on holds the truth, and is it when it says so; how many do."""
    exact: Counter[str] = Counter()
    open_dates = {local(visit.at) for visit in unclosed(year)}
    for grain, options in OPTIONS.items():
        first = local(start).replace(day=1) if grain == "month" else local(start)
        table = await query(
            year.metric,
            datetime.combine(first, datetime.min.time(), ZoneInfo(ZONE)),
            to_datetime(year.now),
            store=year.store,
            **options,  # type: ignore[arg-type]
        )
        for row in table.to_pylist():
            last = local(row["window_end"].timestamp() * 1000 - 1)
            dates = dates_of(grain, last)
            numbers = truth.of(dates)
            for name, value in zip(("visits", "bytes", "visitors"), numbers, strict=True):
                low, high = (cast("int | None", row[f"{name}_{n}"]) for n in ("lower", "upper"))
                assert low is None or low <= value, (grain, row, value)
                assert high is None or value <= high, (grain, row, value)
                assert not row["exact"] or row[name] == value, (grain, row, value)
            is_over = row["window_end"] < to_datetime(year.now - DAY_MS)
            # Of hours before the first day of UTC that has events, nobody knows anything.
            is_whole = min(dates) > local(START)
            if is_over and is_whole and not open_dates.intersection(dates):
                assert row["exact"], (grain, row)
            exact[grain] += row["exact"]
    return exact


def unclosed(year: Year) -> list[Visit]:
    """Of these batch knows nothing."""
    size = year.source.segment_size
    return [v for p, log in year.log.items() for v in log[year.closed[p] * size :]]


@pytest.mark.parametrize(
    ("days", "exact_months"),  # of a quarter two are over, and each is asked for on some days
    [
        pytest.param(90, 15, id="a quarter"),
        pytest.param(365, 365 / 2, marks=pytest.mark.nightly, id="a year"),
    ],
)
async def test_a_year_of_days_months_and_30_days(
    tmp_path: Path, days: int, exact_months: float
) -> None:
    year = Year(tmp_path, EVENTS_A_DAY, SEGMENT, rollups=("day", "month", "30d"), zone=ZONE)
    await year.open()
    truth = Truth()
    opened: list[Counter[str]] = []
    exact: Counter[str] = Counter()
    for day in range(days):
        await year.live_a_day()
        work = await year.replay()
        assert work.run.report is not None
        (metric,) = work.run.report.metrics
        assert metric.rollups_left == 0
        opened.append(Counter(name.split("/")[-3] for name in year.storage.read))
        truth.count(year)
        exact += await check(year, truth, year.now - LATEST_MS)
        if day % 90 == 89:
            exact += await check(year, truth, START)
    await check(year, truth, START)

    assert min(exact["day"], exact["30d"]) > days / 2
    assert exact["month"] > exact_months
    share = days // 6
    for kind in ("hours", "days"):
        early = sum(each[kind] for each in opened[60 : 60 + share])
        late = sum(each[kind] for each in opened[-share:])
        assert 0 < late <= 1.2 * early, (kind, early, late)
