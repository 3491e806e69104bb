"""7,702 events of GitHub, a few of them late, with times in microseconds."""

from collections.abc import Sequence
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

DECLARED = Path(__file__).parent / "declared"
NEXT_DAY = 1_420_156_800_000  # 2015-01-02
ACTIVITY: dict[str, counting.Measured] = {
    "events": len,
    "commits": counting.values("commits", sum, nothing=0),
    "least": counting.values("commits", min),
    "first": counting.values("created", lambda times: counting.iso(min(times) // 1000)),
    "actors": counting.distinct("actor"),
    "repositories": counting.distinct("repository"),
}

MINUTES = Question("activity", "1m")
TYPES = Question("activity", "1d", ("type",))
QUESTIONS = [
    MINUTES,
    TYPES,
    Question("activity", "15m", ("type", "org")),
    Question("activity", "1d"),
]


@pytest.fixture(scope="module")
def events() -> list[sets.Record]:
    return list(sets.read_github())


@pytest.fixture(scope="module")
def answers(
    deploy: Deploy, events: list[sets.Record], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    folder = tmp_path_factory.mktemp("github")
    deployment = deploy(folder, DECLARED / "agents" / "github.py", DECLARED / "schemas")
    log = send(deployment, events, key="repository", partitions=4, at=NEXT_DAY)
    return stage_answers(deployment, log, QUESTIONS)


def truth(events: Sequence[sets.Record], ask: Question) -> dict[counting.Key, dict[str, object]]:
    return counting.count(events, "at", ask.every_ms, ask.by, ACTIVITY)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_each_layer_answers_the_plain_count(
    answers: Answers, events: list[sets.Record], stage: str, question: Question
) -> None:
    rows, uniques = answers[stage, question], ["actors", "repositories"]
    in_ms = [{**event, "at": int(str(event["created"])) // 1000} for event in events]
    expected = truth(in_ms, question)
    assert_agrees(expected, rows, question.by, uniques, is_batch=stage == "batch")


def test_every_past_minute_is_exact_after_batch(answers: Answers) -> None:
    assert_exact_until_fresh(answers["batch", MINUTES])


@pytest.mark.parametrize("stage", STAGES)
def test_the_known_numbers_come_out(answers: Answers, stage: str) -> None:
    rows = answers[stage, TYPES]
    assert sum(int(str(row["events"])) for row in rows) == 7_702
    pushes = next(row["events"] for row in rows if row["type"] == "PushEvent")
    assert pushes == 4_280


def test_batch_knows_the_number_of_actors_and_repositories_exactly(answers: Answers) -> None:
    (row,) = answers["batch", Question("activity", "1d")]
    assert [3_648, 4_124] == [row["actors"], row["repositories"]]
