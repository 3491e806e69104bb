"""39,244 edits of Wikipedia: both layers, an independent count and what Apache Druid published."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.agreement import counting, sets
from tests.agreement.stages import (
    STAGES,
    Answers,
    Deploy,
    Question,
    Row,
    assert_agrees,
    assert_exact_until_fresh,
    send,
    stage_answers,
)

DECLARED = Path(__file__).parent / "declared"
NEXT_DAY = 1_442_102_400_000  # 2015-09-13
DAY = ("2015-09-12", "2015-09-13")
EDITS: dict[str, counting.Measured] = {
    "edits": len,
    "added": counting.values("added", sum),
    "deleted": counting.values("deleted", sum),
    "mean_delta": counting.values("delta", counting.mean),
    "least": counting.values("delta", min),
    "largest": counting.values("delta", max),
    "metro_codes": counting.present("metro_code"),
    "users": counting.distinct("user"),
}
MEASURES: dict[str, dict[str, counting.Measured]] = {"edits": EDITS, "pages": {"events": len}}

TOTAL = Question("edits", "all", (), *DAY)
HOURLY = Question("edits", "1h", (), *DAY)
CHANNELS = Question("edits", "all", ("channel",), *DAY)
ROBOTS = Question("edits", "all", ("is_robot",), *DAY)
PAGES = Question("pages", "all", ("page",), *DAY)
QUESTIONS = [
    TOTAL,
    HOURLY,
    CHANNELS,
    ROBOTS,
    PAGES,
    Question("edits", "3h", ("is_robot", "country"), *DAY),
    Question("edits", "1m", ("country", "channel", "is_robot"), *DAY),
]


@pytest.fixture(scope="module")
def edits() -> list[sets.Record]:
    return list(sets.read_wikipedia())


@pytest.fixture(scope="module")
def published() -> str:
    return sets.find("oracle/wikiticker_published.md").read_text()


@pytest.fixture(scope="module")
def answers(
    deploy: Deploy, edits: list[sets.Record], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    folder = tmp_path_factory.mktemp("wikipedia")
    deployment = deploy(folder, DECLARED / "agents" / "wikipedia.py", DECLARED / "schemas")
    log = send(deployment, edits, key="user", partitions=4, at=NEXT_DAY)
    return stage_answers(deployment, log, QUESTIONS)


def truth(edits: Sequence[sets.Record], ask: Question) -> dict[counting.Key, dict[str, object]]:
    measures = MEASURES[ask.metric]
    return counting.count(edits, "time", ask.every_ms, ask.by, measures, ask.start_ms)


def top(rows: Sequence[Row], dimension: str, measure: str) -> list[tuple[object, object]]:
    pairs = [(row[dimension], row[measure]) for row in rows]
    return sorted(pairs, key=lambda pair: (-int(str(pair[1])), str(pair[0])))


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_each_layer_answers_the_plain_count(
    answers: Answers, edits: list[sets.Record], stage: str, question: Question
) -> None:
    rows = answers[stage, question]
    batch = stage == "batch"
    assert_agrees(truth(edits, question), rows, question.by, ["users"], is_batch=batch)


def test_nothing_is_called_exact_before_batch_and_every_past_hour_after_it(
    answers: Answers,
) -> None:
    assert not any(row["exact"] for row in answers["speed", HOURLY])
    assert any(row["exact"] for row in answers["both", HOURLY])
    assert_exact_until_fresh(answers["batch", HOURLY])


def test_a_topic_shorter_than_its_segment_is_exact_after_a_replay(
    deploy: Deploy, edits: list[sets.Record], tmp_path: Path
) -> None:
    agents = DECLARED / "agents" / "wikipedia.py"
    size = {"segment_size=1_000": "segment_size=20_000"}
    deployment = deploy(tmp_path, agents, DECLARED / "schemas", size)
    log = send(deployment, edits, key="user", partitions=3, at=NEXT_DAY)
    answers = stage_answers(deployment, log, [HOURLY, CHANNELS], STAGES)
    for (stage, question), rows in answers.items():
        batch = stage == "batch"
        assert_agrees(truth(edits, question), rows, question.by, ["users"], is_batch=batch)
    assert not any(row["exact"] for row in answers["speed", HOURLY])
    assert_exact_until_fresh(answers["batch", HOURLY])


@pytest.mark.parametrize("stage", STAGES)
class TestPublishedTotals:
    """What `fastdata query` prints, from either layer or both."""

    def test_of_the_day(self, answers: Answers, stage: str) -> None:
        (row,) = answers[stage, TOTAL]
        assert [39_244, 9_385_573, 394_298] == [row["edits"], row["added"], row["deleted"]]
        assert [23_824, 15_420] == [row["edits"] for row in answers[stage, ROBOTS]]
        assert [51, 35_143] == [len(answers[stage, question]) for question in (CHANNELS, PAGES)]

    def test_deleted_by_hour(self, answers: Answers, published: str, stage: str) -> None:
        found = re.search(r"SUM\(deleted\) per UTC hour 00\.\.23: ([\d ]+)", published)
        assert found is not None
        expected = [int(number) for number in found[1].split()]
        assert expected == [row["deleted"] for row in answers[stage, HOURLY]]

    def test_most_edited_pages(self, answers: Answers, published: str, stage: str) -> None:
        found = re.search(r"top pages: (.+)", published)
        assert found is not None
        pairs = [text.rsplit(" ", 1) for text in found[1].split(" | ")]
        expected = [(page, int(edits)) for page, edits in pairs]
        assert expected == top(answers[stage, PAGES], "page", "events")[:10]

    def test_added_by_channel(self, answers: Answers, published: str, stage: str) -> None:
        found = re.search(r"SUM\(added\) by channel top 5: (.+)", published)
        assert found is not None
        pairs = [text.rsplit(" ", 1) for text in found[1].split(" | ")]
        expected = [(channel, int(added)) for channel, added in pairs]
        assert expected == top(answers[stage, CHANNELS], "channel", "added")[:5]


def test_batch_knows_the_number_of_users_exactly(answers: Answers) -> None:
    (row,) = answers["batch", TOTAL]
    assert [10_531] * 3 == [row["users_lower"], row["users"], row["users_upper"]]
