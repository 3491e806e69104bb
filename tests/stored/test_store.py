"""An SQLite store of version 0.1.0 gives the answers that it gave to that version."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from fastdata.declare.unfolded import unfolded_of
from fastdata.measures.envelope import unpack
from tests.stored.questions import EXPORTS, QUESTIONS
from tests.stored.written import Written, answers, declared

# All of fastdata's aggregates; docs/measures.md has the measures.
CODES = {
    *range(1, 10),
    *range(16, 22),
    *range(32, 38),
    *range(64, 68),
    *range(72, 79),
    *range(80, 87),
    *range(96, 102),
    104, 105, 108, 110, 111, 112, 113,
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_the_answer_is_the_one_that_was_given(written: Written, number: int) -> None:
    answer = written.run(*QUESTIONS[number])

    assert answers("before")[number] == answer
    assert answer["rows"]


@pytest.mark.parametrize("layer", ["partials", "totals"])
def test_every_aggregate_is_in_both_layers(written: Written, layer: str) -> None:
    metrics = {metric.id: metric for metric in declared().metrics.values()}
    codes: set[int] = set()
    for id, state in _rows(written, f"select metric, state from {layer}"):
        if id in metrics:
            own = [aggregate.code for aggregate in metrics[id].aggregates]
            unpack(state, own)
            codes.update(own)

    assert codes == CODES


def test_nothing_in_the_store_is_of_a_metric_that_is_not_known_any_more(written: Written) -> None:
    tables = ("partials", "totals", "heads", "runs")
    stored = {id for table in tables for id, *_ in _rows(written, f"select metric from {table}")}
    metrics = {metric.id for metric in declared().metrics.values()}
    unfolded = {unfolded_of(source).id for source in declared().sources.values()}

    assert {id.partition("@")[0].partition(":")[0] for id in stored} == metrics | unfolded
    assert {topic for topic, *_ in _rows(written, "select topic from gaps")} - metrics == {"hits"}


@pytest.mark.parametrize("words", EXPORTS, ids=lambda words: words[1])
def test_a_flat_table_that_is_up_to_date_is_left_alone(written: Written, words: list[str]) -> None:
    report = written.run(*words)

    assert report["parts"] > 0
    assert (report["refreshed"], report["rows"], report["swapped"]) == (0, 0, False)


def _rows(written: Written, select: str) -> list[Any]:
    path = written.store().removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as store:
        return store.execute(select).fetchall()
