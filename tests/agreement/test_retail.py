"""541,909 lines of invoices: money that must be right to the thousandth of a pound."""

import csv
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from tests.agreement import counting, sets
from tests.agreement.stages import (
    STAGES,
    Answers,
    Deploy,
    Question,
    assert_agrees,
    assert_exact_until_fresh,
    send,
    stage_answers,
)

pytestmark = pytest.mark.nightly

DECLARED = Path(__file__).parent / "declared"
NEW_YEAR = 1_325_376_000_000  # 2012
SALES: dict[str, counting.Measured] = {
    "lines": len,
    "quantity": counting.values("quantity", sum),
    "revenue": counting.values("revenue", sum),
    "mean_revenue": counting.values("revenue", counting.mean),
    "prices": counting.values("price", counting.floats),
    "mean_price": counting.values("price", counting.mean),
    "dearest": counting.values("unit_price", max),
    "last_article": counting.values("article", max),
    "invoices": counting.distinct("invoice"),
    "customers": counting.distinct("customer"),
}

TOTAL = Question("sales", "all", (), "2010-12-01", "2011-12-31")
DAILY = Question("sales", "1d", (), "2010-12-01", "2011-12-31")
QUESTIONS = [TOTAL, DAILY, Question("sales", "7d", ("country",), "2010-11-25", "2011-12-29")]


@pytest.fixture(scope="module")
def lines() -> list[sets.Record]:
    return list(sets.read_retail())


@pytest.fixture(scope="module")
def answers(
    deploy: Deploy, lines: list[sets.Record], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    folder = tmp_path_factory.mktemp("retail")
    deployment = deploy(folder, DECLARED / "agents" / "retail.py", DECLARED / "schemas")
    log = send(deployment, lines, key="invoice", partitions=3, at=NEW_YEAR)
    return stage_answers(deployment, log, QUESTIONS)


def truth(lines: Sequence[sets.Record], ask: Question) -> dict[counting.Key, dict[str, object]]:
    return counting.count(lines, "sold", ask.every_ms, ask.by, SALES, ask.start_ms)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_each_layer_answers_the_plain_count(
    answers: Answers, lines: list[sets.Record], question: Question
) -> None:
    expected, uniques = truth(lines, question), ["invoices", "customers"]
    for stage in STAGES:
        rows = answers[stage, question]
        assert_agrees(expected, rows, question.by, uniques, is_batch=stage == "batch")


def test_every_past_day_is_exact_after_batch(answers: Answers) -> None:
    assert_exact_until_fresh(answers["batch", DAILY])


@pytest.mark.parametrize("stage", STAGES)
def test_revenue_is_the_published_one_which_floats_miss(
    answers: Answers, lines: list[sets.Record], stage: str
) -> None:
    (row,) = answers[stage, TOTAL]
    revenue = Decimal(str(row["revenue"]))
    assert [541_909, 5_176_450] == [row["lines"], row["quantity"]]
    assert Decimal("9747747.934") == revenue
    in_floats = sum(float(str(line["quantity"])) * float(str(line["price"])) for line in lines)
    assert Decimal(in_floats) != revenue


@pytest.mark.parametrize("stage", STAGES)
def test_every_day_is_as_published(answers: Answers, stage: str) -> None:
    with sets.find("oracle/online_retail_daily.csv").open() as file:
        published = list(csv.DictReader(file))
    expected = [
        [
            *(day[name] for name in ("day", "lines", "qty")),
            *(int(day[name]) for name in ("revenue_milli_gbp", "invoices", "customers")),
        ]
        for day in published
    ]
    assert expected == [
        [
            str(row["window_start"])[:10],
            *(str(row[name]) for name in ("lines", "quantity")),
            int(Decimal(str(row["revenue"])) * 1000),
            *(row[name] for name in ("invoices", "customers")),
        ]
        for row in answers[stage, DAILY]
    ]


def test_batch_knows_the_number_of_invoices_and_customers_exactly(answers: Answers) -> None:
    (row,) = answers["batch", TOTAL]
    assert [25_900, 4_372] == [row["invoices"], row["customers"]]
