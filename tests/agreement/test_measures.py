"""Every exact measure, one of the documentation's among them, through both layers."""

import math
import statistics
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from tests.agreement import counting
from tests.agreement.readings import HOUR, START, deploy, readings
from tests.agreement.sets import Record
from tests.agreement.stages import (
    STAGES,
    Answers,
    Question,
    assert_exact_until_fresh,
    send,
    stage_answers,
)
from tests.support import streams

HOURLY, MINUTES = Question("devices", "1h", ("device",)), Question("devices", "1m")
MORNING = Question("devices", "all", ("device",), "2013-01-01", "2013-01-01T05:00Z")
HABITS = [Question("habits", "1h", ("is_open",)), Question("habits", "1m")]
QUESTIONS = [HOURLY, MINUTES, MORNING, *HABITS]


@pytest.fixture(scope="module")
def sent() -> list[Record]:
    return readings()


@pytest.fixture(scope="module")
def answers(sent: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Answers:
    deployment = deploy(tmp_path_factory.mktemp("measures"))
    log = send(deployment, sent, key="reading", partitions=3, at=START + 6 * HOUR)
    return stage_answers(deployment, log, QUESTIONS)


def bins(field: str, *edges: float) -> counting.Measured:
    ends = [-math.inf, *edges, math.inf]

    def measure(group: Sequence[counting.Record]) -> object:
        found: list[Any] = [record[field] for record in group if record[field] is not None]
        return [sum(low <= v < high for v in found) for low, high in pairwise(ends)]

    return measure


def end_of(field: str, end: Callable[..., tuple[Any, Any]]) -> counting.Measured:
    """The value at one end of time, and of several the one at the same end of values."""

    def measure(group: Sequence[counting.Record]) -> object:
        found = [(record["at"], record[field]) for record in group if record[field] is not None]
        return end(found)[1] if found else None

    return measure


def variance(numbers: Sequence[float]) -> float | None:
    return float(statistics.variance(map(Fraction, numbers))) if len(numbers) > 1 else None


def spread(numbers: Sequence[Decimal]) -> float:
    # Of fractions, CPython rounds the root correctly.
    return float(statistics.pstdev([Fraction(number) for number in numbers]))


def weighted(group: Sequence[counting.Record]) -> object:
    found: list[Any] = [(r["amount"], r["weight"]) for r in group if r["weight"] is not None]
    weights = sum(weight for _, weight in found)
    return sum(amount * weight for amount, weight in found) / weights if weights else None


def by_device(group: Sequence[counting.Record], field: str) -> list[list[Any]]:
    """Of each device when it was read, and what the field was then, if anything."""
    found: dict[object, list[Any]] = {}
    for record in group:
        if record[field] is not None:
            found.setdefault(record["device"], []).append((record["at"], record[field]))
    return list(found.values())


def runs(group: Sequence[counting.Record]) -> list[int]:
    times = ([time for time, _ in events] for events in by_device(group, "reading"))
    return [run for of in times for run in streams.lengths(of, 6_000)]


def funnel(group: Sequence[counting.Record]) -> list[int]:
    steps = ["timeout", "no route", "timeout"]
    reached = [streams.furthest(events, steps, 60_000) for events in by_device(group, "error")]
    return [sum(number > step for number in reached) for step in range(3)]


def failing(group: Sequence[counting.Record]) -> int:
    steps = ["timeout", "no route"]
    return sum(streams.matches(events, steps, 30_000) for events in by_device(group, "error"))


HABITS_MEASURED: dict[str, counting.Measured] = {
    "events": len,
    "sessions": lambda group: len(runs(group)),
    "seconds": lambda group: sum(runs(group)) / 1_000,
    "seconds_each": lambda group: sum(runs(group)) / 1_000 / len(runs(group)),
    "failing": failing,
    "funnel": funnel,
}


def truth(sent: Sequence[Record], question: Question) -> dict[counting.Key, dict[str, object]]:
    once = list({record["reading"]: record for record in sent}.values())
    length_s = 5 * 3_600 if question.every_ms is None else question.every_ms / 1_000

    def total(group: Sequence[counting.Record]) -> int:
        return sum(int(str(record["amount"])) for record in group)

    measures: dict[str, counting.Measured] = {
        "events": len,
        "failing": lambda group: sum(r["error"] is not None for r in group) / len(group),
        "errors": counting.present("error"),
        "amount": total,
        "mean": counting.values("value", counting.mean),
        "variance": counting.values("value", variance),
        "spread": counting.values("price", spread),
        "least": counting.values("price", min),
        "latest": counting.values("at", lambda times: counting.iso(max(times))),
        "first": end_of("value", min),
        "first_error": end_of("error", min),
        "last": end_of("price", max),
        "is_open": end_of("is_open", max),
        "values": bins("value", -1, 0, 2.5),
        "prices": bins("price", Decimal("0.10"), 5),  # type: ignore[arg-type]
        "each": lambda group: total(group) / len(group),
        "per_second": lambda group: total(group) / length_s,
        "weighted": weighted,
    }
    measures = HABITS_MEASURED if question.metric == "habits" else measures
    return counting.count(once, "at", question.every_ms, question.by, measures, START)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_each_layer_answers_the_plain_count(
    answers: Answers, sent: list[Record], stage: str, question: Question
) -> None:
    rows = {
        (row["window_start"], *(row[name] for name in question.by)): row
        for row in answers[stage, question]
    }
    expected = truth(sent, question)
    assert expected.keys() == rows.keys()
    for key, measures in expected.items():
        for name, value in measures.items():
            shown = str(value) if isinstance(value, Decimal) else value
            triple = [rows[key][name + suffix] for suffix in ("_lower", "", "_upper")]
            assert [shown] * 3 == triple, (key, name)


def test_every_past_hour_is_exact_after_batch(answers: Answers) -> None:
    assert_exact_until_fresh(answers["batch", HOURLY])
