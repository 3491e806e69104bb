"""336,776 departures of 2013 through both engines, against what R's `summary` says of them."""

import csv
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from fastdata.demo.flights import month_start
from tests.agreement import counting, sets
from tests.agreement.checking import Check, equals, lists_most_frequent, ranks
from tests.agreement.engines import ENGINES, STAGES, Answered, answer_by_engines
from tests.agreement.stages import Deployment, Question, send

pytestmark = pytest.mark.nightly

DECLARED = Path(__file__).parent / "declared"
SCHEMAS = Path(__file__).parents[2] / "schemas"
LATER = 1_388_620_800_000  # 2014-01-02
EDGES = [counting.iso(month_start(month)) for month in range(1, 14)]
MONTHS = [Question("delays", "all", (), start, end) for start, end in pairwise(EDGES)]
YEAR = Question("delays", "all", (), EDGES[0], EDGES[-1])
ORIGINS = Question("delays", "all", ("origin",), EDGES[0], EDGES[-1])
DELAYS = counting.values("dep_delay", list, nothing=[])
CHECKS: Mapping[str, Check] = {
    "flights": equals(len),
    "departed": equals(counting.present("dep_delay")),
    "distance": equals(counting.values("distance", sum)),
    "late": equals(
        counting.values(
            "dep_delay",
            lambda d: [
                sum(low <= v < high for v in d) for low, high in ((-99, 0), (0, 60), (60, 9_999))
            ],
        )
    ),
    "quartiles": ranks("dep_delay", (0, 0.25, 0.5, 0.75, 1)),
    "carriers": lists_most_frequent("carrier", 5),
}


@pytest.fixture(scope="module")
def flights() -> list[sets.Record]:
    return [{**flight, "at": flight["scheduled_departure"]} for flight in sets.read_new_york()]


@pytest.fixture(scope="module")
def answered(flights: list[sets.Record], tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder, agents = tmp_path_factory.mktemp("delays"), DECLARED / "agents" / "flight_measures.py"
    deployment = Deployment(folder, agents, SCHEMAS)
    log = send(deployment, flights, key="flight_id", partitions=4, at=LATER)
    return answer_by_engines(deployment, log, [*MONTHS, YEAR, ORIGINS], workers=2)


@pytest.mark.parametrize("stage", STAGES)
def test_the_year_is_what_r_says(answered: Answered, stage: str) -> None:
    (row,) = answered.rows(stage, YEAR)
    assert [336_776, 328_521, 8_255, 350_217_607] == [
        row[name] for name in ("flights", "departed", "cancelled", "distance")
    ]
    assert "40.21006" == f"{row['spread']:.5f}"
    assert row["share"] == 8_255 / 336_776
    if stage != "speed":
        assert [-43, -5, -2, 11, 1_301] == row["quartiles"]


@pytest.mark.parametrize("stage", STAGES)
def test_each_month_is_as_published(answered: Answered, stage: str) -> None:
    with sets.find("oracle/nycflights13_monthly.csv").open() as file:
        published = list(csv.DictReader(file))
    for month, question in zip(published, MONTHS, strict=True):
        (row,) = answered.rows(stage, question)
        names = ("flights", "cancelled", "distance")
        assert [int(month[name]) for name in names] == [row[name] for name in names]


@pytest.mark.parametrize("stage", STAGES)
def test_each_layer_answers_the_plain_count(
    answered: Answered, flights: list[sets.Record], stage: str
) -> None:
    for question in (YEAR, ORIGINS):
        answered.check(flights, stage, question, CHECKS)


def test_both_engines_answer_the_same(answered: Answered) -> None:
    columns, rows = ENGINES
    for question in (*MONTHS, YEAR, ORIGINS):
        assert answered.rows(columns, question) == answered.rows(rows, question)
