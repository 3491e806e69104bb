"""39,244 edits of Wikipedia by every kind of measure, from each layer and engine."""

import asyncio
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import fastdata
from tests.agreement import counting, sets
from tests.agreement.checking import Check, equals, lists_most_frequent, ranks, within
from tests.agreement.engines import ENGINES, STAGES, Answered, answer_by_engines
from tests.agreement.stages import Deployment, Question, assert_exact_until_fresh, send

pytestmark = pytest.mark.nightly

DECLARED = Path(__file__).parent / "declared"
NEXT_DAY = 1_442_102_400_000  # 2015-09-13
DAY = ("2015-09-12", "2015-09-13")
PAGE, ROBOT = "Jeremy Corbyn", "Cyde"
ITEMS = (f"times={PAGE}", f"met={ROBOT}")
HOURLY, TOTAL = Question("edits", "1h", (), *DAY), Question("edits", "all", (), *DAY)
ASKED = Question("edits", "1h", ("by",), *DAY, ITEMS)
QUESTIONS = [HOURLY, TOTAL, Question("edits", "1d", ("by",), *DAY), ASKED]


def rounded(of: Callable[[Any], Fraction], field: str) -> counting.Measured:
    """A moment of integers, without an error but that of the last digit."""
    return counting.values(field, lambda found: float(of(list(map(Fraction, found)))))


def end_of(field: str, end: Callable[..., tuple[object, object]]) -> counting.Measured:
    return lambda group: end((record["at"], record[field]) for record in group)[1]


def bins(field: str, *edges: float) -> counting.Measured:
    ends = list(pairwise((-math.inf, *edges, math.inf)))
    return counting.values(
        field, lambda found: [sum(low <= v < high for v in found) for low, high in ends]
    )


USERS = counting.distinct("user")
CHECKS: Mapping[str, Check] = {
    "edits": equals(len),
    "added": equals(counting.values("added", sum)),
    "deleted": equals(counting.values("deleted", sum)),
    "per_edit": equals(counting.values("added", lambda found: sum(found) / len(found))),
    "variance": equals(rounded(statistics.variance, "delta")),
    "spread": equals(rounded(statistics.pstdev, "delta")),
    "first": equals(end_of("page", min)),
    "last": equals(end_of("page", max)),
    "sizes": equals(bins("delta", -1_000, 0, 1, 1_000)),
    "shares": ranks("delta", (0.1, 0.5, 0.99)),
    "pages": lists_most_frequent("page", 10),
    "writers": lists_most_frequent("user", 5, "added"),
    "names": within(USERS),
    "users": within(USERS),
}
WHOLE: Mapping[str, Check] = {"times": equals(len), "met": within(USERS)}
OF_ITEMS: Mapping[str, Check] = {
    "times": within(lambda group: sum(record["page"] == PAGE for record in group)),
    "met": within(lambda group: any(record["user"] == ROBOT for record in group)),
}


@pytest.fixture(scope="module")
def edits() -> list[sets.Record]:
    return [
        {**edit, "at": edit["time"], "by": "robots" if edit["is_robot"] else "people"}
        for edit in sets.read_wikipedia()
    ]


@pytest.fixture(scope="module")
def answered(edits: list[sets.Record], tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder, agents = tmp_path_factory.mktemp("edits"), DECLARED / "agents" / "edit_measures.py"
    deployment = Deployment(folder, agents, DECLARED / "schemas")
    log = send(deployment, edits, key="user", partitions=2, at=NEXT_DAY)
    return answer_by_engines(deployment, log, QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_each_layer_answers_the_plain_count(
    answered: Answered, edits: Sequence[sets.Record], stage: str, question: Question
) -> None:
    more = OF_ITEMS if question.items else WHOLE
    answered.check(edits, stage, question, {**CHECKS, **more})


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_both_engines_answer_the_same(answered: Answered, question: Question) -> None:
    assert answered.rows("columns", question) == answered.rows("rows", question)


@pytest.mark.parametrize("stage", STAGES)
def test_the_published_sums_of_deleted_characters_come_out(answered: Answered, stage: str) -> None:
    published = sets.find("oracle/wikiticker_published.md").read_text()
    found = re.search(r"SUM\(deleted\) per UTC hour 00\.\.23: ([\d ]+)", published)
    assert found is not None
    assert list(map(int, found[1].split())) == [
        row["deleted"] for row in answered.rows(stage, HOURLY)
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_published_pages_are_the_top_of_batch(answered: Answered, engine: str) -> None:
    published = sets.find("oracle/wikiticker_published.md").read_text()
    found = re.search(r"top pages: (.+)", published)
    assert found is not None
    (row,) = answered.rows(engine, TOTAL)
    pages: Any = row["pages"]
    assert found[1].split(" | ") == [f"{page['item']} {page['count']}" for page in pages]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_past_hour_is_exact_after_batch(answered: Answered, engine: str) -> None:
    assert_exact_until_fresh(answered.rows(engine, HOURLY))


def test_who_writes_as_a_robot_and_as_a_person_is_told_exactly(
    answered: Answered, edits: Sequence[sets.Record]
) -> None:
    metric, sides = answered.deployment.metrics[0], ({"by": "robots"}, {"by": "people"})
    table = asyncio.run(fastdata.compare(metric, "names", *sides, every="1d", store=answered.store))
    robots, people = (
        {edit["user"] for edit in edits if edit["by"] == by} for by in ("robots", "people")
    )
    (row,) = table.to_pylist()
    either, both = len(robots | people), len(robots & people)
    expected = [len(robots), len(people), either, both, both / either]
    names = ("left", "right", "union", "intersection", "jaccard")
    assert expected == [row[name] for name in names]
