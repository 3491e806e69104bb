"""7,702 events of GitHub as they were published: nested, with arrays, as Avro and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fastdata.events.schema import encode
from tests.agreement import counting, sets
from tests.agreement.checking import Check, equals, lists_most_frequent, ranks, within
from tests.agreement.driver import Log
from tests.agreement.engines import Answered, answer_by_engines
from tests.agreement.stages import Deployment, Question, assert_exact_until_fresh

DECLARED = Path(__file__).parent / "declared"
NEXT_DAY = 1_420_156_800_000  # 2015-01-02
MINUTES, TYPES = Question("events", "1m"), Question("events", "1d", ("type",))
HOUR = Question("events", "1h")
COMMITS = Question("commits", "1h", ("is_distinct",))
OF_EVENTS = [MINUTES, TYPES, HOUR, Question("events", "15m", ("type", "for_org"))]
OF_COMMITS = [COMMITS, Question("commits", "5m")]
CASES = [("avro", "speed"), ("avro", "columns"), ("avro", "rows"), ("json", "speed")]
CASES += [("json", "rows")]
EVENTS: Mapping[str, Check] = {
    "events": equals(len),
    "commits": equals(counting.values("size", sum, nothing=0)),
    "sizes": ranks("size", (0.5, 0.9, 1)),
    "first": equals(lambda group: min((r["at"], r["actor"]) for r in group)[1]),
    "actors": within(counting.distinct("actor_id")),
    "repositories": lists_most_frequent("repository", 3),
}
WRITTEN: Mapping[str, Check] = {
    "commits": equals(len),
    "authors": within(counting.distinct("author")),
    "length": equals(counting.values("length", sum)),
}


@pytest.fixture(scope="module")
def published() -> list[dict[str, Any]]:
    return list(sets.read_nested())


@pytest.fixture(scope="module")
def events(published: Sequence[dict[str, Any]]) -> list[sets.Record]:
    return [
        {
            "at": sets.milliseconds(event["created_at"]),
            "type": event["type"].replace("Event", ""),
            "for_org": "org" in event,
            "size": event["payload"].get("size"),
            "actor": event["actor"]["login"],
            "actor_id": event["actor"]["id"],
            "repository": event["repo"]["name"],
        }
        for event in published
    ]


@pytest.fixture(scope="module")
def commits(published: Sequence[dict[str, Any]]) -> list[sets.Record]:
    return [
        {
            "at": sets.milliseconds(event["created_at"]),
            "is_distinct": commit["distinct"],
            "author": commit["author"]["email"].lower(),
            "length": len(commit["message"]),
        }
        for event in published
        for commit in event["payload"].get("commits", ())
        if not commit["message"].startswith("Merge ")
    ]


@pytest.fixture(scope="module")
def answered(
    published: Sequence[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Answered]:
    """By how the values are written."""
    agents, schemas = DECLARED / "agents" / "nested_events.py", DECLARED / "schemas"
    answers = {}
    for form in ("avro", "json"):
        change = {'id="id",\n': f'id="id",\n    format="{form}",\n'}
        deployment = Deployment(tmp_path_factory.mktemp(form), agents, schemas, change)
        log = Log(3)
        for number, event in enumerate(published):
            if form == "json":
                value = json.dumps(event).encode()
            else:
                known = event | {"created_at": sets.milliseconds(event["created_at"])}
                value = encode(deployment.schema, known)
            log.send(number % 3, value, NEXT_DAY)
        engines = ("columns", "rows") if form == "avro" else ("rows",)
        answers[form] = answer_by_engines(deployment, log, [*OF_EVENTS, *OF_COMMITS], engines)  # type: ignore[arg-type]
    return answers


@pytest.mark.parametrize("question", OF_EVENTS, ids=str)
@pytest.mark.parametrize(("form", "stage"), CASES)
def test_each_layer_answers_the_plain_count_of_events(
    answered: Mapping[str, Answered],
    events: Sequence[sets.Record],
    form: str,
    stage: str,
    question: Question,
) -> None:
    answered[form].check(events, stage, question, EVENTS)


@pytest.mark.parametrize("question", OF_COMMITS, ids=str)
@pytest.mark.parametrize(("form", "stage"), CASES)
def test_each_layer_answers_the_plain_count_of_commits(
    answered: Mapping[str, Answered],
    commits: Sequence[sets.Record],
    form: str,
    stage: str,
    question: Question,
) -> None:
    answered[form].check(commits, stage, question, WRITTEN)


@pytest.mark.parametrize("question", [*OF_EVENTS, *OF_COMMITS], ids=str)
def test_both_engines_and_both_formats_answer_the_same(
    answered: Mapping[str, Answered], question: Question
) -> None:
    columns = answered["avro"].rows("columns", question)
    assert columns == answered["avro"].rows("rows", question)
    assert columns == answered["json"].rows("rows", question)


@pytest.mark.parametrize(("form", "stage"), CASES)
def test_the_known_numbers_come_out(
    answered: Mapping[str, Answered], form: str, stage: str
) -> None:
    rows: Any = answered[form].rows(stage, TYPES)
    assert 7_702 == sum(row["events"] for row in rows)
    assert [4_280] == [row["events"] for row in rows if row["type"] == "Push"]
    if stage != "speed":
        (row,) = answered[form].rows(stage, HOUR)
        assert 3_648 == row["actors"]
        assert_exact_until_fresh(answered[form].rows(stage, MINUTES))
