"""What is written for a metric folds what the plain way folds, and raises what it raises."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdata import Count, First, Max, Mean, Metric, Source, Sum, TopK, Uniques
from fastdata.errors import BadEventError, MapError
from fastdata.speed.folding import Fold, compile_fold, fold_rows
from fastdata.speed.state import Cells
from tests.speed.conftest import SCHEMA, DictTable

quick = settings(max_examples=100, deadline=None, database=None)

METRICS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "measures": {
        "by": ["page"],
        "measures": {"n": Count(), "of": Count("size"), "size": Sum("size"), "mean": Mean("size")},
    },
    "sketches": {"measures": {"pages": Uniques("page"), "top": TopK("page"), "max": Max("size")}},
    "expressions": {
        "by": {"long": "length(page) > 3", "page": "upper(page)"},
        "measures": {"size": Sum("size * 2 + 1")},
        "where": "size > 10 OR page IS NULL",
    },
    "sets": {
        "by": ["page", "size"],
        "grouping_sets": [["page"], ["page", "size"], []],
        "measures": {"first": First("page"), "total": Sum("size")},
        "where": "size <> 7",
    },
}
FIELDS = {
    "page": st.none() | st.sampled_from(["", "a", "straße", "p" * 3_000]) | st.text(max_size=5),
    "size": st.none() | st.integers(0, 20) | st.integers(),
    # What only a map function can make of an event.
    "spoiled": st.sampled_from([None, None, None, "page", "size", "both"]),
}
EVENTS = st.lists(st.tuples(st.fixed_dictionaries(FIELDS), st.integers(0, 200_000)), max_size=8)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    path: Path = tmp_path_factory.mktemp("schemas") / "event.avsc"
    path.write_text(json.dumps(SCHEMA))
    return Source("events", topic="events", schema=str(path), time="at", segment_size=3)


def event(drawn: dict[str, Any]) -> dict[str, Any]:
    fields = {"page": drawn["page"], "size": drawn["size"]}
    if drawn["spoiled"] == "both":
        return {}
    if drawn["spoiled"]:
        fields[drawn["spoiled"]] = b"spoiled"
    return fields


def folded(metric: Metric, make: Callable[[Metric], Fold], events: list[Any]) -> list[object]:
    """All changed cells, as they are stored, and what was raised."""
    fold, cells = make(metric), Cells(0, [metric], DictTable())
    told: list[object] = []
    for offset, (drawn, time) in enumerate(events):
        for _ in range(2):  # the second time only its cells are written once more
            try:
                fold(cells, 0, offset // 3, offset, event(drawn), time)
            except (BadEventError, MapError) as error:
                told.append((type(error), str(error)))
                break
    for key, cell in cells.take_dirty():
        told.append((key, cell.row_key, cell.stamp, metric.dump(cell.states)))
    return told


@pytest.mark.parametrize("name", METRICS)
@quick
@given(events=EVENTS)
def test_both_ways_fold_the_same(source: Source, name: str, events: list[Any]) -> None:
    metric = Metric(name, source, **METRICS[name])
    assert folded(metric, compile_fold, events) == folded(metric, fold_rows, events)


def test_a_cell_that_has_an_event_is_only_written_again(source: Source) -> None:
    metric = Metric("nothing", source)
    fold, cells = compile_fold(metric), Cells(0, [metric], DictTable())
    fold(cells, 0, 0, 1, {}, 0)
    cells.take_dirty()
    fold(cells, 0, 0, 1, {}, 0)
    ((_, cell),) = cells.take_dirty()
    assert (cell.states, cell.stamp) == ([1], 1)
