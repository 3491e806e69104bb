"""The columnar engine tells expressions apart, and what it cannot do is told in one line."""

import json
from pathlib import Path

import pytest

from fastdata import Count, Last, Max, Metric, Min, Source, Sum, TopK, Uniques
from fastdata.batch.columnar.engine import fold_columns
from fastdata.batch.engine import fold_job
from fastdata.batch.row_engine import fold
from fastdata.declare.metric import Measure
from fastdata.errors import ReplayError
from tests.batch.test_columns import START, TYPES, jobs, schema_of


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = tmp_path / "event.avsc"
    path.write_text(json.dumps(schema_of()))
    return Source("events", topic="events", schema=str(path), time="at", id="id")


@pytest.mark.parametrize(
    ("by", "measures"),
    [
        ({"i": "whole", "y": "cast(whole as varchar)"}, {"n": Count()}),
        ({"i": "whole", "y": "cast(whole as double) > 1e0"}, {"n": Count("cast(day as varchar)")}),
        ({}, {"a": Min("whole"), "b": Min("cast(whole as varchar)"), "c": Min("long")}),
        ({}, {"a": Sum("whole"), "b": Sum("cast(whole as double)"), "c": Count("whole")}),
        ({"i": "whole"}, {"a": Last("whole"), "b": Last("cast(whole as varchar)")}),
        ({"i": "whole"}, {"a": Uniques("whole"), "b": TopK("cast(whole as varchar)")}),
        ({"i": "whole", "j": "whole"}, {"a": Max("whole"), "b": Max("whole")}),
    ],
)
def test_expressions_that_differ_in_a_cast_alone_are_told_apart(
    source: Source, by: dict[str, str], measures: dict[str, Measure]
) -> None:
    event = dict.fromkeys(TYPES) | {"at": START, "day": 1}
    log = [(event | {"id": str(n), "whole": 9 + n % 3, "long": -n}, 0, False) for n in range(6)]
    metrics = [Metric("m", source, by, measures), Metric("two", source)]
    rows, columns = jobs(source, log)

    assert fold_columns(metrics, columns) == fold(metrics, rows)


def test_what_the_engine_raises_says_how_to_do_without_it(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(*_: object) -> None:
        raise ValueError("Schema error: two of one name\n  backtrace")

    monkeypatch.setattr("fastdata.batch.columnar.engine.grouped", raising)
    event = dict.fromkeys(TYPES) | {"id": None, "at": START}
    _, job = jobs(source, [(event, 0, False)])

    with pytest.raises(ReplayError) as caught:
        fold_job([Metric("m", source), Metric("two", source)], job)

    assert str(caught.value) == (
        "the columnar engine failed at 'm', 'two': ValueError: Schema error: two of one name; "
        "nothing was published of these hours. The row engine may do it: --engine rows"
    )
